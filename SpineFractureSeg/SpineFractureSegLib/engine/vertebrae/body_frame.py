"""A vertebral body's own axes, its endplates and walls, from its probability, with less than a voxel of error.

Words: *height* runs along the body's axis to the head, *depth* to the belly, *width* to the patient's left; in mm from
the body's centre. A surface is where the probability falls through a value, one half unless the model card says
otherwise, between two samples. Arrays are (z, y, x).
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

SURFACE = 0.5  # probability
_STEP_MM = 0.5  # of samples along a line
_GRID_MM = 2.0  # between the lines along the height
_MIDDLE_MM = 5.0  # half the width, and the depth, of the slab in which depth and width are taken
_TRIM = 2.0  # percent at both ends of an extent: spurs and the roots of the pedicles
_LEAST_MM = 5.0  # of a body along each axis of the CT
_ARCH_SHARE = 0.4  # of the usual bone at a depth; the roots of the arch are lower than the body
_TAPERED = 0.72  # depth of the lowest over that of the highest quarter
_SPUR_SHARE = 0.45  # the same in front; the front wall of the severest wedge is higher
_SPURS_FROM = 0.6  # of the depth
_LEAST_ALONG = 0.7  # cosine of the angle between a body's axis and the spine
_ROUNDS = 3  # axes and endplates are found in turns
_MOST_TURN_DEG = 35.0  # about the body's axis
_ROUND_BODY = (1.12, 1.3)  # width over depth from which, and up to which, the cross-section tells how a body is turned


@dataclass(frozen=True)
class BodyFrame:
    """Axes (unit vectors) and extent of one body."""

    centre_mm: np.ndarray  # (3,) from the center of voxel [0, 0, 0]
    up: np.ndarray
    front: np.ndarray
    left: np.ndarray
    depth_range: tuple[float, float]  # mm, back to front
    width_range: tuple[float, float]  # mm, right to left
    tapers: bool = False  # its lower end is much less deep than its upper one, as the first sacral body's is

    @property
    def depth_mm(self) -> float:
        """From the back to the front wall."""
        return self.depth_range[1] - self.depth_range[0]

    @property
    def width_mm(self) -> float:
        """From side to side."""
        return self.width_range[1] - self.width_range[0]

    def depth_share(self, shape: tuple[int, ...], spacing_mm: float) -> np.ndarray:
        """float32 of this shape (Z, Y, X): 0 at the back wall, 1 at the front."""
        along = [
            axis * (np.arange(size) * spacing_mm - center)
            for axis, size, center in zip(self.front, shape, self.centre_mm, strict=True)
        ]
        depth = along[0][:, None, None] + along[1][None, :, None] + along[2][None, None, :]
        return ((depth - self.depth_range[0]) / self.depth_mm).astype(np.float32)

    def points_mm(self, height: np.ndarray, depth: np.ndarray, width: np.ndarray) -> np.ndarray:
        """(3, ...) positions of broadcast coordinates."""
        axes = zip((height, depth, width), (self.up, self.front, self.left), strict=True)
        offset = sum(np.multiply.outer(axis, np.asarray(values, float)) for values, axis in axes)
        return offset + self.centre_mm.reshape(3, *[1] * (offset.ndim - 1))


class BodyVolume:
    """The probability of one body, which can be asked along lines.

    Args: surface: the probability at its surface.
    """

    def __init__(self, probability: np.ndarray, spacing_mm: float, surface: float = SURFACE) -> None:
        self.probability, self.spacing_mm = probability.astype(np.float32, copy=False), spacing_mm
        self.surface = surface

    def extent_along(self, frame: BodyFrame, depth: np.ndarray, width: np.ndarray, reach_mm: float) -> np.ndarray:
        """(N, 2) lowest and highest height of the body on lines along its axis at (depth, width); nan where it is not.

        What lies between two surfaces counts as body even where it is hollow.
        """
        height = np.arange(-reach_mm, reach_mm + _STEP_MM / 2, _STEP_MM)
        values = self._sampled(frame, height[None, :], depth[:, None], width[:, None])
        ends = np.full((len(values), 2), np.nan)
        inside = values >= self.surface
        hit = np.flatnonzero(inside.any(axis=1))
        first, last = inside[hit].argmax(axis=1), inside.shape[1] - 1 - inside[hit, ::-1].argmax(axis=1)
        for side, (index, step) in enumerate(((first, -1), (last, 1))):
            beyond = np.clip(index + step, 0, len(height) - 1)
            here, there = values[hit, index], values[hit, beyond]
            share = np.where(beyond == index, 0.0, (here - self.surface) / np.maximum(here - there, 1e-6))
            ends[hit, side] = height[index] + step * _STEP_MM * share
        return ends

    def _sampled(self, frame: BodyFrame, *coordinates: np.ndarray) -> np.ndarray:
        points = frame.points_mm(*np.broadcast_arrays(*coordinates)) / self.spacing_mm
        return ndimage.map_coordinates(self.probability, points, order=1, output=np.float32)


def fit_frame(volume: BodyVolume, body: np.ndarray, up: np.ndarray) -> BodyFrame | None:
    """The frame of a body.

    Args:
        volume: of one body.
        body: bool (Z, Y, X), its voxels.
        up: unit vector (3,) near its axis, from the spine's curve.

    Returns: None for a body that is a mere sliver.
    """
    points_mm = np.argwhere(body) * volume.spacing_mm
    if np.ptp(points_mm, axis=0).min() < _LEAST_MM:
        return None
    centre = points_mm.mean(axis=0)
    spine_up, turn = up, 0.0
    for _ in range(_ROUNDS):
        frame = _with_extent(_upright(centre, up, turn), points_mm)
        turn = _turn(frame, points_mm)
        frame = _with_extent(_upright(centre, up, turn), points_mm)
        normal = _mean_normal(volume, frame)
        if normal is None or normal @ spine_up < _LEAST_ALONG:
            break
        up = normal
    frame = _with_extent(_upright(centre, up, turn), points_mm)
    return replace(frame, tapers=_taper(frame, points_mm) < _TAPERED)


def _taper(frame: BodyFrame, points_mm: np.ndarray) -> float:
    """Depth of the lowest over that of the highest quarter of the body, in its middle."""
    height, depth, width = ((points_mm - frame.centre_mm) @ axis for axis in (frame.up, frame.front, frame.left))
    middle = np.abs(width - np.median(width)) < _MIDDLE_MM
    low, high = np.percentile(height[middle], (25, 75))
    lower, upper = (np.ptp(np.percentile(depth[middle & part], (5, 95))) for part in (height <= low, height >= high))
    return float(lower / max(upper, _GRID_MM))


def _upright(centre: np.ndarray, up: np.ndarray, turn: float) -> BodyFrame:
    """The frame with this axis whose front is the patient's, turned about the axis by ``turn`` radians to the left."""
    front = np.array([0.0, -1.0, 0.0]) + up * up[1]
    front /= np.linalg.norm(front)
    left = np.cross(front, up)
    front, left = np.cos(turn) * front + np.sin(turn) * left, np.cos(turn) * left - np.sin(turn) * front
    return BodyFrame(centre, up, front, left, (0.0, 0.0), (0.0, 0.0))


