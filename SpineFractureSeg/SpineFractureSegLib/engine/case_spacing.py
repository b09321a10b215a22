"""A case on a coarser or finer grid, for networks that work at another spacing than the 1 mm of stored cases."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from SpineFractureSegLib.engine.case import Case

_FWHM_PER_SIGMA = 2.3548
_LABEL_SIGMA = 0.3  # of the new spacing: a label's outline is smoothed by it, so that it is not stair-stepped


def at_spacing(case: Case, spacing_mm: float) -> Case:
    """The case with voxels of another size; voxel [0, 0, 0] keeps its place. The case itself, where the size is right.

    Hounsfield units are smoothed as the pipeline smooths a CT that is finer than its working grid, then interpolated
    linearly. A voxel takes the label whose smoothed mask is largest there and at least one half.
    """
    factor = spacing_mm / case.spacing_mm
    if abs(factor - 1) < 1e-6:
        return case
    shape = tuple(int(np.floor((length - 1) / factor + 1e-6)) + 1 for length in case.hu.shape)
    sigma = max(factor**2 - 1, 0.0) ** 0.5 / _FWHM_PER_SIGMA
    hu = ndimage.gaussian_filter(case.hu.astype(np.float32), sigma, mode="nearest", truncate=3.0)
    return replace(
        case,
        hu=np.rint(_sampled(hu, factor, shape)).astype(np.int16),
        bodies=_labels_sampled(case.bodies, factor, shape),
        fracture_map=None if case.fracture_map is None else _labels_sampled(case.fracture_map, factor, shape),
        spacing_mm=spacing_mm,
    )


def volume_at(volume: np.ndarray, spacing_mm: float, wanted_mm: float, shape: tuple[int, ...]) -> np.ndarray:
    """A probability (Z, Y, X) at ``spacing_mm``, interpolated linearly at ``wanted_mm`` on a grid of this shape."""
    if abs(spacing_mm - wanted_mm) < 1e-6 and volume.shape == tuple(shape):
        return volume
    return _sampled(volume.astype(np.float32, copy=False), wanted_mm / spacing_mm, shape)


def _sampled(volume: np.ndarray, factor: float, shape: tuple[int, ...]) -> np.ndarray:
    """Voxel k of the answer is at index ``factor * k``; beyond the last voxel its value is repeated."""
    return ndimage.affine_transform(volume, [factor] * 3, output_shape=shape, order=1, mode="nearest")


def _labels_sampled(labels: np.ndarray, factor: float, shape: tuple[int, ...]) -> np.ndarray:
    result = np.zeros(shape, labels.dtype)
    # of the label that holds a voxel so far; a little less than a half: between two that touch both may have just that
    share = np.full(shape, 0.5 - 1e-4, np.float32)
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        # the part of the new grid whose points lie in the box or within a voxel of it
        first = [max(int(np.ceil((axis.start - 1) / factor)), 0) for axis in box]
        last = [min(int(np.floor(axis.stop / factor)), length - 1) for axis, length in zip(box, shape, strict=True)]
        if any(a > b for a, b in zip(first, last, strict=True)):
            continue
        margin = int(np.ceil(3 * max(factor, 1.0))) + 1
        cut = [max(axis.start - margin, 0) for axis in box]
        mask = labels[tuple(slice(a, axis.stop + margin) for a, axis in zip(cut, box, strict=True))] == label
        smooth = ndimage.gaussian_filter(mask.astype(np.float32), _LABEL_SIGMA * max(factor, 1.0), mode="nearest")
        offset = [f * factor - c for f, c in zip(first, cut, strict=True)]
        size = [b - a + 1 for a, b in zip(first, last, strict=True)]
        own = ndimage.affine_transform(smooth, [factor] * 3, offset, size, order=1, mode="nearest")
        target = tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))
        larger = own > share[target]
        result[target][larger] = label
        share[target][larger] = own[larger]
    return result
