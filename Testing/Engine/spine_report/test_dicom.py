"""DICOM objects read back: the same voxels at the same places, the same numbers under the right codes."""

import builtins
import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.spine_report.dicom_seg import make_segmentation, write_dicom
from SpineFractureSegLib.engine.spine_report.dicom_source import read_source, require_dicom_packages
from SpineFractureSegLib.engine.volume import read_ct

highdicom = pytest.importorskip("highdicom")
from highdicom.sr import srread  # noqa: E402
from pydicom.sr.codedict import codes  # noqa: E402

from SpineFractureSegLib.engine.spine_report.dicom_sr import SCHEME, make_report  # noqa: E402

MODEL = {"model": "Random", "version": "7"}


def segmentation_of(dicom, folder, low=(-4.0, 12.0, 704.0), high=(3.0, 24.0, 716.0)):
    """CT, its source, a mask of a box in the world, and the segmentation read back from its file."""
    read = read_ct(folder)
    source = read_source(read.series)
    mask = dicom.physical_box(read.image, low, high)
    segmentation = make_segmentation(source, mask, None, **MODEL)
    write_dicom(folder.parent / "seg.dcm", segmentation)
    return read.image, source, mask, highdicom.seg.segread(folder.parent / "seg.dcm")


def as_image(segmentation, number=1) -> sitk.Image:
    """One segment as an image where DICOM's own attributes place it."""
    volume = segmentation.get_volume(segment_numbers=[number], combine_segments=True, relabel=True)
    affine = volume.get_affine(output_convention="LPS")
    image = sitk.GetImageFromArray(volume.array.transpose(2, 1, 0).astype(np.uint8))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing)
    image.SetDirection((affine[:3, :3] / spacing).ravel())
    image.SetOrigin(affine[:3, 3])
    return image


@pytest.mark.parametrize(("orientation", "step"), [("AXIAL", 2.0), ("TURNED", 2.5)])
def test_the_segment_lies_in_the_patient_where_the_mask_does(dicom, tmp_path, orientation, step):
    folder = dicom.write_series(
        tmp_path / "ct", dicom.axial_positions(np.arange(12) * step), getattr(dicom, orientation)
    )
    _, _, mask, segmentation = segmentation_of(dicom, folder)
    back = sitk.Resample(as_image(segmentation), mask, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    assert sitk.GetArrayViewFromImage(mask).any()
    assert np.array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(mask))


def test_sagittal_slices_from_left_to_right_keep_their_side(dicom, tmp_path):
    positions = [(10.0 - 3.0 * k, 5.0, 760.0) for k in range(9)]
    folder = dicom.write_series(tmp_path / "ct", positions, (0.0, 1.0, 0.0, 0.0, 0.0, -1.0))
    _, _, mask, segmentation = segmentation_of(dicom, folder, (-3.0, 8.0, 735.0), (5.0, 14.0, 750.0))
    back = sitk.Resample(as_image(segmentation), mask, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    assert np.array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(mask))


def test_a_tilted_gantry_and_a_gap_are_undone_for_each_frame(dicom, tmp_path):
    # 3 slices are missing and all are moved back by 0.2 mm per mm: the volume is neither; the box is
    depths = np.array([0, 2, 4, 6, 14, 16, 18, 20.0])
    folder = dicom.write_series(tmp_path / "ct", dicom.axial_positions(depths, drift=0.2))
    low, high = np.array([-4.0, 14.0, 702.0]), np.array([3.0, 24.0, 718.5])
    _, source, _, segmentation = segmentation_of(dicom, folder, low, high)
    items = segmentation.PerFrameFunctionalGroupsSequence
    heights = [round(float(item.PlanePositionSequence[0].ImagePositionPatient[2]), 3) for item in items]
    by_position = dict(zip(heights, segmentation.pixel_array, strict=True))
    assert sorted(by_position) == [700 + d for d in depths if 2 <= d <= 18]
    x = -10 + np.arange(dicom.COLUMNS) * 0.5
    for z, frame in by_position.items():
        y = 5 + 0.2 * (z - 700) + np.arange(dicom.ROWS) * 0.75
        inside = ((y >= low[1]) & (y <= high[1]))[:, None] & ((x >= low[0]) & (x <= high[0]))
        # the volume's own rows lie elsewhere: one row of the edge may differ
        assert (frame != inside).sum() <= 2 * inside.any(axis=0).sum()
        assert frame[inside.nonzero()].mean() > 0.9
    assert len(source.headers) == len(depths)


