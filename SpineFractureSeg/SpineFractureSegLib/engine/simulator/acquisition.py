"""What the scanner makes of it: slice thickness, kernel, noise."""

import numpy as np
from scipy import ndimage

from SpineFractureSegLib.engine.simulator.config import SimulationConfig


def acquire(hu: np.ndarray, real: bool, config: SimulationConfig, rng: np.random.Generator) -> np.ndarray:
    """A scan of the volume on the same 1 mm grid.

    Args: hu: float32 (Z, Y, X); real: the volume is a real CT, which has blur and noise of its own.
    Returns: int16 (Z, Y, X).
    """
    if rng.random() < config.thick_slices:
        thickness = float(rng.choice(config.slice_thickness_mm))
        axis = int(rng.choice(3, p=(0.7, 0.0, 0.3)))  # axial slices, or sagittal ones as spine protocols store them
        hu = thick_slices(hu, min(thickness, 3.0) if axis == 2 else thickness, axis, rng)
    hu = ndimage.gaussian_filter(hu, rng.uniform(*config.blur_mm) * (0.5 if real else 1.0))
    if rng.random() < config.sharpen:
        hu = hu + rng.uniform(0.3, 1.2) * (hu - ndimage.gaussian_filter(hu, 1.2))
    noise = ndimage.gaussian_filter(rng.standard_normal(hu.shape, dtype=np.float32), rng.uniform(0.2, 0.9, 3))
    level = rng.uniform(*config.noise_hu) * (0.6 if real else 1.0)
    return np.clip(np.round(hu + noise * (level / noise.std())), -1024, 3071).astype(np.int16)


def thick_slices(hu: np.ndarray, thickness_mm: float, axis: int, rng: np.random.Generator) -> np.ndarray:
    """Averages over the slice profile, keeps one slice every ``thickness_mm`` and interpolates back to 1 mm."""
    size = hu.shape[axis]
    averaged = ndimage.gaussian_filter1d(hu, 0.4 * thickness_mm, axis=axis)
    kept = np.arange(rng.uniform(0, min(thickness_mm, size / 2)), size, thickness_mm)
    kept = kept[kept <= size - 1]
    position = np.interp(np.arange(size), kept, np.arange(len(kept)))
    lower = np.minimum(position.astype(int), max(len(kept) - 2, 0))
    fraction = (position - lower).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    slices = np.take(averaged, np.round(kept).astype(int), axis=axis)
    upper = np.minimum(lower + 1, len(kept) - 1)
    return np.take(slices, lower, axis=axis) * (1 - fraction) + np.take(slices, upper, axis=axis) * fraction
