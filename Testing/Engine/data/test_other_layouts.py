"""CTSpine1K and nnU-Net raw folders."""

import json

import pytest

from SpineFractureSegLib.engine.data import ctspine1k, nnunet
from SpineFractureSegLib.engine.data.recognize import read_data_set
from SpineFractureSegLib.engine.errors import UserError

COLONOG = "1.3.6.1.4.1.9328.50.4.0001"
COVID = "volume-covid19-A-0001_ct"


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.fixture
def spine1k(tmp_path):
    for name in (COLONOG, COVID, "liver_10", "HN_P001"):
        touch(tmp_path, f"data/{name}.nii.gz", f"labels/{name}_seg.nii.gz")
    touch(tmp_path, "data/liver_11.nii.gz", "labels/liver_12_seg.nii.gz")
    (tmp_path / "data_split.txt").write_text(
        f"trainset:\n{COLONOG}.nii.gz\nliver_10.nii.gz\nliver_99.nii.gz\n\ntest_public:\n{COVID}.nii.gz\n"
        "test_private:\nHN_P001.nii.gz\n"
    )
    return tmp_path


def test_ctspine1k_names_and_split(spine1k):
    data_set = read_data_set(spine1k)
    assert data_set.layout == ctspine1k.LAYOUT
    scans = {scan.name: scan for scan in data_set.scans}
    assert {name: scan.part for name, scan in scans.items() if scan.usable} == {
        COLONOG: "train",
        "liver_10": "train",
        COVID: "validation",
        "HN_P001": "test",
    }
    assert scans[COVID].vertebrae.path.name == f"{COVID}_seg.nii.gz"
    assert scans[COLONOG].grades is None
    assert "vertebra labels" in scans["liver_11"].missing
    assert "image" in scans["liver_12"].missing
    assert "1 scans of data_split.txt have no image here." in data_set.notes


def test_ctspine1k_is_recognized_without_its_split_and_refuses_another(spine1k):
    (spine1k / "data_split.txt").unlink()
    assert {scan.part for scan in read_data_set(spine1k).scans} == {""}
    (spine1k / "data_split.txt").write_text("liver_10.nii.gz\n")
    with pytest.raises(UserError, match="trainset"):
        read_data_set(spine1k)


def write_nnunet(root, labels, channels, *files):
    root.mkdir(parents=True, exist_ok=True)
    (root / "imagesTr").mkdir(exist_ok=True)
    (root / "dataset.json").write_text(json.dumps({"labels": labels, **channels}))
    touch(root, *files)
    return root


def test_nnunet_cases_labels_and_channels(tmp_path):
    root = write_nnunet(
        tmp_path / "Dataset001_Spine",
        {"background": 0, "L1": 1, "vertebra_T12": 2, "fracture": [3, 4], "fracture_old": 4, "ignore": 5},
        {"channel_names": {"0": "PET", "1": "CT"}},
        "imagesTr/a_0000.nii.gz",
        "imagesTr/a_0001.nii.gz",
        "labelsTr/a.nii.gz",
        "imagesTr/b_1_0001.nii.gz",
        "imagesTs/c_0001.nii.gz",
        "labelsTs/c.nii.gz",
    )
    (root / "patients.csv").write_text("scan,patient\na,anna\nc,anna\n")
    data_set = read_data_set(root)
    assert data_set.layout == nnunet.LAYOUT
    scans = {scan.name: scan for scan in data_set.scans}
    assert sorted(scans) == ["a", "b_1", "c"]
    assert scans["a"].image.name == "a_0001.nii.gz"
    assert scans["a"].fracture.values == (3, 4)
    assert scans["a"].fracture.unknown == (5,)
    assert scans["a"].vertebrae.ids == {1: 20, 2: 19}
    assert [scans[name].patient for name in ("a", "b_1", "c")] == ["anna", "b_1", "anna"]
    assert [scans[name].part for name in ("a", "b_1", "c")] == ["train", "train", "test"]
    assert not scans["b_1"].usable
    assert scans["b_1"].problems == ("no label in labelsTr",)


def test_nnunet_of_version_1_and_several_data_sets(tmp_path):
    for number in ("Task001_A", "Dataset002_B"):
        write_nnunet(
            tmp_path / number,
            {"0": "background", "1": "Fracture"},
            {"modality": {"0": "CT"}},
            "imagesTr/case_0000.nii.gz",
            "labelsTr/case.nii.gz",
        )
    scans = read_data_set(tmp_path).scans
    assert sorted(scan.name for scan in scans) == ["Dataset002_B_case", "Task001_A_case"]
    assert all(scan.fracture.values == (1,) and scan.vertebrae is None for scan in scans)


@pytest.mark.parametrize(
    ("labels", "said"),
    [({"background": 0, "tumor": 1}, "has the labels tumor"), ([1, 2], "labels and channel_names"), ({}, "'fracture'")],
)
def test_nnunet_labels_that_say_nothing_of_fractures_are_refused(tmp_path, labels, said):
    write_nnunet(tmp_path, labels, {"channel_names": {"0": "CT"}}, "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz")
    with pytest.raises(UserError, match=r"dataset\.json") as error:
        read_data_set(tmp_path)
    assert said in str(error.value)
