"""The spine's centre line, found in the probability of vertebral bodies, and coordinates along it.

Words: *along* is the way on the curve from its upper end; *front* and *side* lie across it, towards the belly and to
the patient's left; all in mm. Arrays are (slice z up, row y to the back, column x to the left), points are (N, 3) in
voxels.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

_GRID_MM = 3.0  # of the coarse volume through which the path is sought
_BLUR_MM = 5.0  # bridges discs and holes, and is less than a body is wide
_STEPS = [(y, x) for y in range(-3, 4) for x in range(-2, 3)]  # coarse voxels per slice: up to 45 degrees and 34
_SLOPE_COST = 0.03  # per squared coarse voxel aside: the path keeps to the middle of a body and does not zigzag
_GAP_COST = 0.04  # per slice: the path ends rather than go far through nothing
_LEAST_REWARD = 1.0  # of the whole path; less is no spine
_FEWEST_SLICES = 2  # coarse ones: a thinner piece has no direction
_CENTRE_MM = 18.0  # bone this near pulls the curve to its middle
_CENTRE_ROUNDS = 4
_SMOOTH_MM = 9.0  # standard deviation along the curve, half a vertebra
STEP_MM = 1.0  # between the points of a curve


@dataclass(frozen=True)
class SpineCurve:
    """Points every ``STEP_MM`` from the top down."""

    points_mm: np.ndarray  # (S, 3) z, y, x from the center of voxel [0, 0, 0]
    spacing_mm: float  # of the volume it was found in

    @cached_property
    def axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Unit vectors (S, 3) along the curve, to the front and to the side."""
        along = np.gradient(self.points_mm, axis=0)
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        front = np.array([0.0, -1.0, 0.0]) + along * along[:, 1:2]
        front /= np.linalg.norm(front, axis=1, keepdims=True)
        return along, front, np.cross(along, front)

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.points_mm)

    def coordinates(self, points: np.ndarray) -> np.ndarray:
        """(N, 3): along, front and side of points in voxels."""
        points = points * self.spacing_mm
        nearest = self._tree.query(points)[1]
        offset = points - self.points_mm[nearest]
        along, front, side = (np.einsum("ni,ni->n", axis[nearest], offset) for axis in self.axes)
        return np.stack([STEP_MM * nearest + along, front, side], axis=1)

    def direction_at(self, point: np.ndarray) -> np.ndarray:
        """Unit vector (3,) along the curve beside a point (3,) in voxels."""
        return self.axes[0][self._tree.query(point * self.spacing_mm)[1]]

    def straightened(self, volume: np.ndarray, half_mm: float, step_mm: float) -> np.ndarray:
        """float32 (S, front, side): the volume sampled across the curve, out to ``half_mm``; 0 outside of it."""
        across = np.arange(-half_mm, half_mm + step_mm / 2, step_mm)
        _, front, side = self.axes
        points = (
            self.points_mm[:, None, None]
            + front[:, None, None] * across[None, :, None, None]
            + side[:, None, None] * across[None, None, :, None]
        )
        return ndimage.map_coordinates(volume, np.moveaxis(points, -1, 0) / self.spacing_mm, order=1, output=np.float32)


def find_spine_curve(probability: np.ndarray, spacing_mm: float) -> SpineCurve | None:
    """The path from the top down that gathers most bone; what lies aside, as ribs or a hip do, cannot be on it.

    Args:
        probability: of vertebral bodies, 0 to 1, (Z, Y, X).
        spacing_mm: of its voxels.

    Returns: None, where there is too little bone for one vertebra.
    """
    factor = spacing_mm / _GRID_MM
    if min(probability.shape) * factor < 1:
        return None
    blurred = ndimage.gaussian_filter(probability.astype(np.float32, copy=False), _BLUR_MM / spacing_mm, truncate=3.0)
    coarse = ndimage.zoom(blurred, factor, order=1, grid_mode=True, mode="nearest") if factor != 1 else blurred
    path = _best_path(coarse - _GAP_COST)
    if path is None or len(path) < _FEWEST_SLICES:
        return None
    # the middles of the coarse voxels on the fine grid
    points_mm = (path + 0.5) * np.array(probability.shape) / coarse.shape * spacing_mm - spacing_mm / 2
    return SpineCurve(_centred(points_mm, probability, spacing_mm), spacing_mm)


