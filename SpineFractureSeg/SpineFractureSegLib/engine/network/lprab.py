"""LPRAB, local position residual attention block: where a pixel lies, and what lies around it."""

import torch
from torch import nn

from SpineFractureSegLib.engine.network.layers import Residual


class LocalPositionAttention(nn.Module):
    """Coordinates, attention in windows, a residual path: (B, C, H, W) -> (B, C, H, W); H, W multiples of ``window``.

    ``y = 1x1(cat[x, row, column])``, ``y = y + attention(y)``, ``out = y + residual(y)``; rows and columns run from -1
    to 1 over the map.

    Source: identity path plus residual path, added, on the coordinates of pixels and on local patterns: stated; an
    attention block: inferred; coordinates as channels, the windows and the identity around the attention: ours.
    """

    def __init__(self, channels: int, window: int = 8) -> None:
        super().__init__()
        self.features = nn.Conv2d(channels, channels, 1)
        self.coordinates = nn.Linear(2, channels, bias=False)  # with ``features``: the 1x1 of the concatenation
        self.attention = WindowAttention(channels, window)
        self.residual = Residual(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.features(x) + self.coordinates(_coordinates(x)).permute(2, 0, 1)
        return self.residual(self.attention(y))


def _coordinates(x: torch.Tensor) -> torch.Tensor:
    """(H, W, 2): row and column of each pixel of ``x`` in [-1, 1]."""
    rows = torch.linspace(-1, 1, x.shape[2], device=x.device, dtype=x.dtype)
    columns = torch.linspace(-1, 1, x.shape[3], device=x.device, dtype=x.dtype)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1)


class WindowAttention(nn.Module):
    """Self-attention inside ``window`` x ``window`` pixels, added to the input: (B, C, H, W) -> (B, C, H, W).

    A learned bias for each offset between two pixels tells the pattern in a window from its mirror image.

    Source: ours, after Swin (Liu et al. 2021): one head, no shifted windows.
    """

    def __init__(self, channels: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.position_bias = nn.Parameter(torch.zeros((2 * window - 1) ** 2))
        self.output = nn.Linear(channels, channels)
        self.register_buffer("offset_index", _offset_index(window), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, C, H, W = x.shape
        size = self.window
        windows = x.permute(0, 2, 3, 1).reshape(B, H // size, size, W // size, size, C).transpose(2, 3)
        tokens = windows.reshape(-1, size * size, C)
        query, key, value = self.query_key_value(tokens).chunk(3, -1)
        bias = self.position_bias[self.offset_index].to(query.dtype)  # (64, 64) for windows of 8
        # By hand: with a learned bias, torch's own attention takes twice the time of these two lines on a CPU.
        weights = torch.baddbmm(bias, query, key.transpose(1, 2), alpha=C**-0.5).softmax(-1).to(value.dtype)
        heard = self.output(torch.bmm(weights, value)).reshape(windows.shape).transpose(2, 3).reshape(B, H, W, C)
        return x + heard.permute(0, 3, 1, 2)


def _offset_index(window: int) -> torch.Tensor:
    """(window**2, window**2): which offset, numbered from 0, leads from the one pixel to the other."""
    rows, columns = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    rows, columns = rows.flatten(), columns.flatten()
    down = rows[:, None] - rows[None, :] + window - 1
    right = columns[:, None] - columns[None, :] + window - 1
    return down * (2 * window - 1) + right
