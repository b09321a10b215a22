"""Any CT to the working grid, and what was found there back to the CT's own grid.

The *working grid* has world axes: arrays (slice z up, row y to the back, column x to the left), one isotropic spacing,
and an origin on a whole multiple of the spacing. A flipped, permuted, padded or cropped copy of a CT therefore gets the
same voxel values where it has data. Outside the CT there is air.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter1d

from SpineFractureSegLib.engine.ct_check import clean_hu
from SpineFractureSegLib.engine.preprocessing import AIR_HU

_WORLD_AXES = tuple(np.eye(3).ravel())
_FWHM_PER_SIGMA = 2.3548
_NEGLIGIBLE_SIGMA = 0.1  # voxels; such a kernel has weights under 1e-20 beside its center
_SLAB = 32  # slices that are smoothed at once: bounds the floating point copy


@dataclass(frozen=True)
class WorkingVolume:
    """A CT on the working grid."""

    hu: np.ndarray  # float32 (Z, Y, X), Hounsfield units from -1024 to 3071
    origin_mm: tuple[float, float, float]  # LPS position (x, y, z) of the center of voxel [0, 0, 0]
    spacing_mm: float  # along all axes


def to_working_grid(ct: sitk.Image, spacing_mm: float = 1.0) -> WorkingVolume:
    """Resamples a CT (linear, smoothed first where it is finer than the grid) to the working grid that covers it.

    Args:
        ct: scalar 3D image in Hounsfield units, any orientation, spacing and size; values no CT has are cleaned.
        spacing_mm: spacing of the grid.
    """
    hu = _canonical_axes(clean_hu(ct))
    hu = _at_least_as_thick(_smoothed(hu, spacing_mm), 2 * spacing_mm)
    origin, size = _covering_grid(hu, spacing_mm)
    resampled = sitk.Resample(
        hu, size, sitk.Transform(), sitk.sitkLinear, origin, [spacing_mm] * 3, _WORLD_AXES, AIR_HU, sitk.sitkFloat32
    )
    return WorkingVolume(sitk.GetArrayFromImage(resampled), origin, spacing_mm)


def to_ct_grid(array: np.ndarray, working: WorkingVolume, ct: sitk.Image) -> sitk.Image:
    """Resamples an array on the working grid (linear, 0 outside) to exactly the CT's size, spacing, origin, direction.

    Args:
        array: (Z, Y, X) on the grid of ``working``, for example a probability.
        working: what ``to_working_grid`` made of ``ct``.
        ct: the CT.

    Returns: float32 image.

    Raises: ValueError, when ``array`` is not on the working grid.
    """
    if array.shape != working.hu.shape:
        raise ValueError(f"array {array.shape} is not on the working grid {working.hu.shape}")
    image = sitk.GetImageFromArray(array.astype(np.float32, copy=False))
    image.SetOrigin(working.origin_mm)
    image.SetSpacing([working.spacing_mm] * 3)
    return sitk.Resample(image, ct, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32)


def _canonical_axes(hu: sitk.Image) -> sitk.Image:
    """Index axes flipped and permuted to lie nearest to left, back and up: mirrored copies become one image.

    The origin is rounded to a nanometer, because points on a face of the CT count as inside on one side only and the
    last digits of the origin must not decide which.
    """
    hu = sitk.DICOMOrient(hu, "LPS")
    hu.SetOrigin([round(o, 6) for o in hu.GetOrigin()])
    return hu


def _smoothed(hu: sitk.Image, spacing_mm: float) -> sitk.Image:
    """Gaussian along the axes where the CT is finer than the working grid, against aliasing; int16 in and out.

    The kernel widens a voxel's profile from the CT's spacing to the grid's, both taken as full widths at half maximum
    (Cardoso and others, Scale factor point spread function matching, MICCAI 2015).
    """
    fwhm = [max(spacing_mm**2 - s**2, 0.0) ** 0.5 for s in hu.GetSpacing()]
    sigma = [f / _FWHM_PER_SIGMA / s for f, s in zip(fwhm, hu.GetSpacing(), strict=True)][::-1]  # array axes, voxels
    if max(sigma) < _NEGLIGIBLE_SIGMA:
        return hu
    source = sitk.GetArrayViewFromImage(hu)
    result = np.empty_like(source)
    halo = int(np.ceil(4 * sigma[0])) + 1
    for start in range(0, len(source), _SLAB):
        first = max(start - halo, 0)
        slab = source[first : start + _SLAB + halo].astype(np.float32)
        for axis, s in enumerate(sigma):
            if s >= _NEGLIGIBLE_SIGMA:
                slab = gaussian_filter1d(slab, s, axis=axis, mode="nearest")
        slab = slab[start - first :][:_SLAB]
        result[start : start + _SLAB] = np.rint(slab, out=slab)
    image = sitk.GetImageFromArray(result)
    image.CopyInformation(hu)
    return image


def _at_least_as_thick(hu: sitk.Image, thickness_mm: float) -> sitk.Image:
    """Repeats the outermost slices of an axis thinner than this, so that it cannot fall between the grid's points."""
    missing = [
        max(0, int(np.ceil((thickness_mm / s - n) / 2))) for n, s in zip(hu.GetSize(), hu.GetSpacing(), strict=True)
    ]
    return sitk.ZeroFluxNeumannPad(hu, missing, missing) if any(missing) else hu


def _covering_grid(hu: sitk.Image, spacing_mm: float) -> tuple[tuple[float, float, float], list[int]]:
    """Origin in mm and size (x, y, z) of the grid of whole multiples of the spacing that covers the outer faces."""
    faces = np.stack(np.meshgrid(*[(-0.5, n - 0.5) for n in hu.GetSize()])).reshape(3, 8).T
    corners = np.array([hu.TransformContinuousIndexToPhysicalPoint(tuple(map(float, face))) for face in faces])
    lower = np.floor(np.round(corners.min(0) / spacing_mm, 6)).astype(int)
    upper = np.ceil(np.round(corners.max(0) / spacing_mm, 6)).astype(int)
    return tuple(float(n) * spacing_mm for n in lower), [int(n) for n in upper - lower + 1]
