"""RCBAM, residual convolution block attention module: which channels, then which places."""

import torch
from torch import nn

from SpineFractureSegLib.engine.network.layers import GlobalAverage, Residual, concat_conv_norm_relu


class ResidualAttention(nn.Module):
    """Channel attention, then spatial attention, each beside a residual path: (B, C, H, W) -> (B, C, H, W).

    ``F1 = squeeze(cat[channel_attention(x), residual(x)])``,
    ``out = squeeze(cat[spatial_attention(F1), residual'(F1)])``

    Source: both concatenations and their order: stated; the two attentions as in CBAM (Woo et al. 2018): inferred;
    the 1x1 squeezes: ours.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel_attention = ChannelAttention(channels)
        self.channel_residual = Residual(channels)
        self.channel_squeeze = concat_conv_norm_relu(2 * channels, channels)
        self.spatial_attention = SpatialAttention()
        self.spatial_residual = Residual(channels)
        self.spatial_squeeze = concat_conv_norm_relu(2 * channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.channel_squeeze([self.channel_attention(x), self.channel_residual(x)])
        return self.spatial_squeeze([self.spatial_attention(x), self.spatial_residual(x)])


class ChannelAttention(nn.Module):
    """One small network on average and maximum of each channel, added: (B, C, H, W) -> (B, C, H, W).

    Source: CBAM, shared layers on both poolings, reduction 16: inferred; never fewer than 4 hidden channels: ours.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.average, self.maximum = GlobalAverage(), nn.AdaptiveMaxPool2d(1)
        self.shared = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        average, maximum = self.average(x).flatten(1), self.maximum(x).flatten(1)
        scale = torch.sigmoid(self.shared(average) + self.shared(maximum))
        return x * scale[:, :, None, None]


class SpatialAttention(nn.Module):
    """A 7x7 convolution on maximum and mean over the channels: (B, C, H, W) -> (B, C, H, W).

    Source: CBAM: inferred.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pixels = x.permute(0, 2, 3, 1)  # keeps forward and gradient channels_last; max, as the gradient of amax is slow
        summary = torch.stack([pixels.max(-1).values, pixels.mean(-1)], -1).permute(0, 3, 1, 2)
        return x * torch.sigmoid(self.conv(summary))
