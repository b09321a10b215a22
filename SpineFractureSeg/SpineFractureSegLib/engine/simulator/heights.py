"""Heights of a vertebral body at its front, middle and back in a label map, and what was lost of them.

The same three places serve the planned loss (on the fitted endplates), the loss re-measured on the warped label map,
and real fractured shapes.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from SpineFractureSegLib.engine.simulator.shapes import Spine
from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame
from SpineFractureSegLib.engine.vertebrae.heights import DEPTH_SHARES

_LINE_STEP_MM = 0.2


def measure_height_loss(frame: VertebraFrame, maps: Sequence) -> dict[str, float]:
    """Height lost at the three places, as a share of the intact height there, between the fitted endplates.

    Measured on the finished maps, along five lines each, not taken from what was asked for.
    """
    losses = {}
    for name, lines in _lines(frame, depth_offsets=(0.0,)).items():
        points = _through(lines, maps)
        height, depth, width = frame.coordinates(points)
        lower, upper = frame.endplates(depth, width)
        left = _LINE_STEP_MM * ((height > lower) & (height < upper)).sum(axis=-1)
        losses[name] = float(np.mean(1 - left / (upper - lower).mean(axis=-1)))
    return losses


def measure_heights_mm(spine: Spine, frame: VertebraFrame, maps: Sequence = ()) -> dict[str, float]:
    """Heights at the three places, in mm, of the body in the spine's own label map seen through the maps."""
    heights = {}
    for name, lines in _lines(frame, depth_offsets=(-2.0, 0.0, 2.0)).items():
        points = _through(lines, maps)
        index = np.round(points).astype(np.intp)
        for axis, size in enumerate(spine.vertebrae.shape):
            np.clip(index[axis], 0, size - 1, out=index[axis])
        inside = (spine.vertebrae[tuple(index)] == frame.vertebra) & spine.bodies[tuple(index)]
        rows = _LINE_STEP_MM * inside.sum(axis=-1)
        heights[name] = float(rows[rows > 2].mean()) if (rows > 2).any() else 0.0
    return heights


def mask_heights_mm(body: np.ndarray, frame: VertebraFrame) -> dict[str, float]:
    """The same of a body mask bool (Z, Y, X) that has this frame, along columns of 2 x 2 mm."""
    points = np.argwhere(body).T.astype(np.float32)
    height, depth, width = frame.coordinates(points)
    share = (depth - frame.depth_range[0]) / (frame.depth_range[1] - frame.depth_range[0])
    middle = np.abs(width) < 0.6 * min(map(abs, frame.width_range))
    heights = {}
    for name, place in DEPTH_SHARES.items():
        here = middle & (np.abs(share - place) < 0.08)
        cell = np.round(depth[here] / 2).astype(int) * 1000 + np.round(width[here] / 2).astype(int)
        cells = np.unique(cell)
        if not cells.size:
            heights[name] = 0.0
            continue
        extent = ndimage.maximum(height[here], cell, cells) - ndimage.minimum(height[here], cell, cells) + 1
        heights[name] = float(np.median(extent))
    return heights


def _lines(frame: VertebraFrame, depth_offsets: tuple[float, ...]) -> dict[str, np.ndarray]:
    """Points (3, lines, steps) on lines along the body's axis, by place."""
    heights = np.arange(-1.2 * frame.height_mm, 1.2 * frame.height_mm, _LINE_STEP_MM, dtype=np.float32)
    widths = np.linspace(0.6 * frame.width_range[0], 0.6 * frame.width_range[1], 5)
    lines = {}
    for name, share in DEPTH_SHARES.items():
        depth = frame.depth_range[0] + share * (frame.depth_range[1] - frame.depth_range[0])
        feet = [
            frame.centre + frame.front * np.float32(depth + offset) + frame.side * np.float32(width)
            for offset in depth_offsets
            for width in widths
        ]
        feet = np.array(feet, np.float32).T
        lines[name] = feet[:, :, None] + frame.up[:, None, None] * heights
    return lines


def _through(lines: np.ndarray, maps: Sequence) -> np.ndarray:
    points = lines.reshape(3, -1)
    for backward_map in maps:
        points, _ = backward_map.backward(points)
    return points.reshape(lines.shape)
