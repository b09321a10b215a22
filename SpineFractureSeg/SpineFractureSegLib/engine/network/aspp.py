"""ASPP, atrous spatial pyramid pooling: the same map seen at several distances."""

import torch
from torch import nn

from SpineFractureSegLib.engine.network.layers import GlobalAverage, concat_conv_norm_relu, conv_norm_relu


class AtrousPyramid(nn.Module):
    """A 1x1, three atrous 3x3 convolutions and image pooling, concatenated, 1x1: (B, C, H, W) -> (B, C, H, W).

    Source: ASPP on the resized maps: stated; branches and rates: inferred (DeepLab, Chen et al. 2017); no batch norm
    after image pooling, whose map has a single pixel: ours.
    """

    def __init__(self, channels: int, rates: tuple[int, ...] = (6, 12, 18)) -> None:
        super().__init__()
        self.point = conv_norm_relu(channels, channels, 1)
        self.atrous = nn.ModuleList(conv_norm_relu(channels, channels, 3, dilation=rate) for rate in rates)
        self.pooled = nn.Sequential(GlobalAverage(), nn.Conv2d(channels, channels, 1), nn.ReLU(inplace=True))
        self.project = concat_conv_norm_relu((len(rates) + 2) * channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.project([self.point(x), *(atrous(x) for atrous in self.atrous), self.pooled(x)])
