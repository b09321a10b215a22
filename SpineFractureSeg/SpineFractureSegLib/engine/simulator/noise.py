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
        for axis, size in enumerate(shape):
            field = _stretch(field, axis, size, step)
    return field[tuple(slice(size) for size in shape)]


def _stretch(field: np.ndarray, axis: int, size: int, step: int) -> np.ndarray:
    """Linear interpolation along one axis from every ``step``-th voxel to ``size`` voxels."""
    position = np.arange(size, dtype=np.float32) / step
    lower = position.astype(np.intp)
    fraction = (position - lower).reshape([-1 if a == axis else 1 for a in range(field.ndim)])
    below, above = np.take(field, lower, axis), np.take(field, lower + 1, axis)
    return below + (above - below) * fraction