def _best_path(reward: np.ndarray) -> np.ndarray | None:
    """(S, 3) voxels from the top down, one per slice, with the largest sum of rewards less the cost of its slopes.

    Dynamic programming from the lowest slice up; a path may begin and end in any slice.
    """
    best = np.zeros(reward.shape, np.float32)
    came_from = np.full(reward.shape, -1, np.int8)
    for z in range(len(reward)):
        if z > 0:
            below = np.pad(best[z - 1], 3, constant_values=-np.inf)
            rows, columns = reward.shape[1:]
            for number, (y, x) in enumerate(_STEPS):
                value = below[3 + y : 3 + y + rows, 3 + x : 3 + x + columns] - _SLOPE_COST * (y * y + x * x)
                better = value > best[z]
                best[z][better] = value[better]
                came_from[z][better] = number
        best[z] += reward[z]
    z, y, x = np.unravel_index(int(best.argmax()), best.shape)
    if best[z, y, x] < _LEAST_REWARD:
        return None
    path = [(z, y, x)]
    while (number := came_from[z, y, x]) >= 0:
        z, y, x = z - 1, y + _STEPS[number][0], x + _STEPS[number][1]
        path.append((z, y, x))
    return np.array(path, float)


def _centred(path_mm: np.ndarray, probability: np.ndarray, spacing_mm: float) -> np.ndarray:
    """The path moved to the middle of the bone around it, smoothed, extended by two steps and resampled evenly."""
    points = path_mm
    for _ in range(_CENTRE_ROUNDS):  # a wide body reaches out of what is seen from its rim
        moved, bone = _moved_to_middle(points, probability, spacing_mm)
        points = _smoothed(moved, bone)
    points = _continued(points, 2)
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    even = np.arange(0.0, length[-1] + 1e-6, STEP_MM)
    return np.stack([np.interp(even, length, points[:, axis]) for axis in range(3)], axis=1)


def _moved_to_middle(
    points_mm: np.ndarray, probability: np.ndarray, spacing_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Each point at the middle of the bone near it in its slice, and how much bone (S,) that is."""
    across = np.arange(-_CENTRE_MM, _CENTRE_MM + 1, 3.0)
    y, x = np.meshgrid(across, across, indexing="ij")
    near = y**2 + x**2 <= _CENTRE_MM**2
    offsets = np.stack([np.zeros(near.sum()), y[near], x[near]], axis=1)
    around = (points_mm[:, None] + offsets) / spacing_mm
    bone = ndimage.map_coordinates(probability, np.moveaxis(around, -1, 0), order=1, output=np.float32)
    total = bone.sum(axis=1) + 1e-6
    return points_mm + bone @ offsets / total[:, None], total


def _smoothed(points_mm: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Along the curve; the line is kept straight on beyond its ends, or smoothing would pull them inwards."""
    sigma = _SMOOTH_MM / _GRID_MM
    beyond = int(np.ceil(3 * sigma))
    points_mm, weight = _continued(points_mm, beyond), np.pad(weight, beyond, mode="edge")
    smooth = ndimage.gaussian_filter1d(points_mm * weight[:, None], sigma, axis=0, mode="nearest")
    return (smooth / ndimage.gaussian_filter1d(weight, sigma, mode="nearest")[:, None])[beyond:-beyond]


def _continued(points: np.ndarray, count: int) -> np.ndarray:
    """The polyline with ``count`` points more at each end, along the direction that it has there."""
    reach = min(5, len(points) - 1)
    steps = np.arange(1, count + 1)[:, None]
    before, after = ((points[0] - points[reach]) / reach, (points[-1] - points[-1 - reach]) / reach)
    return np.concatenate([points[0] + steps[::-1] * before, points, points[-1] + steps * after])
