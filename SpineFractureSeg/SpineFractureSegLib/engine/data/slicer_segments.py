"""The segments of a Slicer segmentation (.seg.nrrd): names, layers and values, from the header alone.

Segments that overlap lie in different *layers*, stored as components of a voxel.
"""

from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from SpineFractureSegLib.engine.data.folder import is_segmentation
from SpineFractureSegLib.engine.data.vertebra_ids import vertebra_in
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.quiet_itk import quiet_itk


@dataclass(frozen=True)
class Segment:
    """One segment of a file."""

    name: str
    layer: int
    value: int

    @property
    def is_fracture(self) -> bool:
        return "fract" in self.name.lower()

    @property
    def is_unknown(self) -> bool:
        return self.name.lower() in ("ignore", "unknown", "uncertain")

    @property
    def vertebra(self) -> int | None:
        """VerSe id, where the name is a vertebra's ("L1", "vertebrae_L1") and not a fracture's ("fracture L1")."""
        return None if self.is_fracture else vertebra_in(self.name)


def segments_in(path: Path) -> tuple[Segment, ...]:
    """The segments of a file; empty where it is no Slicer segmentation or names none.

    Raises: UserError, when it cannot be read.
    """
    if not is_segmentation(path):
        return ()
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with quiet_itk():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise UserError(f"'{path}' cannot be read as a segmentation: export it from Slicer again.") from error
    segments = []
    for key in reader.GetMetaDataKeys():
        if key.startswith("Segment") and key.endswith("_Name"):
            prefix = key.removesuffix("_Name")
            layer, value = (_number(reader, f"{prefix}_{field}") for field in ("Layer", "LabelValue"))
            if layer is not None and value is not None:
                segments.append(Segment(reader.GetMetaData(key).strip(), layer, value))
    return tuple(segments)


def _number(reader: sitk.ImageFileReader, key: str) -> int | None:
    text = reader.GetMetaData(key).strip() if reader.HasMetaDataKey(key) else ""
    return int(text) if text.isdecimal() else None
