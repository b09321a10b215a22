"""Where a disc was stretched its grain was stretched too, into streaks that no scanner makes: it is drawn anew."""

import numpy as np
from scipy import ndimage

_FROM, _FULL = 0.85, 0.6  # compression from which the grain is replaced, and below which wholly
_MARGIN = 4


def renew_grain(hu: np.ndarray, compression: np.ndarray, slice_step_mm: float, rng: np.random.Generator) -> None:
    """Replaces the grain of stretched tissue by one as strong but round, in place.

    Args: hu: float32 (Z, Y, X); compression: (Z*Y*X,), below 1 where one millimetre became more;
        slice_step_mm: of the scan, whose grain is as long.
    """
    weight = np.clip((_FROM - compression.reshape(hu.shape)) / (_FROM - _FULL), 0, 1)
    sigma = (max(0.8, 0.4 * slice_step_mm), 0.8, 0.8)
    parts, _ = ndimage.label(weight > 0)
    for box in ndimage.find_objects(parts):
        box = tuple(slice(max(0, edge.start - _MARGIN), edge.stop + _MARGIN) for edge in box)
        here, inside = hu[box], weight[box] > 0
        mean = ndimage.gaussian_filter(np.where(inside, here, 0), 1.5)
        mean /= np.maximum(ndimage.gaussian_filter(inside.astype(np.float32), 1.5), 1e-3)  # of the tissue alone
        grain = ndimage.gaussian_filter(rng.standard_normal(here.shape, dtype=np.float32), sigma)
        strength = 1.2 * float(np.median(np.abs(here - mean)[inside]))  # not moved by the bone at the rim
        new = mean + grain * (strength / max(float(grain.std()), 1e-6))
        hu[box] = np.where(inside, here * (1 - weight[box]) + new * weight[box], here)
