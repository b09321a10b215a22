"""FFM, feature fusion module: every level of the encoder hears the other three."""

import torch
from torch import nn
from torch.nn import functional as F

from SpineFractureSegLib.engine.network.layers import conv_norm_relu


class FeatureFusion(nn.Module):
    """Fuses each of the encoder's levels with all others, on its own grid.

    ``[(B, c_k, H_k, W_k)] -> [(B, channels, H_k, W_k)]``, each level half the size of the one before.

    Source: each of E2-E5 is fused with the remaining three: stated; 64 channels, concatenation and the 3x3 convolution:
    ours. The 1x1 convolutions come before the resizing, where they cost least. A coarser map is enlarged bilinearly; a
    finer one is averaged over the pixels it shrinks into, which does not alias and costs little: ours.
    """

    def __init__(self, level_channels: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(nn.Conv2d(inputs, channels, 1) for inputs in level_channels)
        self.fuse = nn.ModuleList(conv_norm_relu(len(level_channels) * channels, channels) for _ in level_channels)

    def forward(self, levels: list[torch.Tensor]) -> list[torch.Tensor]:
        reduced = [reduce(level) for reduce, level in zip(self.reduce, levels, strict=True)]
        return [
            fuse(torch.cat([_resize(other, other_level - level) for other_level, other in enumerate(reduced)], 1))
            for level, fuse in enumerate(self.fuse)
        ]


def _resize(x: torch.Tensor, halvings: int) -> torch.Tensor:
    """Enlarges 2**halvings times; shrinks where ``halvings`` is negative."""
    if halvings > 0:
        return F.interpolate(x, scale_factor=2**halvings, mode="bilinear", align_corners=False)
    if halvings < 0:
        return F.avg_pool2d(x, 2**-halvings)
    return x
