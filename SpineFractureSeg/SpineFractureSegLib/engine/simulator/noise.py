"""Smooth random fields, made on a coarse grid and interpolated: what makes tissue, shape and scanner irregular."""

import numpy as np
from scipy import ndimage


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> np.ndarray:
    """Gaussian random field of zero mean and unit standard deviation, float32, correlated over ``sigma`` voxels."""
    step = max(1, int(sigma // 1.5))
    coarse = [max(4, -(-size // step) + 3) for size in shape]
    field = ndimage.gaussian_filter(rng.standard_normal(coarse, dtype=np.float32), sigma / step)
    field /= field.std() + 1e-6
    if step > 1:
        slices, rows, columns = (
            _interpolation(size, coarse_size, step) for size, coarse_size in zip(shape, field.shape, strict=True)
        )
        field = np.tensordot(slices, field, 1)
        field = rows @ field
        return field @ columns.T
    return field[tuple(slice(size) for size in shape)]


def _interpolation(size: int, coarse_size: int, step: int) -> np.ndarray:
    """Linear interpolation from every ``step``-th voxel to ``size`` voxels as a matrix (size, coarse_size)."""
    position = np.arange(size, dtype=np.float32) / step
    return np.clip(1 - np.abs(position[:, None] - np.arange(coarse_size, dtype=np.float32)), 0, None)
