import numpy as np
import pytest
import SimpleITK as sitk

from SpineFractureSegLib.engine.case import Case
from SpineFractureSegLib.engine.data import pairs
from SpineFractureSegLib.engine.data.recognize import read_data_set
from SpineFractureSegLib.engine.data.scan import Hints
from SpineFractureSegLib.engine.data.to_case import case_of
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.simulator.export import write_case_images


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def by_name(root, **options):
    data_set = read_data_set(root, **options)
    assert data_set.layout == pairs.LAYOUT
    return {scan.name: scan for scan in data_set.scans}


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("case1_ct.nii.gz", "case1_fracture.nii.gz"),
        ("case1.nrrd", "case1-label.nrrd"),
        ("case1_CT.mha", "case1_CT-label.mha"),
        ("images/case1.nii.gz", "labels/case1.nii.gz"),
        ("imagesTr/case1_0000.nii.gz", "labelsTr/case1.nii.gz"),
        ("case1_image.nii", "case1_fracture_mask.nii"),
        ("case1/CT.nii.gz", "case1/drawn by me_mask.nii.gz"),
    ],
)
def test_a_label_is_found_by_its_name_or_its_folder(tmp_path, image, label):
    touch(tmp_path, image, label)
    (scan,) = by_name(tmp_path).values()
    assert scan.image == tmp_path / image
    assert scan.fracture.path == tmp_path / label
    assert scan.fracture.named == ("fracture" in label)
    assert scan.patient == "case1"


def test_vertebrae_beside_fractures_and_lonely_files(tmp_path):
    touch(tmp_path, "a_ct.nii.gz", "a_fracture.nii.gz", "a_vertebrae.nii.gz", "b_ct.nii.gz", "c_label.nii.gz")
    scans = by_name(tmp_path, hints=Hints(label_ids="totalsegmentator"))
    assert scans["a"].vertebrae.ids[27] == 24
    assert [scans[name].usable for name in "abc"] == [True, False, False]
    assert scans["b"].missing == ("vertebra labels", "grades or fracture mask")
    assert scans["c"].missing == ("image",)


def test_patients_are_told_by_folder_entity_or_table(tmp_path):
    for name in ("train/anna/2020", "train/anna/2021", "train/bert/2020"):
        touch(tmp_path, f"{name}_ct.nii.gz", f"{name}_label.nii.gz")
    for name in ("sub-7_ses-1", "sub-7_ses-2", "x", "y"):
        touch(tmp_path, f"{name}_ct.nii.gz", f"{name}_label.nii.gz")
    (tmp_path / "patients.csv").write_text("scan,patient\nx,carla\ny,carla\n")
    scans = by_name(tmp_path)
    assert {name: scan.patient for name, scan in scans.items()} == {
        "train_anna_2020": "anna",
        "2021": "anna",
        "train_bert_2020": "bert",
        "sub-7_ses-1": "7",
        "sub-7_ses-2": "7",
        "x": "carla",
        "y": "carla",
    }
    assert scans["2021"].part == "train"


def test_tables_that_name_other_scans_or_have_other_columns_fail_loudly(tmp_path):
    touch(tmp_path, "a_ct.nii.gz", "a_vertebrae.nii.gz")
    table = tmp_path / "grades.csv"
    table.write_text("scan,vertebra,grade\na,L1,3\na,21,0\n")
    assert by_name(tmp_path)["a"].grades == {20: 3, 21: 0}
    for text, said in (
        ("scan,vertebra,grade\nb,L1,3\n", "the scan 'b'"),
        ("scan,level,grade\na,L1,3\n", "vertebra"),
        ("scan,vertebra,grade\na,L9,3\n", "'L9'"),
        ("scan,vertebra,grade\na,L1,4\n", "'4'"),
    ):
        table.write_text(text)
        with pytest.raises(UserError, match=r"grades\.csv") as error:
            read_data_set(tmp_path)
        assert said in str(error.value)
    table.unlink()
    (tmp_path / "patients.csv").write_text("scan,patient\na,p\na,q\n")
    with pytest.raises(UserError, match="twice"):
        read_data_set(tmp_path)