def test_each_frame_refers_to_its_own_ct_image(dicom, tmp_path):
    folder = dicom.write_series(tmp_path / "ct", dicom.axial_positions(np.arange(12) * 2.0))
    _, source, _, segmentation = segmentation_of(dicom, folder)
    position = {header.SOPInstanceUID: list(header.ImagePositionPatient) for header in source.headers}
    assert segmentation.PatientID == "17"
    assert segmentation.StudyInstanceUID == "1.2.3"
    assert segmentation.FrameOfReferenceUID == "1.2.3.5"
    assert segmentation.NumberOfFrames == 7  # 704 to 716 mm
    for item in segmentation.PerFrameFunctionalGroupsSequence:
        uid = item.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert list(item.PlanePositionSequence[0].ImagePositionPatient) == position[uid]


def test_both_segments_carry_the_codes_of_the_slicer_segmentation(dicom, tmp_path):
    read = read_ct(dicom.write_series(tmp_path / "ct", dicom.axial_positions(np.arange(8) * 2.0)))
    mask = dicom.physical_box(read.image, (-4, 12, 704), (3, 24, 708))
    vertebrae = dicom.physical_box(read.image, (-4, 12, 702), (3, 28, 712))  # they overlap
    segmentation = make_segmentation(read_source(read.series), mask, vertebrae, **MODEL)
    first, second = segmentation.SegmentSequence
    assert (first.SegmentLabel, first.segmented_property_type.value) == ("Fracture", "72704001")
    assert (second.SegmentLabel, second.segmented_property_type.value) == ("Vertebrae", "51282000")
    assert first.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "Random"
    write_dicom(tmp_path / "seg.dcm", segmentation)
    back = highdicom.seg.segread(tmp_path / "seg.dcm")
    for number, image in ((1, mask), (2, vertebrae)):
        voxels = sitk.GetArrayFromImage(as_image(back, number=number)).sum()
        assert voxels == sitk.GetArrayViewFromImage(image).sum()


def test_an_empty_segmentation_can_be_written(dicom, tmp_path):
    folder = dicom.write_series(tmp_path / "ct", dicom.axial_positions(np.arange(5) * 2.0))
    *_, segmentation = segmentation_of(dicom, folder, (0, 0, 0), (1, 1, 1))
    assert segmentation.NumberOfFrames == 5
    assert not segmentation.pixel_array.any()


# --- the report ---------------------------------------------------------------------------------------------------


def report_of(dicom, folder, spine, low=(-4.0, 12.0, 704.0), high=(3.0, 24.0, 716.0)):
    """The report read back from its file, with its source and segmentation."""
    _, source, mask, segmentation = segmentation_of(dicom, folder, low, high)
    write_dicom(folder.parent / "sr.dcm", make_report(source, segmentation, mask, spine, **MODEL))
    return srread(folder.parent / "sr.dcm"), source, segmentation, mask


def values(group) -> dict:
    """By (code, modifier of the finding site): value and unit."""
    found = {}
    for measurement in group.get_measurements():
        sites = measurement.finding_sites
        modifier = sites[0].topographical_modifier.meaning if sites else ""
        found[measurement.name.value, modifier] = (measurement.value, measurement.unit.value)
    return found


@pytest.fixture
def report(dicom, tmp_path, spine):
    positions = dicom.axial_positions(np.arange(10) * 2.0)
    folder = dicom.write_series(tmp_path / "ct", positions)
    centers = [(3.0, -15.0, 706.0 + 4 * k) for k in range(3)]
    spine = [dataclasses.replace(vertebra, centroid_ras_mm=c) for vertebra, c in zip(spine, centers, strict=True)]
    return report_of(dicom, folder, spine)


