"""The CT's own DICOM images, which segmentation and report refer to.

A *frame* is one image of the source series, at its true position: where the CT's volume was interpolated over missing
slices or straightened from a tilted gantry, a frame is sampled back from it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from SpineFractureSegLib.engine.dicom_files import DicomSeries, DicomSlice
from SpineFractureSegLib.engine.dicom_series import slices_in_order
from SpineFractureSegLib.engine.errors import UserError

if TYPE_CHECKING:
    from pydicom import Dataset

_NEEDED = ("FrameOfReferenceUID", "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")


@dataclass(frozen=True)
class DicomSource:
    """The images of one CT series in the order of its volume."""

    headers: list["Dataset"]  # without pixels
    slices: list[DicomSlice]

    def frames(self, image: sitk.Image) -> np.ndarray:
        """A mask or label map on the frames' own pixels, by nearest neighbor: uint8 (frame, row, column)."""
        return np.stack([sitk.GetArrayFromImage(self._frame(image, one))[0] for one in self.slices])

    def nearest(self, ras_mm: tuple[float, float, float]) -> "Dataset":
        """The header of the frame that lies nearest to a position."""
        rows, columns = np.reshape(self.slices[0].orientation, (2, 3))
        normal = np.cross(rows, columns)
        position = np.array(ras_mm) * (-1, -1, 1)
        return self.headers[int(np.argmin([abs((position - one.position_mm) @ normal) for one in self.slices]))]

    @staticmethod
    def _frame(image: sitk.Image, one: DicomSlice) -> sitk.Image:
        rows, columns = np.reshape(one.orientation, (2, 3))
        direction = np.stack([rows, columns, np.cross(rows, columns)], axis=1).ravel()
        size, nearest = (*one.size[:2], 1), sitk.sitkNearestNeighbor
        return sitk.Resample(
            image, size, sitk.Transform(), nearest, one.position_mm, one.spacing_mm, direction, 0.0, sitk.sitkUInt8
        )


def require_dicom_packages() -> None:
    """Raises: UserError, when the packages that write DICOM are not installed."""
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise UserError(
            "DICOM output needs the package highdicom, which is not installed: pip install 'spine-fracture-seg[dicom]'."
        ) from error


def read_source(series: DicomSeries | None) -> DicomSource:
    """The headers of the series that a CT was read from.

    Raises: UserError, when the CT did not come from single DICOM images, or they lack what others can refer to.
    """
    import pydicom

    if series is None:
        raise UserError("DICOM output refers to the CT's own DICOM images: give the DICOM folder as CT, not a file.")
    if series.slices[0].size[2] > 1:
        raise UserError(
            f"Series {series.name} is one multi-frame image, DICOM output needs one file per slice: convert the series."
        )
    slices = slices_in_order(series)
    headers = [pydicom.dcmread(one.path, stop_before_pixels=True) for one in slices]
    missing = [name for name in _NEEDED if not all(header.get(name) for header in headers)]
    if missing:
        raise UserError(
            f"The images of series {series.name} lack {', '.join(missing)}, which DICOM output must refer to: "
            "export the series again from the archive."
        )
    return DicomSource(headers, slices)
