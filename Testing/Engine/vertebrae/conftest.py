"""A made spine of elliptic cylinders, bent and tilted, whose heights are known exactly."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import expit


@dataclass(frozen=True)
class MadeBody:
    """An elliptic cylinder with its own axes; the upper endplate may slope and be hollow."""

    centre_mm: tuple[float, float, float]  # z, y, x
    tilt_deg: float  # about the left-right axis: its head leans forward
    posterior_mm: float = 24.0
    anterior_mm: float = 24.0
    hollow_mm: float = 0.0  # by which the middle is lower than halfway between front and back
    depth_mm: float = 32.0
    width_mm: float = 42.0

    def distance_mm(self, z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Roughly to the surface, positive inside."""
        tilt = np.deg2rad(self.tilt_deg)
        dz, dy, dx = z - self.centre_mm[0], y - self.centre_mm[1], x - self.centre_mm[2]
        height, depth = np.cos(tilt) * dz - np.sin(tilt) * dy, -np.cos(tilt) * dy - np.sin(tilt) * dz
        share = depth / self.depth_mm + 0.5  # 0 at the back wall, 1 at the front
        # heights are exact at 0.87 and 0.13 of the depth, where they are measured
        mean = self.posterior_mm + (self.anterior_mm - self.posterior_mm) * (share - 0.13) / 0.74
        mean = mean - self.hollow_mm * np.clip(1 - ((share - 0.5) / 0.37) ** 2, 0, 1)
        lower = -self.posterior_mm / 2
        half_depth, half_width = self.depth_mm / 2, self.width_mm / 2
        radial = 1 - np.sqrt((depth / half_depth) ** 2 + (dx / half_width) ** 2)
        endplates = np.minimum(height - lower, lower + mean - height)
        return np.minimum(endplates, radial * min(half_depth, half_width))


def made_column(
    count: int = 5, *, pitch_mm: float = 33.0, spacing_mm: float = 1.0, shape_mm=(200, 130, 90), **changed: dict
) -> tuple[list[MadeBody], np.ndarray]:
    """A lordotic column from the top down and its probability, soft as a network's at the surfaces.

    Args: changed: fields of single bodies by "body_1" (the highest), "body_2", ...
    """
    bodies, centre = [], np.array([shape_mm[0] - 22.0, 70.0, 45.0])
    for number in range(count):
        tilt = -18.0 + 36.0 * number / max(count - 1, 1)
        bodies.append(MadeBody(tuple(centre), tilt, **changed.get(f"body_{number + 1}", {})))
        step = np.deg2rad(tilt + 18.0 / max(count - 1, 1))
        centre = centre + pitch_mm * np.array([-np.cos(step), np.sin(step), 0.0])
    return bodies, probability_of(bodies, shape_mm, spacing_mm)


def probability_of(bodies: list[MadeBody], shape_mm, spacing_mm: float = 1.0) -> np.ndarray:
    z, y, x = np.meshgrid(*(np.arange(0, size, spacing_mm) for size in shape_mm), indexing="ij", sparse=True)
    distance = np.max([body.distance_mm(z, y, x) for body in bodies], axis=0)
    return expit(distance / 0.4).astype(np.float32)


@pytest.fixture(scope="session")
def column() -> tuple[list[MadeBody], np.ndarray]:
    return made_column()


@pytest.fixture(scope="session")
def make_column() -> Callable:
    return made_column
