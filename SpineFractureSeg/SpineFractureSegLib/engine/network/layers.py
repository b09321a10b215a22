"""The small layer stacks that the blocks share.

Every batch norm but the one of ``merge.py`` follows its convolution inside one ``nn.Sequential``: ``fusion.py`` relies
on it.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F


def conv_norm(inputs: int, outputs: int, kernel: int = 3, *, dilation: int = 1) -> nn.Sequential:
    """Convolution that keeps height and width, batch norm."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=dilation * (kernel // 2), dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


def conv_norm_relu(inputs: int, outputs: int, kernel: int = 3, *, dilation: int = 1) -> nn.Sequential:
    """Convolution that keeps height and width, batch norm, ReLU: (B, inputs, H, W) -> (B, outputs, H, W)."""
    return conv_norm(inputs, outputs, kernel, dilation=dilation).append(nn.ReLU(inplace=True))


class ConcatConv(nn.Conv2d):
    """Convolution of a concatenation, without making it: [(B, c_k, H, W)] -> (B, outputs, H, W).

    Each part meets its own slice of the weight and the results are added. Memory traffic, not arithmetic, is what a
    CPU waits for at full size. A part of 1x1 pixels counts for the whole map.
    """

    def forward(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        weights = self.weight.split([part.shape[1] for part in parts], 1)
        total = F.conv2d(parts[0], weights[0], self.bias, padding=self.padding)
        for part, weight in zip(parts[1:], weights[1:], strict=True):
            total = total.add_(F.conv2d(part, weight, padding=self.padding))
        return total


def concat_conv_norm_relu(inputs: int, outputs: int, kernel: int = 1) -> nn.Sequential:
    """As ``conv_norm_relu`` for a concatenation of parts with ``inputs`` channels together."""
    conv = ConcatConv(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class GlobalAverage(nn.Module):
    """Mean over all pixels: (B, C, H, W) -> (B, C, 1, 1)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Over the flattened channels_last view: the gradient of a plain mean is laid out channels first, and adding
        # that to a channels_last one costs four times as much.
        return x.permute(0, 2, 3, 1).flatten(1, 2).mean(1)[:, :, None, None]


class Residual(nn.Module):
    """ReLU of the input plus two 3x3 convolutions of it: (B, C, H, W) -> (B, C, H, W).

    Source: the "residual" paths of RCBAM and LPRAB: stated; their two 3x3 convolutions with batch norm: inferred from
    He et al. 2016.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv_norm_relu(channels, channels)
        self.second = conv_norm(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.second(self.first(x)) + x, inplace=True)