def test_every_measure_is_in_the_report_under_its_code(report):
    groups = report[0].content.get_image_measurement_groups()
    by_name = {group.tracking_identifier: group for group in groups}
    assert list(by_name) == ["L1", "L2", "vertebra 3"]
    found = values(by_name["L2"])
    height, loss = codes.DCM.Height.value, "HEIGHT_LOSS"
    assert found[height, "Anterior"] == (15.0, "mm")
    assert found[height, "Central"] == (23.25, "mm")
    assert found[height, "Posterior"] == (25.0, "mm")
    assert found[loss, "Anterior"] == (40.0, "%")
    assert found[codes.SCT.Width.value, ""] == (40.0, "mm")
    assert found[codes.SCT.Depth.value, ""] == (30.0, "mm")
    assert found[codes.DCM.CertaintyOfFinding.value, ""] == (82.0, "%")
    assert found[codes.DCM.AttenuationCoefficient.value, ""] == (142.6, "[hnsf'U]")
    assert by_name["L2"].finding_sites[0].value == codes.SCT.L2Vertebra
    evaluations = {e.name.value: e.value.value for e in by_name["L2"].get_qualitative_evaluations()}
    assert evaluations == {"72704001": codes.SCT.Suspected.value, "GENANT": "GENANT_2"}


def test_what_was_not_measured_is_not_in_the_report_and_an_intact_vertebra_is_not_called_intact(report):
    groups = {group.tracking_identifier: group for group in report[0].content.get_image_measurement_groups()}
    assert list(values(groups["vertebra 3"])) == [(codes.DCM.CertaintyOfFinding.value, "")]
    assert groups["vertebra 3"].get_qualitative_evaluations() == []
    assert groups["vertebra 3"].finding_sites[0].value == codes.SCT.Vertebra  # nobody has named its level
    evaluations = groups["L1"].get_qualitative_evaluations()
    assert [(e.name.value, e.value.value) for e in evaluations] == [("GENANT", "GENANT_0")]


def test_a_vertebra_refers_to_the_ct_image_through_its_center(report):
    content, source = report[0].content, report[1]
    heights = {header.SOPInstanceUID: header.ImagePositionPatient[2] for header in source.headers}
    groups = content.get_image_measurement_groups()
    shown = [heights[group.source_images[0].referenced_sop_instance_uid] for group in groups]
    assert shown == [706, 710, 714]


def test_the_fracture_group_refers_to_the_segment_and_tells_its_volume(report):
    document, _, segmentation, mask = report
    (group,) = document.content.get_volumetric_roi_measurement_groups()
    segment = group.referenced_segment
    assert segment.referenced_sop_instance_uid == segmentation.SOPInstanceUID
    assert segment.referenced_segment_numbers == [1]
    voxels = int(sitk.GetArrayViewFromImage(mask).sum())
    assert values(group)["118565006", ""] == (pytest.approx(voxels * 0.5 * 0.75 * 2.0), "mm3")
    assert document.PatientID == "17"
    assert document.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == SCHEME
    referred = {
        instance.ReferencedSOPInstanceUID
        for study in document.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    assert segmentation.SOPInstanceUID in referred


def test_a_report_on_nothing_found_can_be_written(dicom, tmp_path):
    folder = dicom.write_series(tmp_path / "ct", dicom.axial_positions(np.arange(5) * 2.0))
    document = report_of(dicom, folder, [], (0, 0, 0), (1, 1, 1))[0]
    (group,) = document.content.get_image_measurement_groups()
    assert values(group) == {("118565006", ""): (0.0, "mm3")}
    assert document.content.get_volumetric_roi_measurement_groups() == []


# --- what cannot be written ---------------------------------------------------------------------------------------


def test_a_ct_from_a_file_has_no_images_to_refer_to(tmp_path):
    sitk.WriteImage(sitk.Image(4, 4, 4, sitk.sitkInt16), str(tmp_path / "ct.nii"))
    with pytest.raises(UserError, match="give the DICOM folder"):
        read_source(read_ct(tmp_path / "ct.nii").series)


def test_images_without_a_frame_of_reference_are_refused(dicom, tmp_path):
    import pydicom

    folder = dicom.write_series(tmp_path / "ct", dicom.axial_positions(np.arange(5) * 2.0))
    for path in folder.iterdir():
        image = pydicom.dcmread(path)
        del image.FrameOfReferenceUID
        image.save_as(path)
    with pytest.raises(UserError, match="lack FrameOfReferenceUID"):
        read_source(read_ct(folder).series)


def test_a_missing_package_is_one_clear_sentence(monkeypatch):
    real = builtins.__import__

    def refuse(name, *arguments, **keywords):
        if name.split(".")[0] == "highdicom":
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UserError, match=r"pip install 'spine-fracture-seg\[dicom\]'"):
        require_dicom_packages()
