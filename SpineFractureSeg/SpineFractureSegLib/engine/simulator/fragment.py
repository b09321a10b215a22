"""A fragment broken off a vertebra: dens, process, or the two sides of a broken arch or sacral wing.

Words: the fracture *plane* is uneven; *beyond* it lies the fragment, which moves away from the plane and slides along
it. The *weight* says how far a point follows: 1 in the fragment, 0 some millimetres beside it. A ``Region`` is a volume
on a box of the spine's grid, such as the bone that a fracture is labelled by.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from SpineFractureSegLib.engine.simulator.opening import Waves

_SURFACE_MM = 2.0  # partial volume: how far round a label its bone still shows


@dataclass(frozen=True)
class Region:
    """A volume on the box of the spine's grid that starts at ``corner``; 0 everywhere else."""

    corner: tuple[int, int, int]
    volume: np.ndarray

    def near(self, points: np.ndarray, margin: float = 0.0) -> np.ndarray:
        """Indices of the points (3, N) in the box, or within ``margin`` voxels of it."""
        inside = np.ones(points.shape[1], bool)
        for axis, (start, size) in enumerate(zip(self.corner, self.volume.shape, strict=True)):
            inside &= (points[axis] > start - margin) & (points[axis] < start + size - 1 + margin)
            if not inside.any():
                break
        return np.flatnonzero(inside)

    def at(self, points: np.ndarray) -> np.ndarray:
        """The volume at points (3, N), interpolated linearly; float32 (N,)."""
        offset = points - np.array(self.corner, np.float32)[:, None]
        return ndimage.map_coordinates(self.volume.astype(np.float32, copy=False), offset, order=1)


def weight_round(mask: np.ndarray, corner: tuple[int, int, int], reach_mm: float) -> Region:
    """1 within the mask and its surface, falling to 0 over ``reach_mm``."""
    margin = int(np.ceil(reach_mm + _SURFACE_MM)) + 1
    beside = ndimage.distance_transform_edt(~np.pad(mask, margin)) - _SURFACE_MM
    weight = np.clip(1 - beside / reach_mm, 0, 1).astype(np.float32)
    return Region(tuple(start - margin for start in corner), weight)


@dataclass(frozen=True)
class Fragment:
    """A backward map like a squeeze: what lies beyond the plane was nearer to it, and slides along it."""

    point: np.ndarray  # (3,) z, y, x on the plane
    normal: np.ndarray  # (3,) unit vector from the vertebra into the fragment
    weight: Region
    gap_mm: float  # by which the fragment moved away
    slide_mm: np.ndarray  # (3,) along the plane
    lean: np.ndarray  # (3,) more slide per mm beyond the plane: how the fragment is tilted
    waves: Waves
    filling_hu: float

    def backward(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As ``Squeeze.backward``; the local compression stays 1."""
        near, beyond, gap, weight = self._gap(points)
        result = points.copy()
        over = beyond > 0
        near, beyond, gap, weight = near[over], beyond[over], gap[over], weight[over]
        rest = np.maximum(beyond - gap, 0)
        follows = weight * np.clip(rest / 1.5, 0, 1)  # the plane itself does not slide
        result[:, near] -= (
            self.normal[:, None] * np.minimum(beyond, gap)
            + self.slide_mm[:, None] * follows
            + self.lean[:, None] * (rest * follows)
        ).astype(np.float32)
        return result, np.ones(points.shape[1], np.float32)

    def opened(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As ``Cleft.opened``, in bone alone."""
        near, beyond, gap, weight = self._gap(points)
        share = np.clip(np.minimum(beyond, gap - beyond) + 0.5, 0, np.clip(gap, 0, 1))
        inside = (share > 0.02) & (weight > 0.99)
        return near[inside], share[inside]

    def _gap(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Points near the fragment, mm beyond the plane, how wide the gap is there, and how far they follow."""
        moved = self.gap_mm * self.normal + self.slide_mm
        near = self.weight.near(points, margin=float(np.abs(moved).max()))
        offset = points[:, near] - self.point.astype(np.float32)[:, None]
        first = np.cross(self.normal, (1.0, 0.0, 0.0) if abs(self.normal[0]) < 0.9 else (0.0, 1.0, 0.0))
        first /= np.linalg.norm(first)
        second = np.cross(self.normal, first)
        first, second, normal = (axis.astype(np.float32) @ offset for axis in (first, second, self.normal))
        beyond = normal - self.waves.at(first, second)
        # a point of the moved fragment asks for the weight of the place it came from
        weight = self.weight.at(points[:, near] - np.clip(beyond / 2, 0, 1) * moved.astype(np.float32)[:, None])
        return near, beyond, self.gap_mm * weight, weight
