"""A CT from disk: NIfTI, NRRD, MHA, a DICOM folder or a file of a DICOM series.

``read_ct`` is about the file: can it be read whole, does it hold one volume. ``check_ct`` is about what the image
shows: shape, geometry and values that a CT can have; ``segment_ct`` calls it for images from any source.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from SpineFractureSegLib.engine import nifti
from SpineFractureSegLib.engine.ct_check import check_ct, refuse_wrong_shape
from SpineFractureSegLib.engine.dicom_files import DicomSeries, choose_series, is_dicom_file, series_of_file
from SpineFractureSegLib.engine.dicom_series import read_series
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.quiet_itk import quiet_itk

__all__ = ["IMAGE_SUFFIXES", "VolumeRead", "check_ct", "image_suffix", "read_ct", "read_image"]

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")


@dataclass(frozen=True)
class VolumeRead:
    """A CT as it was read."""

    image: sitk.Image  # 3D, int16 or float32, Hounsfield units as stored
    warnings: list[str]  # of reading, one sentence each; those of the values come from check_ct
    series: DicomSeries | None = None  # where it came from DICOM

    @property
    def dicom(self) -> bool:
        return self.series is not None


def read_ct(path: str | Path, series: str | int | None = None) -> VolumeRead:
    """Reads a CT.

    Args:
        path: file or DICOM folder; a file of a DICOM series stands for the whole series.
        series: number or UID, where a DICOM folder holds several series.

    Raises: UserError, when this is not one readable volume.
    """
    path = Path(path)
    _refuse_unreadable(path)
    if path.is_dir():
        chosen, warnings = choose_series(path, series)
    elif image_suffix(path) is None and is_dicom_file(path):
        chosen, warnings = series_of_file(path)
    else:
        if series is not None:
            raise UserError(f"--series {series} was given, but '{path}' is not a DICOM folder: leave it out.")
        image, warnings = _read_file(path)
        return VolumeRead(_as_ct(image), warnings)
    image, more = read_series(chosen)
    return VolumeRead(_as_ct(image), warnings + more, chosen)


def read_image(path: str | Path) -> sitk.Image:
    """Reads any NIfTI, NRRD or MetaImage file as it is, for example a mask.

    Raises: UserError, when it cannot be read.
    """
    path = Path(path)
    _refuse_unreadable(path)
    if path.is_dir():
        raise UserError(f"'{path}' is a folder, an image file is needed ({', '.join(IMAGE_SUFFIXES)}).")
    return _read_file(path)[0]


def image_suffix(path: str | Path) -> str | None:
    """The suffix among ``IMAGE_SUFFIXES``, or None.

    >>> image_suffix("A.SEG.NRRD"), image_suffix("ct.nii.gz"), image_suffix("ct.1.2.840")
    ('.nrrd', '.nii.gz', None)
    """
    name = Path(path).name.lower()
    return next((suffix for suffix in IMAGE_SUFFIXES if name.endswith(suffix)), None)


def _refuse_unreadable(path: Path) -> None:
    if not path.exists():
        raise UserError(f"'{path}' does not exist: check the name.")
    if not os.access(path, os.R_OK):
        raise UserError(f"'{path}' may not be read: ask for permission or copy it.")
    if path.is_file() and path.stat().st_size == 0:
        raise UserError(f"'{path}' is empty: copy or export it again.")


def _read_file(path: Path) -> tuple[sitk.Image, list[str]]:
    suffix = image_suffix(path)
    if suffix is None:
        kind = "a DICOM file without its mark" if path.suffix.lower() in _DICOM_SUFFIXES else "of no known type"
        raise UserError(
            f"'{path.name}' is {kind}, a CT is needed as {', '.join(IMAGE_SUFFIXES)}, DICOM folder or DICOM file."
        )
    header = nifti.read_header(path) if suffix.startswith(".nii") else None
    if header is not None:
        nifti.refuse_incomplete(path, header)
    try:
        with quiet_itk():
            try:
                image = sitk.ReadImage(str(path))
            except RuntimeError as error:
                if header is None or "orthonormal" not in str(error):
                    raise
                image = nifti.read_with_shear(path, header)
    except RuntimeError as error:
        raise UserError(
            f"'{path}' is no image, damaged or incomplete: {_cause(error)}; copy or export it again."
        ) from error
    warnings = []
    if header is not None and header.qform_code <= 0 and header.sform_code <= 0:
        warnings.append("The NIfTI file does not say how the patient lies; its axes are taken as stored.")
    return image, warnings


def _cause(error: RuntimeError) -> str:
    """The last line of ITK's message without its source file."""
    last = str(error).strip().splitlines()[-1]
    return last.rsplit("ERROR: ", 1)[-1].strip(" .")


def _as_ct(image: sitk.Image) -> sitk.Image:
    """3D in int16 or float32, the smallest types that hold Hounsfield units; a fourth axis of one step is dropped."""
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[:, :, :, 0]
    refuse_wrong_shape(image)
    if image.GetPixelID() in (sitk.sitkFloat32, sitk.sitkFloat64):
        return sitk.Cast(image, sitk.sitkFloat32)
    return sitk.Clamp(image, sitk.sitkInt16, -32768, 32767)