def write_segmentation(phantom, path, *segments):
    """A .seg.nrrd with segments (name, where they are) that may overlap, each in its own layer."""
    values = np.zeros((56, 50, 50, len(segments)), np.uint8)
    for k, (_, where) in enumerate(segments):
        values[..., k][where] = 1
    image = sitk.GetImageFromArray(values, isVector=True)
    image.CopyInformation(phantom.image(values[..., 0]))
    for k, (name, _) in enumerate(segments):
        for field, text in (("Name", name), ("Layer", k), ("LabelValue", 1)):
            image.SetMetaData(f"Segment{k}_{field}", str(text))
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def test_what_slicer_exports_is_told_by_the_names_of_its_segments(phantom, tmp_path):
    ids = phantom.vertebra_at(phantom.positions())
    drawn = phantom.body_at(phantom.positions()) == 21
    phantom.write_ct(tmp_path / "p1" / "5 Thorax.nrrd")
    write_segmentation(
        phantom, tmp_path / "p1" / "Segmentation.seg.nrrd", ("L1", ids == 20), ("L2", ids == 21), ("Fracture", drawn)
    )
    phantom.write_ct(tmp_path / "p2" / "CT.nrrd")
    write_segmentation(
        phantom, tmp_path / "p2" / "Segmentation.seg.nrrd", ("L1", ids == 20), ("vertebra L2", ids == 21)
    )
    phantom.write_ct(tmp_path / "p3" / "CT.nrrd")
    write_segmentation(phantom, tmp_path / "p3" / "Segmentation.seg.nrrd", ("Segment_1", drawn))
    scans = {scan.patient: scan for scan in by_name(tmp_path).values()}
    assert (scans["p1"].vertebrae is None, scans["p1"].fracture is None) == (False, False)
    assert (scans["p2"].vertebrae is None, scans["p2"].fracture is None) == (False, True)
    assert (scans["p3"].vertebrae is None, scans["p3"].fracture is None) == (True, False)
    case = case_of(scans["p1"]).case
    assert set(np.unique(case.bodies)) == {0, 20, 21}
    assert case.fracture_mask[case.bodies == 21].mean() > 0.9
    assert not case.fracture_mask[case.bodies == 20].any()


def test_a_dicom_series_is_the_image_of_the_segmentation_beside_it(phantom, tmp_path):
    pytest.importorskip("pydicom")
    write_segmentation(phantom, tmp_path / "p1" / "fractures.seg.nrrd", ("Fracture", np.s_[:3]))
    slices = tmp_path / "p1" / "SE1"
    slices.mkdir()
    (slices / "IM1").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "p1" / "notes.txt").write_text("none")
    (scan,) = by_name(tmp_path).values()
    assert scan.image == slices


def test_cases_written_as_images_come_back(tmp_path, phantom):
    """What ``simulate --images`` writes is read again as what it was."""
    points = phantom.positions((100, 100, 112), np.eye(3))
    bodies = phantom.body_at(points)
    case = Case("made", "patient", phantom.hu_at(points), bodies, (22,))
    write_case_images(case, tmp_path)
    (scan,) = by_name(tmp_path).values()
    back = case_of(scan).case
    assert back.fracture_mask.sum() == pytest.approx(case.fracture_mask.sum(), rel=0.02)
    assert (back.bodies > 0).sum() == pytest.approx((bodies > 0).sum(), rel=0.02)
    assert back.fracture_mask[back.bodies == 22].mean() > 0.98


def test_images_without_any_label_are_no_pairs(tmp_path):
    touch(tmp_path, "a.nii.gz", "b.nii.gz", "train.csv")
    with pytest.raises(UserError, match=r"2 files \.nii\.gz, 1 files \.csv"):
        read_data_set(tmp_path)
    with pytest.raises(UserError, match="no folder"):
        read_data_set(tmp_path / "missing")
    with pytest.raises(UserError, match="not this layout"):
        read_data_set(tmp_path, "rsna")
