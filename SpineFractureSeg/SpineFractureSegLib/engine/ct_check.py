"""Whether an image can be a CT of a spine, and what its impossible values become.

How MR and other images are told from CT without a DICOM header: every real CT of a body holds fat or air, both under
-100 HU, and bone over 100 HU. An image that lacks the first, or lacks the second without having air, is *refused*; one
that has few voxels in the range of fat is doubtful, and the user is *warned*. Images smaller than a vertebra may be a
crop of bone alone: those are only warned of.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.preprocessing import AIR_HU

METAL_HU = 3071  # the top of a 12 bit CT: nothing above matters for bone
_FAT_HU = (-300, -20)  # fat with noise and partial volume; 13-34 % of the voxels of nine spine CTs
_MOSTLY_ABOVE_HU = -100
_BONE_HU = 100
_NO_AIR_HU = -500
_FEW_FAT_VOXELS = 0.01
_VERTEBRA_MM3 = 20.0**3
_LARGEST_MM = 2500.0
_THICK_SLICES_MM = 5.0
_OFFSET_HU = 1024  # of CT stored without sign and without its rescale intercept


def check_ct(image: sitk.Image) -> list[str]:
    """Looks at shape, geometry and values before any work starts.

    Returns: warnings, one sentence each; empty for an ordinary CT.

    Raises: UserError, when this cannot be a CT of a spine.
    """
    refuse_wrong_shape(image)
    warnings = _check_geometry(image)
    values = _summarize(image)
    size_mm3 = float(np.prod(image.GetSize())) * voxel_volume_mm3(image)
    return warnings + _check_values(values, size_mm3)


def refuse_wrong_shape(image: sitk.Image) -> None:
    """Raises: UserError, when the image is not 3D with one number per voxel."""
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise UserError(
            f"The image has {image.GetNumberOfComponentsPerPixel()} values per voxel (color or vector), "
            "a CT with one Hounsfield value per voxel is needed: choose the CT itself."
        )
    if image.GetDimension() != 3:
        raise UserError(
            f"The image has {image.GetDimension()} dimensions (size {_times(image.GetSize())}), "
            "a CT volume with 3 is needed: choose one volume, not a single picture or a series over time."
        )
    if "complex" in image.GetPixelIDTypeAsString() or "label" in image.GetPixelIDTypeAsString():
        raise UserError(
            f"The image holds values of type '{image.GetPixelIDTypeAsString()}', "
            "a CT with one Hounsfield value per voxel is needed: choose the CT itself."
        )


def clean_hu(image: sitk.Image) -> sitk.Image:
    """int16 copy with values that a CT can have: clipped to -1024 to 3071 HU (padding, metal); NaN and infinity air."""
    if not _is_float(image):
        return sitk.Clamp(image, sitk.sitkInt16, AIR_HU, METAL_HU)
    source = sitk.GetArrayViewFromImage(image)
    result = np.empty(source.shape, np.int16)
    for k, plane in enumerate(source):
        result[k] = np.rint(np.clip(np.where(np.isfinite(plane), plane, AIR_HU), AIR_HU, METAL_HU))
    cleaned = sitk.GetImageFromArray(result)
    cleaned.CopyInformation(image)
    return cleaned


def voxel_volume_mm3(image: sitk.Image) -> float:
    """Volume of one voxel, also where the axes are not at right angles."""
    return float(np.prod(image.GetSpacing()) * abs(np.linalg.det(np.reshape(image.GetDirection(), (3, 3)))))


def _check_geometry(image: sitk.Image) -> list[str]:
    spacing = np.array(image.GetSpacing())
    extent = spacing * image.GetSize()
    if not np.isfinite([*spacing, *image.GetOrigin()]).all() or extent.max() > _LARGEST_MM:
        raise UserError(
            f"The image claims to measure {_times(np.round(extent))} mm (spacing {_times(spacing)} mm), "
            f"at most {_LARGEST_MM:.0f} mm along each axis is possible: correct the spacing stored in the file."
        )
    warnings = []
    axes = np.reshape(image.GetDirection(), (3, 3))
    if np.abs(axes.T @ axes - np.eye(3)).max() > 1e-3:
        warnings.append("The image's axes are not at right angles (gantry tilt or shear); true positions are used.")
    if min(image.GetSize()) == 1:
        warnings.append("The image is a single slice; loss of height can hardly be judged in it.")
    elif spacing.max() > _THICK_SLICES_MM:
        warnings.append(f"The slices are {spacing.max():.3g} mm apart; mild fractures can be missed between them.")
    return warnings


@dataclass(frozen=True)
class _Values:
    """What the voxels hold; the shares are of all finite voxels."""

    voxels: int
    not_finite: int
    minimum: float
    maximum: float
    fat_share: float
    offset_share: float  # between 900 and 1150: soft tissue of a CT stored with an offset of 1024


def _summarize(image: sitk.Image) -> _Values:
    """One walk over the slices: a single slice is copied at a time."""
    finite = fat = offset = 0
    minimum, maximum = np.inf, -np.inf
    for plane in _planes(image):
        finite += plane.size
        if plane.size:
            minimum, maximum = min(minimum, plane.min()), max(maximum, plane.max())
        fat += np.count_nonzero((plane > _FAT_HU[0]) & (plane < _FAT_HU[1]))
        offset += np.count_nonzero((plane > 900) & (plane < 1150))
    voxels = int(np.prod(image.GetSize()))
    share = 1 / max(finite, 1)
    return _Values(voxels, voxels - finite, float(minimum), float(maximum), fat * share, offset * share)


def _planes(image: sitk.Image) -> Iterator[np.ndarray]:
    """The finite values slice by slice."""
    is_float = _is_float(image)
    for plane in sitk.GetArrayViewFromImage(image):
        yield plane[np.isfinite(plane)] if is_float else plane


def _check_values(values: _Values, size_mm3: float) -> list[str]:
    if values.not_finite > values.voxels / 2:
        raise UserError(
            f"{100 * values.not_finite / values.voxels:.0f} % of the voxels are NaN or infinite, "
            "at most half may be: export the CT again."
        )
    found = f"values run from {values.minimum:.6g} to {values.maximum:.6g}"
    expected = "Hounsfield units are expected (air about -1000, fat about -100, bone 200 and more)"
    if values.minimum == values.maximum:
        raise UserError(f"All voxels have the value {values.minimum:.6g}, a CT is needed: choose another image.")
    doubts = []
    if values.minimum > _MOSTLY_ABOVE_HU:
        if values.offset_share > 0.05 and values.maximum > 1500:
            raise UserError(
                f"The {found}, {expected}: this looks like a CT stored without its offset, "
                f"subtract {_OFFSET_HU} from all voxels or export it again with the rescale intercept."
            )
        doubts.append(f"the {found} without any air or fat")
    if values.maximum < _BONE_HU:
        doubts.append(f"the {found} without any bone")
    if doubts and values.minimum > _NO_AIR_HU and size_mm3 > _VERTEBRA_MM3:
        raise UserError(
            f"This is no CT in Hounsfield units: {doubts[0]}, {expected}; choose the CT, not MR or a normalized image."
        )
    if values.fat_share < _FEW_FAT_VOXELS and not doubts:
        doubts.append(f"only {100 * values.fat_share:.2g} % of the voxels have values of fat")
    warnings = [f"Doubtful whether this is a CT in Hounsfield units: {doubt}." for doubt in doubts[:1]]
    if values.not_finite:
        warnings.append(f"{values.not_finite} voxels are NaN or infinite; they are treated as air.")
    return warnings


def _is_float(image: sitk.Image) -> bool:
    return image.GetPixelID() in (sitk.sitkFloat32, sitk.sitkFloat64)


def _times(numbers: object) -> str:
    return " x ".join(f"{n:.6g}" for n in numbers)
