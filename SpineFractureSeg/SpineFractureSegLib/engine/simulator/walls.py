"""The walls of a fractured body that leave their place: front step or bulge, fragment in the canal, widened pedicles.

All are backward maps that move points along one axis of the body, piecewise linear, so that they never fold.
"""

from dataclasses import dataclass

import numpy as np

from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame

_REACH_MM = 60.0
_CANAL_MM = 17.0  # depth of the canal that a fragment may narrow
_BESIDE_MM = 16.0  # over which soft tissue in front and beside makes way


@dataclass(frozen=True)
class FrontStep:
    """The front wall stands forward over part of its height: a bulge, or a step where it ends at once."""

    frame: VertebraFrame
    step_mm: float
    height_mm: float  # where it stands out most
    reach_mm: float
    sharp: bool

    def backward(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As ``Squeeze.backward``; the local compression stays 1."""
        near, height, depth, width = _near(self.frame, points)
        rise = np.exp(-(((height - self.height_mm) / self.reach_mm) ** 2))
        if self.sharp:  # the wall above the line stands forward, the wall below does not
            rise = rise / (1 + np.exp(-np.clip((height - self.height_mm) / 1.0, -30, 30)))
        push = self.step_mm * rise * _taper(width, self.frame.width_range[1])
        back, front = self.frame.depth_range
        source = _stretched(depth, front, push, front - 0.5 * (front - back), front + _BESIDE_MM)
        return _moved(points, near, self.frame.front, source - depth)


@dataclass(frozen=True)
class CanalFragment:
    """The upper back corner of the body pushed into the canal."""

    frame: VertebraFrame
    push_mm: float
    below_plate_mm: float  # height of the fragment
    half_width_mm: float

    def backward(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As ``Squeeze.backward``; the local compression stays 1."""
        near, height, depth, width = _near(self.frame, points)
        back, front = self.frame.depth_range
        top = self.frame.endplates(np.float32(back), np.float32(0))[1]
        lower_edge = 1 / (1 + np.exp(-np.clip((height - (top - self.below_plate_mm)) / 0.9, -30, 30)))
        upper_edge = 1 / (1 + np.exp(np.clip((height - (top + 3)) / 1.5, -30, 30)))
        push = self.push_mm * lower_edge * upper_edge * _taper(width, self.half_width_mm)
        mirrored = _stretched(-depth, -back, push, -back - 0.55 * (front - back), -back + _CANAL_MM)
        return _moved(points, near, self.frame.front, -mirrored - depth)


@dataclass(frozen=True)
class Widening:
    """Body and pedicles burst sideways."""

    frame: VertebraFrame
    widen_mm: float  # to each side

    def backward(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As ``Squeeze.backward``; the local compression stays 1."""
        near, height, depth, width = _near(self.frame, points)
        half = 0.5 * (self.frame.width_range[1] - self.frame.width_range[0])
        tall = np.clip(1.5 - np.abs(height) / (0.45 * self.frame.height_mm), 0, 1)
        behind = np.clip((depth - self.frame.depth_range[0] + 30) / 10, 0, 1)
        push = self.widen_mm * tall * behind * np.clip((self.frame.depth_range[1] + 14 - depth) / 14, 0, 1)
        source = _stretched(np.abs(width), half, push, 0.0, half + _BESIDE_MM + 6)
        return _moved(points, near, self.frame.side, np.sign(width) * (source - np.abs(width)))


def _near(frame: VertebraFrame, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Indices of the points near the body; their height, depth and width in mm."""
    near = frame.near(points, _REACH_MM)
    return near, *frame.coordinates(points[:, near])


def _taper(width: np.ndarray, half_mm: float) -> np.ndarray:
    return np.clip((1.25 - np.abs(width) / half_mm) / 0.5, 0, 1)


def _stretched(at: np.ndarray, edge: float, push: np.ndarray, fixed_low: float, fixed_high: float) -> np.ndarray:
    """Where points come from when the edge moved up by ``push`` between two places that stay.

    >>> _stretched(np.array([0.0, 12.0, 16.0, 20.0]), 10.0, np.full(4, 2.0), 0.0, 20.0).tolist()
    [0.0, 10.0, 15.0, 20.0]
    """
    push = np.minimum(push, 0.7 * (fixed_high - edge))
    below = fixed_low + (at - fixed_low) * (edge - fixed_low) / (edge + push - fixed_low)
    above = edge + (at - edge - push) * (fixed_high - edge) / (fixed_high - edge - push)
    source = np.where(at < edge + push, below, above)
    return np.where((at > fixed_low) & (at < fixed_high), source, at)


def _moved(points: np.ndarray, near: np.ndarray, axis: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    result = points.copy()
    result[:, near] += axis[:, None] * shift.astype(np.float32)
    return result, np.ones(points.shape[1], np.float32)