def _with_extent(frame: BodyFrame, points_mm: np.ndarray) -> BodyFrame:
    """Depth along the body's middle and width at half its depth: the roots of the pedicles reach beyond both."""
    depth, width = ((points_mm - frame.centre_mm) @ axis for axis in (frame.front, frame.left))
    middle = depth[np.abs(width - np.median(width)) < _MIDDLE_MM]
    back, front = _walls(middle)
    within = middle[(middle > back) & (middle < front)]
    depth_range = _trimmed(within if within.size and np.ptp(within) >= _LEAST_MM else middle)
    beside = width[np.abs(depth - np.mean(depth_range)) < _MIDDLE_MM]
    width_range = _trimmed(beside if beside.size else width)
    return BodyFrame(frame.centre_mm, frame.up, frame.front, frame.left, depth_range, width_range)


def _walls(depth: np.ndarray) -> tuple[float, float]:
    """Depths beyond which there is too little bone for a body: it runs on into the arch, or into a spur in front."""
    edges = np.arange(depth.min(), depth.max() + _GRID_MM, _GRID_MM)
    bone = np.histogram(depth, edges)[0]
    middle, anterior, usual = len(bone) // 2, round(_SPURS_FROM * len(bone)), np.median(bone)
    behind = np.flatnonzero(bone[:middle] < _ARCH_SHARE * usual)
    before = anterior + np.flatnonzero(bone[anterior:] < _SPUR_SHARE * usual)
    return (
        float(edges[behind[-1] + 1]) if behind.size else -np.inf,
        float(edges[before[0]]) if before.size else np.inf,
    )


