"""The masks as a DICOM Segmentation on the pixels of the CT's own images."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from SpineFractureSegLib.engine.atomic_file import written_whole
from SpineFractureSegLib.engine.errors import UserError, one_line
from SpineFractureSegLib.engine.spine_report.dicom_source import DicomSource
from SpineFractureSegLib.engine.writers import FRACTURE, VERTEBRAE, Segment

if TYPE_CHECKING:
    import highdicom

MANUFACTURER, PRODUCT = "SpineFractureSeg contributors", "SpineFractureSeg"
_SERIES_NUMBER = 9001


def make_segmentation(
    source: DicomSource, mask: sitk.Image, vertebrae: sitk.Image | None, *, model: str, version: str
) -> "highdicom.seg.Segmentation":
    """The segment "Fracture", and "Vertebrae" where it is given, as one binary segmentation.

    Args:
        source: the CT's images; only those in which a segment lies are referred to, all where none does.
        mask: fracture where not 0, on the CT's grid.
        vertebrae: vertebral bodies where not 0, on the same grid.
        model, version: of the model that made them.

    Raises: UserError, when the source's images cannot be referred to.
    """
    import highdicom
    from pydicom.sr.codedict import codes

    masks = {FRACTURE: mask} | ({} if vertebrae is None else {VERTEBRAE: vertebrae})
    frames = np.stack([source.frames(sitk.Cast(one != 0, sitk.sitkUInt8)) for one in masks.values()], axis=-1)
    occupied = frames.any(axis=(1, 2, 3))
    if not occupied.any():
        occupied[:] = True
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=model, family=codes.DCM.ArtificialIntelligence, version=version, source=MANUFACTURER
    )
    descriptions = [_description(number, segment, algorithm) for number, segment in enumerate(masks, start=1)]
    try:
        return highdicom.seg.Segmentation(
            source_images=[header for header, shown in zip(source.headers, occupied, strict=True) if shown],
            pixel_array=frames[occupied],
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=descriptions,
            series_instance_uid=highdicom.UID(),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=PRODUCT,
            software_versions=product_version(),
            device_serial_number="0",
            content_label="FRACTURES",
            content_description="Spine fractures. Research use only.",
            series_description="Spine fractures, segmentation",
            omit_empty_frames=bool(frames.any()),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # highdicom's, of attributes the source lacks
        raise UserError(
            f"The CT's DICOM images cannot be referred to ({one_line(error)}): export the series again."
        ) from error


def write_dicom(path: str | Path, dataset: "highdicom.SOPClass") -> None:
    """Writes a DICOM object.

    Raises: UserError, when it cannot be written.
    """
    with written_whole(path) as partial:
        dataset.save_as(partial, enforce_file_format=True)


def product_version() -> str:
    """The version of this program."""
    import SpineFractureSegLib

    return SpineFractureSegLib.__version__


def _description(number: int, segment: Segment, algorithm: object) -> "highdicom.seg.SegmentDescription":
    import highdicom

    def coded(code: tuple[str, str, str]) -> highdicom.sr.CodedConcept:
        scheme, value, meaning = code
        return highdicom.sr.CodedConcept(value, scheme, meaning)

    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=segment.name,
        segmented_property_category=coded(segment.category),
        segmented_property_type=coded(segment.type),
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        tracking_uid=highdicom.UID(),
        tracking_id=segment.name,
        anatomic_regions=[coded(segment.region)] if any(segment.region) else None,
        display_color=highdicom.color.CIELabColor.from_rgb(*(round(255 * part) for part in segment.color)),
    )
