"""What the scanner makes of it: slice thickness, kernel, dose, streaks, field of view, motion."""

import numpy as np
from scipy import ndimage

from SpineFractureSegLib.engine.simulator.config import SimulationConfig

_AIR_HU = -1024


def acquire(
    hu: np.ndarray, real: bool, config: SimulationConfig, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, float]]:
    """A scan of the volume on the same 1 mm grid.

    Args: hu: float32 (Z, Y, X); real: the volume is a real CT, which has blur and noise of its own.
    Returns: int16 (Z, Y, X), and what was drawn: slice_mm, blur_mm, sharpness, noise_hu (of the scan's own making).
    """
    if real and rng.random() < config.as_scanned:
        return _stored(hu), {"slice_mm": 1.0, "blur_mm": 0.0, "sharpness": 0.0, "noise_hu": 0.0}
    blur_mm = rng.uniform(*config.blur_mm) * (0.5 if real else 1.0)
    sharpness = rng.uniform(0.3, 1.2) if rng.random() < config.sharpen else 0.0
    noise_hu = float(np.exp(rng.uniform(*np.log(config.noise_hu)))) * (0.6 if real else 1.0)
    if rng.random() < config.motion:
        hu = _with_ghost(hu, rng)
    slice_mm = 1.0
    if rng.random() < config.thick_slices:
        slice_mm = float(rng.choice(config.slice_thickness_mm))
        axis = int(rng.choice(3, p=(0.7, 0.0, 0.3)))  # axial slices, or sagittal ones as spine protocols store them
        slice_mm = min(slice_mm, 3.0) if axis == 2 else slice_mm
        hu = thick_slices(hu, slice_mm, axis, rng)
    hu = ndimage.gaussian_filter(hu, blur_mm)
    if sharpness:
        hu = hu + np.float32(sharpness) * (hu - ndimage.gaussian_filter(hu, 1.2))
    hu = hu + np.float32(noise_hu) * _noise(rng, hu.shape, sharpness)
    if rng.random() < config.starvation:
        hu += _starvation(rng, hu.shape)
    if rng.random() < config.small_field:
        hu = np.where(_round_field(rng, hu.shape[1:]), hu, _AIR_HU)
    about = {"slice_mm": slice_mm, "blur_mm": blur_mm, "sharpness": sharpness, "noise_hu": noise_hu}
    return _stored(hu), {key: round(float(value), 3) for key, value in about.items()}


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


def _stored(hu: np.ndarray) -> np.ndarray:
    return np.clip(np.round(hu), -1024, 3071).astype(np.int16)


def _noise(rng: np.random.Generator, shape: tuple[int, ...], sharpness: float) -> np.ndarray:
    """Unit noise: grainy for a soft kernel, finer than the grid for a sharp one."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    if sharpness:
        noise -= 0.4 * sharpness * ndimage.gaussian_filter(noise, 1.0)
    else:
        noise = ndimage.gaussian_filter(noise, rng.uniform(0.2, 0.9, 3))
    return noise / noise.std()


def _starvation(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Streaks from left to right over some slices, where the rays cross most bone or metal; float32 (Z, Y, X)."""
    streaks = ndimage.gaussian_filter1d(rng.standard_normal(shape[:2], dtype=np.float32), 1.0, axis=1)
    centre, reach = rng.uniform(0, shape[0]), rng.uniform(15, 50)
    along = np.exp(-(((np.arange(shape[0]) - centre) / reach) ** 2))[:, None]
    slope = ndimage.shift(streaks, (0, 0.3), order=1)
    across = np.linspace(0, 1, shape[2], dtype=np.float32)
    level = rng.uniform(10, 50) * along / streaks.std()
    return ((streaks * level)[:, :, None] * (1 - across) + (slope * level)[:, :, None] * across).astype(np.float32)


def _round_field(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """A round field of view of a small spine reconstruction; bool (Y, X)."""
    y, x = np.indices(shape)
    radius = rng.uniform(0.42, 0.6) * max(shape)
    middle = (shape[0] * rng.uniform(0.4, 0.6), shape[1] * rng.uniform(0.45, 0.55))
    return np.hypot(y - middle[0], x - middle[1]) < radius


def _with_ghost(hu: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The patient moved during some slices: what is there is seen twice."""
    start, length = rng.integers(0, max(1, hu.shape[0] - 10)), rng.integers(6, 30)
    moved = hu.copy()
    shift, axis = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    slab = hu[start : start + length]
    moved[start : start + length] = 0.6 * slab + 0.4 * np.roll(slab, shift, axis=axis)
    return moved