def _trimmed(values: np.ndarray) -> tuple[float, float]:
    """Ends of an even spread of voxels with these centers, from its trimmed percentiles."""
    low, high = np.percentile(values, [_TRIM, 100 - _TRIM])
    missing = (high - low) * (1 / (1 - 2 * _TRIM / 100) - 1) / 2
    return float(low - missing), float(high + missing)


def _turn(frame: BodyFrame, points_mm: np.ndarray) -> float:
    """Radians by which the body is turned about its axis, from the long side of its cross-section.

    A thoracic body is nearly as deep as wide and does not tell; such a body faces the patient's front.
    """
    base = _upright(frame.centre_mm, frame.up, 0.0)
    depth, width = ((points_mm - frame.centre_mm) @ axis for axis in (base.front, base.left))
    near = np.hypot(depth, width) < 0.6 * max(frame.width_mm, frame.depth_mm)
    covariance = np.cov(np.stack([depth[near], width[near]]))
    ratio = np.sqrt(np.linalg.eigvalsh(covariance)[1] / np.linalg.eigvalsh(covariance)[0])
    angle = 0.5 * np.arctan2(-2 * covariance[0, 1], covariance[1, 1] - covariance[0, 0])
    sure = np.clip((ratio - _ROUND_BODY[0]) / (_ROUND_BODY[1] - _ROUND_BODY[0]), 0.0, 1.0)
    return float(np.clip(sure * angle, -np.deg2rad(_MOST_TURN_DEG), np.deg2rad(_MOST_TURN_DEG)))


def _mean_normal(volume: BodyVolume, frame: BodyFrame) -> np.ndarray | None:
    """Direction halfway between the normals of the two endplates, each fitted as a plane; None without both."""
    depth, width = (
        grid.ravel()
        for grid in np.meshgrid(_inner(frame.depth_range, 0.1), _inner(frame.width_range, 0.2), indexing="ij")
    )
    ends = volume.extent_along(frame, depth, width, reach_mm=0.9 * max(frame.depth_mm, frame.width_mm))
    seen = ~np.isnan(ends[:, 0])
    if seen.sum() < 9:
        return None
    normals = []
    for surface in ends[seen].T:
        _, by_depth, by_width = _robust_plane(depth[seen], width[seen], surface)
        normal = frame.up - by_depth * frame.front - by_width * frame.left
        normals.append(normal / np.linalg.norm(normal))
    mean = sum(normals)
    return mean / np.linalg.norm(mean)


def _inner(limits: tuple[float, float], margin: float) -> np.ndarray:
    low, high = limits
    return np.arange(low + margin * (high - low), high - margin * (high - low) + 1e-6, _GRID_MM)


def _robust_plane(depth: np.ndarray, width: np.ndarray, height: np.ndarray) -> np.ndarray:
    """(3,) offset and slopes of the plane through most of the heights: outliers are left out once."""
    design = np.stack([np.ones_like(depth), depth, width], axis=1)
    plane = np.linalg.lstsq(design, height, rcond=None)[0]
    off = np.abs(design @ plane - height)
    good = off <= max(2.5 * float(np.median(off)), 1.0)
    return np.linalg.lstsq(design[good], height[good], rcond=None)[0] if good.sum() >= 9 else plane
