"""Fracture lines that open: a cleft inside one body, and a distraction that lifts the column off the part below.

Both are backward maps like a squeeze; in the opened gap they point at the bone beside it, and ``opened`` says how much
of each voxel the gap fills, so that it can be drawn.
"""

from dataclasses import dataclass

import numpy as np

from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame

_RECOVERY_MM = 9.0  # how far beside a cleft the bone is pushed aside
_REACH_MM = 50.0


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
        near = np.flatnonzero((np.abs(points - frame.centre[:, None]) < _REACH_MM).all(axis=0))
        coordinates = frame.coordinates(points[:, near])
        distance = sum(np.float32(n) * c for n, c in zip(self.normal, coordinates, strict=True)) - self.offset_mm
        first, second = (
            (coordinates[1], coordinates[2])
            if abs(self.normal[0]) > 0.7
            else (coordinates[0], coordinates[1] + coordinates[2])
        )
        distance = distance - self.waves.at(first, second)
        half = (frame.height_mm, *(high - low for low, high in (frame.depth_range, frame.width_range)))
        radius = sum(
            (2 * (c - p) / (self.extent * h)) ** 4 for c, p, h in zip(coordinates, self.place, half, strict=True)
        )  # a box with round corners: 1 at the walls
        inside = self.gap_mm * np.clip((1.12 - radius**0.25) / 0.2, 0, 1)
        return near, distance, inside * np.clip(0.75 + 0.5 * self.waves.at(second, first) / 2, 0.2, 1.2)


@dataclass(frozen=True)
class Distraction:
    """A flexion-distraction (Chance) fracture: all above an uneven plane leans forward round a hinge at its front."""

    frame: VertebraFrame
    height_mm: float  # of the plane at the body's centre
    slope: float  # tangent of the opening's angle
    waves: Waves
    filling_hu: float

    def backward(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As ``Squeeze.backward``; the local compression stays 1."""
        height, opening = self._opening(points)
        moved = np.flatnonzero(height > 0)
        lever = np.maximum(height[moved] - opening[moved], 0)
        lowered = np.minimum(height[moved], opening[moved])
        result = points.copy()
        result[:, moved] -= self.frame.up[:, None] * lowered.astype(np.float32)
        settled = np.clip(lever / 8, 0, 1) * lever  # the plane itself does not slide
        result[:, moved] -= self.frame.front[:, None] * (self.slope * settled).astype(np.float32)
        return result, np.ones(points.shape[1], np.float32)

    def opened(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As ``Cleft.opened``."""
        height, opening = self._opening(points)
        share = np.clip(np.minimum(height, opening - height) + 0.5, 0, np.clip(opening, 0, 1))
        inside = np.flatnonzero(share > 0.02)
        return inside, share[inside]

    def _opening(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Height above the plane and how far it gapes there, in mm."""
        height, depth, width = self.frame.coordinates(points)
        height = height - self.height_mm - self.waves.at(depth, width)
        hinge = self.frame.depth_range[1] + 1
        return height, self.slope * np.clip(hinge - depth, 0, 75)
