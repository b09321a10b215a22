"""How the spine lies in a case: turned, scaled, smoothly bent, and anywhere but always in the middle."""

import numpy as np

from SpineFractureSegLib.engine.simulator.config import SimulationConfig
from SpineFractureSegLib.engine.simulator.noise import smooth_noise


def posed_points(rng: np.random.Generator, centre: np.ndarray, config: SimulationConfig) -> np.ndarray:
    """Points float32 (3, Z*Y*X) of the spine's grid that the case's voxels look at, round ``centre`` (z, y, x)."""
    shape = config.shape
    grid = np.indices(shape, dtype=np.float32).reshape(3, -1)
    grid -= (np.array(shape, np.float32) / 2)[:, None]
    grid[1] -= rng.uniform(-30, 15)  # the spine lies behind the middle more often than before it
    about_x, about_y, about_z = np.deg2rad(rng.normal(0, config.tilt_deg))
    rotation = _rotation(1, 0, about_x) @ _rotation(2, 0, about_y) @ _rotation(2, 1, about_z)
    scale = rng.uniform(*config.scale) * np.diag(rng.uniform(*config.stretch, 3))
    points = (rotation @ scale).astype(np.float32) @ grid
    amplitude = np.float32(rng.uniform(*config.elastic_mm))
    for axis in range(3):
        points[axis] += amplitude * smooth_noise(rng, shape, 20).ravel() + np.float32(centre[axis])
    return points


def _rotation(first: int, second: int, angle: float) -> np.ndarray:
    """Rotation by ``angle`` in the plane of two of the axes z, y, x (0, 1, 2)."""
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[first, second], matrix[second, first] = np.sin(angle), -np.sin(angle)
    return matrix
