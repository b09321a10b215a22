"""A volume as slices, slices as overlapping windows, and the way back to one volume.

Words: a *stack* is a volume with the slices of one plane first: sagittal (x; z, y), axial (z; y, x), coronal (y; z, x),
by plain transposition of (slice z, row y, column x), never by a flip. *Context*: the neighbouring slices that the
network sees as input channels. A *window* is a rectangle of a slice, of the size the network was trained on.
Volumes and stacks are numpy arrays or torch tensors where the annotation says Any.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

AXIS_OF_PLANE = {"axial": 0, "coronal": 1, "sagittal": 2}  # which of (z, y, x) counts the slices


def to_plane(volume: Any, plane: str) -> Any:
    """A view of the volume (Z, Y, X) as the stack of this plane (S, H, W).

    >>> to_plane(np.zeros((4, 5, 6)), "sagittal").shape, to_plane(np.zeros((4, 5, 6)), "coronal").shape
    ((6, 4, 5), (5, 4, 6))
    """
    move = torch.movedim if isinstance(volume, Tensor) else np.moveaxis
    return move(volume, AXIS_OF_PLANE[plane], 0)


def from_plane(stack: Any, plane: str) -> Any:
    """A view of the stack (S, H, W) as the volume (Z, Y, X): the inverse of ``to_plane``."""
    move = torch.movedim if isinstance(stack, Tensor) else np.moveaxis
    return move(stack, 0, AXIS_OF_PLANE[plane])


def context_offsets(context_mm: Sequence[float], spacing_mm: float) -> tuple[int, ...]:
    """The context in slices: each distance rounded to the grid.

    >>> context_offsets((-6.0, -3.0, 0.0, 3.0, 6.0), 1.5)
    (-4, -2, 0, 2, 4)
    """
    return tuple(round(offset / spacing_mm) for offset in context_mm)


def context_indices(indices: Sequence[int], offsets: Sequence[int], slice_count: int) -> np.ndarray:
    """int (N, C): which slice is channel c of input n. Beyond the stack's ends its last slice is repeated.

    >>> context_indices([0, 7], (-2, 0, 2), 9).tolist()
    [[0, 0, 2], [5, 7, 8]]
    """
    wanted = np.asarray(indices, np.int64)[:, None] + np.asarray(offsets, np.int64)[None, :]
    return np.clip(wanted, 0, slice_count - 1)


def gather_slices(stack: Any, indices: Sequence[int], offsets: Sequence[int]) -> Any:
    """The network's inputs for these slices: (S, H, W) -> (N, C, H, W), a copy."""
    return stack[context_indices(indices, offsets, len(stack))]


def window_starts(start: int, stop: int, length: int, window: int, stride: int) -> list[int]:
    """Where windows begin along one axis so that they cover [start, stop) of an axis with ``length`` pixels.

    The starts are spread evenly, at most ``stride`` apart, and lie inside the covered range. A range shorter than a
    window gets one window around its middle, moved into the axis so that it shows image rather than padding; only an
    axis shorter than a window is overhung, on both sides.

    >>> window_starts(0, 600, 600, 256, 128)
    [0, 115, 229, 344]
    >>> window_starts(0, 257, 400, 256, 128), window_starts(0, 100, 400, 256, 128), window_starts(0, 100, 100, 256, 128)
    ([0, 1], [0], [-78])
    """
    surplus = stop - start - window
    if surplus > 0:
        gaps = math.ceil(surplus / stride)
        return [start + round(surplus * i / gaps) for i in range(gaps + 1)]
    if length <= window:
        return [(length - window) // 2]
    return [min(max((start + stop - window) // 2, 0), length - window)]


def blending_weights(starts: Sequence[int], start: int, stop: int, window: int) -> list[np.ndarray]:
    """float64 (window,) per start: Hann weights along one axis, summing to 1 over the windows at each pixel.

    Sampled between pixels, a Hann window is small but never 0 at its border: there another window decides where one
    reaches, and the pixel is still answered where none does.
    """
    hann = np.sin(np.pi * (np.arange(window) + 0.5) / window) ** 2
    total = np.zeros(max(stop, max(starts) + window) - min(start, *starts))
    origin = min(start, *starts)
    for first in starts:
        total[first - origin : first - origin + window] += hann
    return [hann / total[first - origin : first - origin + window] for first in starts]


class WindowTiling:
    """Overlapping windows over a rectangle of a slice: cuts them out and averages their answers without seams.

    Args:
        slice_shape: rows H and columns W of the slices.
        rows, columns: (start, stop) of the rectangle that is to be answered.
        window_size: rows h and columns w of a window.
        stride: most pixels between the starts of neighbouring windows, for rows and columns.
    """

    def __init__(
        self,
        slice_shape: tuple[int, int],
        rows: tuple[int, int],
        columns: tuple[int, int],
        window_size: tuple[int, int],
        stride: tuple[int, int],
    ) -> None:
        self.slice_shape, self.window_size = slice_shape, window_size
        self.origin = rows[0], columns[0]
        self.shape = rows[1] - rows[0], columns[1] - columns[0]
        starts, weights = [], []
        for (start, stop), length, size, step in zip((rows, columns), slice_shape, window_size, stride, strict=True):
            starts.append(window_starts(start, stop, length, size, step))
            weights.append(blending_weights(starts[-1], start, stop, size))
        self.windows = [(row, column) for row in starts[0] for column in starts[1]]
        self._weights = [np.outer(a, b).astype(np.float32) for a in weights[0] for b in weights[1]]

    def __len__(self) -> int:
        return len(self.windows)

    def cut(self, stack: Tensor, window: int, fill: float) -> Tensor:
        """One window of every slice: (S, H, W) -> (S, h, w), a view, or a copy with ``fill`` where it overhangs."""
        inside, margins = [], []
        for first, size, length in zip(self.windows[window], self.window_size, self.slice_shape, strict=True):
            inside.append(slice(max(first, 0), min(first + size, length)))
            margins.append((max(-first, 0), max(first + size - length, 0)))
        cut = stack[:, inside[0], inside[1]]
        if not any(map(any, margins)):
            return cut
        return pad(cut, (*margins[1], *margins[0]), value=fill)  # torch counts the margins from the last axis

    def add(self, answer: Tensor, window: int, values: Tensor) -> None:
        """Adds the weighted values (..., h, w) of one window to the rectangle's answer (..., rows, columns)."""
        target, source = [], []
        for first, size, origin, length in zip(
            self.windows[window], self.window_size, self.origin, self.shape, strict=True
        ):
            low, high = max(first, origin), min(first + size, origin + length)
            target.append(slice(low - origin, high - origin))
            source.append(slice(low - first, high - first))
        weights = torch.from_numpy(self._weights[window]).to(values.device)[source[0], source[1]]
        answer[..., target[0], target[1]] += values[..., source[0], source[1]] * weights
