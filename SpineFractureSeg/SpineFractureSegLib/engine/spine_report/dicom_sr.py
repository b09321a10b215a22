"""The vertebrae as a DICOM structured report: Comprehensive SR, template TID 1500 (Imaging Measurement Report).

One measurement group per vertebra (its heights, width, depth, height losses, trabecular attenuation, the certainty of a
fracture, the Genant grade) with its level as finding site and the CT image nearest to its center; before them one group
for the outlined fractures, which refers to the segment "Fracture" of the segmentation. Concepts are those of DICOM and
SNOMED CT (DICOM PS3.16, CID 7470 and others); what they lack, height loss and Genant grade, is coded in ``SCHEME``.
A flagged vertebra is called a *suspected* fracture; that a vertebra is intact is never said.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import SimpleITK as sitk

from SpineFractureSegLib.engine.ct_check import voxel_volume_mm3
from SpineFractureSegLib.engine.errors import UserError, one_line
from SpineFractureSegLib.engine.spine_report.dicom_seg import MANUFACTURER, PRODUCT, product_version
from SpineFractureSegLib.engine.spine_report.dicom_source import DicomSource
from SpineFractureSegLib.engine.vertebrae.vertebra import PLACES, Vertebra

if TYPE_CHECKING:
    import highdicom
    from highdicom.sr import CodedConcept, Measurement, MeasurementsAndQualitativeEvaluations

SCHEME = "99SFSEG"  # private, as designators that begin with 99 are
_SERIES_NUMBER = 9002
_GENANT_MEANINGS = ("no deformity", "mild", "moderate", "severe")
_MODIFIERS = {"anterior": "Anterior", "middle": "Central", "posterior": "Posterior"}  # SNOMED CT's names


def make_report(
    source: DicomSource,
    segmentation: "highdicom.seg.Segmentation",
    mask: sitk.Image,
    spine: Sequence[Vertebra],
    *,
    model: str,
    version: str,
) -> "highdicom.sr.ComprehensiveSR":
    """The report on one run.

    Args:
        source: the CT's images.
        segmentation: from ``make_segmentation`` of the same run.
        mask: fracture where not 0, on the CT's grid.
        spine: from the top down.
        model, version: of the model that made them.

    Raises: UserError, when the source's images cannot be referred to.
    """
    import highdicom
    from highdicom import sr
    from pydicom.sr.codedict import codes

    algorithm = sr.AlgorithmIdentification(model, version, manufacturer=MANUFACTURER)
    groups = [_fracture_group(segmentation, mask, algorithm)]
    groups += [_vertebra_group(vertebra, source, algorithm) for vertebra in spine]
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=highdicom.UID(), name=PRODUCT, manufacturer_name=MANUFACTURER, model_name=PRODUCT
    )
    context = sr.ObservationContext(observer_device_context=sr.ObserverContext(codes.DCM.Device, device))
    try:
        report = sr.ComprehensiveSR(
            evidence=[*source.headers, segmentation],
            content=sr.MeasurementReport(context, codes.LN.CTUnspecifiedBodyRegion, groups),
            series_instance_uid=highdicom.UID(),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=PRODUCT,
            software_versions=product_version(),
            series_description="Spine report. Research use only.",
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # highdicom's, of attributes the source lacks
        raise UserError(
            f"The CT's DICOM images cannot be referred to ({one_line(error)}): export the series again."
        ) from error
    report.CodingSchemeIdentificationSequence = [_scheme()]
    return report


def _fracture_group(
    segmentation: "highdicom.seg.Segmentation", mask: sitk.Image, algorithm: object
) -> "MeasurementsAndQualitativeEvaluations":
    """All that was outlined together: its volume, and where it lies, unless nothing was found."""
    from highdicom import sr
    from pydicom.sr.codedict import codes

    voxels = int((sitk.GetArrayViewFromImage(mask) > 0).sum())
    volume = sr.Measurement(codes.SCT.Volume, round(voxels * voxel_volume_mm3(mask), 3), codes.UCUM.CubicMillimeter)
    fields = {
        "tracking_identifier": sr.TrackingIdentifier(identifier="Fractures"),
        "finding_type": _fracture(),
        "finding_sites": [sr.FindingSite(sr.CodedConcept("421060004", "SCT", "Vertebral column"))],
        "algorithm_id": algorithm,
        "measurements": [volume],
    }
    if not voxels:
        return sr.MeasurementsAndQualitativeEvaluations(**fields)
    series = segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID
    segment = sr.ReferencedSegment(
        segmentation.SOPClassUID, segmentation.SOPInstanceUID, 1, source_series=sr.SourceSeriesForSegmentation(series)
    )
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=segment, **fields)


def _vertebra_group(
    vertebra: Vertebra, source: DicomSource, algorithm: object
) -> "MeasurementsAndQualitativeEvaluations":
    from highdicom import sr
    from pydicom.sr.codedict import codes

    nearest = source.nearest(vertebra.centroid_ras_mm)
    evaluations = []
    if vertebra.flagged:
        evaluations.append(sr.QualitativeEvaluation(_fracture(), codes.SCT.Suspected))
    if vertebra.genant is not None:
        evaluations.append(sr.QualitativeEvaluation(_ours("GENANT", "Genant grade"), _genant(vertebra.genant)))
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(identifier=vertebra.name),
        finding_type=codes.SCT.Vertebra,
        finding_sites=[sr.FindingSite(_site(vertebra))],
        algorithm_id=algorithm,
        measurements=_measurements(vertebra),
        qualitative_evaluations=evaluations,
        source_images=[sr.SourceImageForMeasurementGroup(nearest.SOPClassUID, nearest.SOPInstanceUID)],
    )


def _measurements(vertebra: Vertebra) -> list["Measurement"]:
    """What could be measured."""
    from highdicom import sr
    from pydicom.sr.codedict import codes

    percent, mm = codes.UCUM.Percent, codes.UCUM.Millimeter
    found = [sr.Measurement(codes.DCM.CertaintyOfFinding, round(100 * vertebra.fracture_probability, 2), percent)]
    for place in PLACES:
        site = [sr.FindingSite(_site(vertebra), topographical_modifier=getattr(codes.SCT, _MODIFIERS[place]))]
        height, loss = getattr(vertebra, f"{place}_mm"), (vertebra.height_loss or {}).get(place)
        if height is not None:
            found.append(sr.Measurement(codes.DCM.Height, round(height, 2), mm, finding_sites=site))
        if loss is not None:
            name = _ours("HEIGHT_LOSS", "Loss of vertebral height")
            found.append(sr.Measurement(name, round(100 * loss, 2), percent, finding_sites=site))
    for concept, length in ((codes.SCT.Width, vertebra.width_mm), (codes.SCT.Depth, vertebra.depth_mm)):
        if length is not None:
            found.append(sr.Measurement(concept, round(length, 2), mm))
    if vertebra.trabecular_hu is not None:
        attenuation, unit = codes.DCM.AttenuationCoefficient, codes.UCUM.HounsfieldUnit
        found.append(sr.Measurement(attenuation, round(vertebra.trabecular_hu, 2), unit, derivation=codes.SCT.Mean))
    return found


def _site(vertebra: Vertebra) -> object:
    """SNOMED CT's code of the level, that of any vertebra where nobody has named it or there is none (T13, L6, S1)."""
    from pydicom.sr.codedict import codes

    return getattr(codes.SCT, f"{vertebra.level}Vertebra", codes.SCT.Vertebra)


def _fracture() -> "CodedConcept":
    from highdicom.sr import CodedConcept

    from SpineFractureSegLib.engine.writers import FRACTURE

    scheme, value, meaning = FRACTURE.type
    return CodedConcept(value, scheme, meaning)


def _genant(grade: int) -> "CodedConcept":
    return _ours(f"GENANT_{grade}", f"Genant grade {grade}, {_GENANT_MEANINGS[grade]}")


def _ours(value: str, meaning: str) -> "CodedConcept":
    from highdicom.sr import CodedConcept

    return CodedConcept(value, SCHEME, meaning)


def _scheme() -> object:
    """What the private codes are."""
    from pydicom import Dataset

    scheme = Dataset()
    scheme.CodingSchemeDesignator = SCHEME
    scheme.CodingSchemeName = "Private codes of SpineFractureSeg"
    scheme.CodingSchemeResponsibleOrganization = MANUFACTURER
    return scheme
