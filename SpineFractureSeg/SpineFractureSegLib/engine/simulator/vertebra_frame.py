"""A vertebral body's own coordinate frame and its two endplates.

Words: *height* runs along ``up`` (towards the head), *depth* along ``front`` (towards the belly), *width* along
``side``; all in mm from the body's centre. The endplates are planes ``height = a + b depth + c width``. Points are
float32 arrays (3, ...) in (z, y, x) of the 1 mm working grid, so that one voxel is one millimetre.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from SpineFractureSegLib.engine.simulator.shapes import Spine, once_per_spine

_MIDDLE_MM = 8.0
_THIN_DISC = 0.12  # share of the body's height that is disc for sure, where the neighbor cannot be measured
_SMALLEST_MM3 = 1500
_SACRUM = 26  # has no endplates to be fitted here


@dataclass(frozen=True)
class VertebraFrame:
    """Axes (unit vectors in z, y, x), endplate planes and extent of one body."""

    vertebra: int
    centre: np.ndarray  # (3,) z, y, x
    up: np.ndarray
    front: np.ndarray
    side: np.ndarray
    upper_plane: np.ndarray  # (a, b, c)
    lower_plane: np.ndarray
    depth_range: tuple[float, float]  # mm, back to front
    width_range: tuple[float, float]  # mm
    disc_above_mm: float
    disc_below_mm: float

    @property
    def height_mm(self) -> float:
        """Distance of the endplates at the centre."""
        return float(self.upper_plane[0] - self.lower_plane[0])

    def coordinates(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Height, depth and width in mm of points (3, ...)."""
        offset = points - self.centre.reshape(3, *[1] * (points.ndim - 1))
        return tuple(np.tensordot(axis, offset, 1) for axis in (self.up, self.front, self.side))

    def near(self, points: np.ndarray, reach_mm: float) -> np.ndarray:
        """Indices of the points (3, N) in a box of this half side round the body's centre."""
        inside = np.abs(points[0] - self.centre[0]) < reach_mm
        for axis in (1, 2) if inside.any() else ():
            inside &= np.abs(points[axis] - self.centre[axis]) < reach_mm
        return np.flatnonzero(inside)

    def endplates(self, depth: np.ndarray, width: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Height of lower and upper endplate over (depth, width); level beyond 3 mm outside the body."""
        depth = np.clip(depth, self.depth_range[0] - 3, self.depth_range[1] + 3)
        width = np.clip(width, self.width_range[0] - 3, self.width_range[1] + 3)
        lower, upper = (
            plane[0] + plane[1] * depth + plane[2] * width for plane in (self.lower_plane, self.upper_plane)
        )
        return lower, np.maximum(upper, lower + 6)


@once_per_spine
def frames_of(spine: Spine) -> dict[int, VertebraFrame]:
    """Frames of all bodies that are large enough and not cut by the border, from the top down."""
    points = {}
    for vertebra, box in enumerate(ndimage.find_objects(spine.vertebrae), start=1):
        if box is not None and vertebra != _SACRUM:
            body = np.argwhere((spine.vertebrae[box] == vertebra) & spine.bodies[box])
            points[vertebra] = (body + [edge.start for edge in box]).T.astype(np.float32)
    centres = {i: p.mean(axis=1) for i, p in points.items() if p.shape[1] >= _SMALLEST_MM3}
    frames = {i: _fit(i, points[i], centres) for i in centres if not _touches_border(points[i], spine.bodies.shape)}
    return _with_discs(frames)


def _touches_border(points: np.ndarray, shape: tuple[int, ...]) -> bool:
    return bool((points.min(axis=1) < 3).any() or (points.max(axis=1) > np.array(shape) - 4).any())


def _fit(vertebra: int, points: np.ndarray, centres: dict[int, np.ndarray]) -> VertebraFrame:
    centre = centres[vertebra]
    up = centres.get(vertebra - 1, centre) - centres.get(vertebra + 1, centre)
    up = up / np.linalg.norm(up) if np.linalg.norm(up) > 5 else np.array([1.0, 0, 0])
    front = np.array([0, -1.0, 0]) - up * -up[1]
    front /= np.linalg.norm(front)
    up, front, side = (axis.astype(np.float32) for axis in (up, front, np.cross(up, front)))
    height, depth, width = (axis @ (points - centre[:, None]) for axis in (up, front, side))
    # along the body's middle: at L5 the roots of the pedicles reach far behind the back wall and to the sides
    depth_range = np.percentile(depth[np.abs(width - np.median(width)) < _MIDDLE_MM], [2, 98])
    width_range = np.percentile(width[np.abs(depth - depth_range.mean()) < _MIDDLE_MM], [2, 98])
    # columns of 3 x 3 mm through the body, not through its rim
    column = (np.floor((depth - depth.min()) / 3) * 100 + np.floor((width - width.min()) / 3)).astype(np.intp)
    tall = np.flatnonzero(np.bincount(column) > 40)
    upper = ndimage.maximum(height, column, tall) + 0.5
    lower = ndimage.minimum(height, column, tall) - 0.5
    middles = (ndimage.mean(along, column, tall) for along in (depth, width))
    design = np.stack([np.ones(len(tall)), *middles], axis=1)
    planes = [np.linalg.lstsq(design, edge, rcond=None)[0] for edge in (upper, lower)]
    return VertebraFrame(
        vertebra,
        centre.astype(np.float32),
        up,
        front,
        side,
        *(plane.astype(np.float32) for plane in planes),
        tuple(map(float, depth_range)),
        tuple(map(float, width_range)),
        disc_above_mm=0.0,
        disc_below_mm=0.0,
    )


def _with_discs(frames: dict[int, VertebraFrame]) -> dict[int, VertebraFrame]:
    """Measures the discs: the gap between neighbouring endplates along the lower body's axis, 1.5 to 14 mm."""
    above = {
        i: float(np.clip(_gap(frame, frames[i - 1]), 1.5, 14)) if i - 1 in frames else _THIN_DISC * frame.height_mm
        for i, frame in frames.items()
    }
    return {
        i: VertebraFrame(
            **vars(frame) | {"disc_above_mm": above[i], "disc_below_mm": above.get(i + 1, _THIN_DISC * frame.height_mm)}
        )
        for i, frame in frames.items()
    }


def _gap(lower: VertebraFrame, upper: VertebraFrame) -> float:
    floor = upper.centre + upper.up * upper.lower_plane[0]
    return float(lower.up @ (floor - lower.centre) - lower.upper_plane[0])
