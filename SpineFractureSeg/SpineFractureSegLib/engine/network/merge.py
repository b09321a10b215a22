"""From four levels to one map of the slice's size."""

import torch
from torch import nn
from torch.nn import functional as F


class LevelMerge(nn.Module):
    """Resizes the levels to the slice's size and merges them: [(B, C, H_k, W_k)] -> (B, C, H, W).

    Means: resize bilinearly, concatenate, 1x1 convolution, batch norm, ReLU. A bilinear resize and a 1x1 convolution
    commute, so each level passes its share of the convolution on its own small grid and the results are added: the same
    values, without a map of four times the channels at full size.

    Source: the target 256x256x64: stated (SEM); the bilinear resize and the merge: ours.
    """

    def __init__(self, channels: int, levels: int = 4) -> None:
        super().__init__()
        self.shares = nn.ModuleList(nn.Conv2d(channels, channels, 1, bias=False) for _ in range(levels))
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, levels: list[torch.Tensor], size: tuple[int, int]) -> torch.Tensor:
        merged = None
        for share, level in zip(self.shares, levels, strict=True):
            resized = F.interpolate(share(level), size=size, mode="bilinear", align_corners=False)
            merged = resized if merged is None else merged.add_(resized)
        return F.relu(self.norm(merged), inplace=True)
