"""Fracture lines that open: a cleft inside one body, and a distraction that lifts the column off the part below.

Both are backward maps like a squeeze; in the opened gap they point at the bone beside it, and ``opened`` says how much
of each voxel the gap fills, so that it can be drawn.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame

_RECOVERY_MM = 9.0  # how far beside a cleft the bone is pushed aside
_REACH_MM = 50.0
_GAPES_MM = 62.0  # behind its hinge a distraction opens no wider than here
_STRETCHED_MM = 16.0  # of soft tissue above and below a distraction that stretch, where bone gapes
_CROSSED_MM = 5.0  # bone so far from a distraction's plane is torn by it


@dataclass(frozen=True)
class Waves:
    """A smooth random function of two coordinates in mm: the unevenness of a broken surface."""

    coefficients: np.ndarray  # (K, 3): two slopes in 1/mm and a phase
    amplitude_mm: float

    def at(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        total = sum(np.cos(first * a + second * b + c) for a, b, c in self.coefficients.astype(np.float32))
        return np.float32(self.amplitude_mm) * total


def draw_waves(rng: np.random.Generator, amplitude_mm: float) -> Waves:
    """Long and short waves together."""
    slopes = np.concatenate([rng.normal(0, 0.1, (4, 2)), rng.normal(0, 0.35, (2, 2))])
    return Waves(np.concatenate([slopes, rng.uniform(0, 6.28, (6, 1))], axis=1), amplitude_mm)


@dataclass(frozen=True)
class Cleft:
    """A gap along an uneven plane that ends inside the body or at its wall; the bone beside it makes way."""

    frame: VertebraFrame
    normal: tuple[float, float, float]  # unit vector in (height, depth, width)
    offset_mm: float  # of the plane from the body's centre
    gap_mm: float
    waves: Waves
    extent: float  # 1: as far as the walls; less: it ends inside
    place: tuple[float, float, float]  # where it is widest, (height, depth, width) in mm
    filling_hu: float

    def backward(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As ``Squeeze.backward``; the local compression stays 1."""
        near, distance, gap = self._gap(points)
        half = gap / 2
        beside = np.abs(distance)
        source = np.where(
            beside < _RECOVERY_MM, np.maximum(beside - half, 0) * _RECOVERY_MM / (_RECOVERY_MM - half), beside
        )
        result = points.copy()
        move = np.sign(distance) * (source - beside)
        result[:, near] += self._direction()[:, None] * move.astype(np.float32)
        return result, np.ones(points.shape[1], np.float32)

    def opened(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Indices (N,) of points of the fractured image in the gap, and the share of their voxel that it fills."""
        near, distance, gap = self._gap(points)
        share = np.clip(0.5 + gap / 2 - np.abs(distance), 0, np.minimum(gap, 1))
        inside = share > 0.02
        return near[inside], share[inside]

    def _direction(self) -> np.ndarray:
        frame = self.frame
        return sum(
            np.float32(n) * axis for n, axis in zip(self.normal, (frame.up, frame.front, frame.side), strict=True)
        )

    def _gap(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points near the body, their signed distance from the plane in mm, and how wide the gap is there."""
        frame = self.frame
        near = frame.near(points, _REACH_MM)
        coordinates = frame.coordinates(points[:, near])
        distance = sum(np.float32(n) * c for n, c in zip(self.normal, coordinates, strict=True)) - np.float32(
            self.offset_mm
        )
        first, second = (
            (coordinates[1], coordinates[2])
            if abs(self.normal[0]) > 0.7
            else (coordinates[0], coordinates[1] + coordinates[2])
        )
        distance = distance - self.waves.at(first, second)
        half = (frame.height_mm, *(high - low for low, high in (frame.depth_range, frame.width_range)))
        squared = (
            ((c - np.float32(p)) * np.float32(2 / (self.extent * h))) ** 2
            for c, p, h in zip(coordinates, self.place, half, strict=True)
        )
        radius = np.sqrt(np.sqrt(sum(r * r for r in squared)))  # a box with round corners: 1 at the walls
        inside = np.float32(self.gap_mm) * np.clip((np.float32(1.12) - radius) / np.float32(0.2), 0, 1)
        return near, distance, inside * np.clip(0.75 + 0.5 * self.waves.at(second, first) / 2, 0.2, 1.2)


@dataclass(frozen=True)
class Distraction:
    """A flexion-distraction (Chance) fracture: all above an uneven plane leans forward round a hinge at its front.

    Bone gapes; the soft tissue between and behind it, which does not break, stretches over some centimetres.
    """

    frame: VertebraFrame
    height_mm: float  # of the plane at the body's centre
    slope: float  # tangent of the opening's angle
    waves: Waves
    filling_hu: float
    footprint: np.ndarray  # float32 (depth, width), 1 mm: where the plane crosses bone, 0 to 1
    corner_mm: tuple[float, float]  # depth and width of the footprint's first entry

    def backward(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As ``Squeeze.backward``; less than 1 where soft tissue was stretched."""
        height, opening, bone = self._opening(points)
        density = np.ones(points.shape[1], np.float32)
        moved = np.flatnonzero(height > -_STRETCHED_MM)
        height, opening, bone = height[moved], opening[moved], bone[moved]
        stretch = 2 * _STRETCHED_MM / (2 * _STRETCHED_MM + opening)
        between = height < _STRETCHED_MM + opening
        torn = np.clip(height, 0, opening)  # how far bone comes down
        spread = np.where(between, (height + _STRETCHED_MM) * (1 - stretch), opening)
        lowered = bone * torn + (1 - bone) * spread
        density[moved] = np.where(between, 1 - (1 - bone) * (1 - stretch), 1)
        lever = np.maximum(height - opening, 0)
        result = points.copy()
        settled = np.clip(lever / 8, 0, 1) * lever  # the plane itself does not slide
        result[:, moved] -= self.frame.up[:, None] * lowered + self.frame.front[:, None] * (self.slope * settled)
        return result, density

    def opened(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As ``Cleft.opened``."""
        height, opening, bone = self._opening(points)
        share = bone * np.clip(np.minimum(height, opening - height) + 0.5, 0, np.clip(opening, 0, 1))
        inside = np.flatnonzero(share > 0.02)
        return inside, share[inside]

    def _opening(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Height above the plane and how far it gapes there, in mm; how much of that place is bone, 0 to 1."""
        height, depth, width = self.frame.coordinates(points)
        height = height - np.float32(self.height_mm) - self.waves.at(depth, width)
        hinge = self.frame.depth_range[1] + 1
        index = [
            np.clip(at - np.float32(first) + 0.5, 0, size - 1).astype(np.intp)
            for at, first, size in zip((depth, width), self.corner_mm, self.footprint.shape, strict=True)
        ]
        opening = np.float32(self.slope) * np.clip(hinge - depth, 0, _GAPES_MM)
        return height, opening, self.footprint[index[0], index[1]]


def draw_distraction(
    rng: np.random.Generator, bone: np.ndarray, frame: VertebraFrame, filling_hu: float
) -> Distraction:
    """A distraction through the body and, behind it, through whatever bone lies at its height.

    Args: bone: float32 (3, N), points of the vertebra's bone, arch included.
    """
    height_mm = rng.uniform(-0.15, 0.25) * frame.height_mm
    slope = rng.uniform(6, 12) / (frame.depth_range[1] - frame.depth_range[0] + 25)  # mm that the arch gapes by
    height, depth, width = frame.coordinates(bone)
    crossed = np.abs(height - height_mm) < _CROSSED_MM
    corner = frame.depth_range[1] - _GAPES_MM - 20, -70.0
    footprint = np.zeros((int(_GAPES_MM) + 35, 141), np.float32)
    index = [np.round(at[crossed] - first).astype(int) for at, first in zip((depth, width), corner, strict=True)]
    inside = np.all([(i >= 0) & (i < n) for i, n in zip(index, footprint.shape, strict=True)], axis=0)
    footprint[index[0][inside], index[1][inside]] = 1
    footprint = ndimage.gaussian_filter(ndimage.grey_dilation(ndimage.grey_closing(footprint, (5, 5)), (7, 7)), 1.0)
    footprint[[0, -1]] = footprint[:, [0, -1]] = 0  # the edge's value holds further out
    waves = draw_waves(rng, rng.uniform(0.2, 0.6))
    return Distraction(frame, height_mm, slope, waves, filling_hu, footprint, corner)
