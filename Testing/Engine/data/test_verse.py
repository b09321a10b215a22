import pytest

from SpineFractureSegLib.engine.data import verse, verse_challenge
from SpineFractureSegLib.engine.data.recognize import read_data_set
from SpineFractureSegLib.engine.data.scan import Hints
from SpineFractureSegLib.engine.data.vertebra_ids import NAMES
from SpineFractureSegLib.engine.errors import UserError

LEVELS = [f"T{i}" for i in range(1, 13)] + [f"L{i}" for i in range(1, 7)]


def write_scores(path, *rows):
    """The spreadsheet with rows of (scan, {level: grade})."""
    lines = [["verse_ID", *(f"{level} grade" for level in LEVELS), *(f"{level} type" for level in LEVELS)]]
    lines += [[str(scan), *(grades.get(level, "x") for level in LEVELS), *["x"] * 18] for scan, grades in rows]
    path.write_text("\n".join(",".join(line) for line in lines))
    return path


def by_name(data_set):
    return {scan.name: scan for scan in data_set.scans}


def test_entities_come_in_any_order_and_scans_are_told_apart(verse_tree):
    data_set = read_data_set(verse_tree)
    assert data_set.layout == verse.LAYOUT
    scans = by_name(data_set)
    assert sorted(scans) == [
        "sub-verse004",
        "sub-verse409_split-verse266",
        "sub-verse409_split-verse300",
        "sub-verse500_dir-ax",
        "sub-verse500_dir-sag",
    ]
    for name, mask in (
        ("sub-verse409_split-verse266", "sub-verse409_dir-sag_split-verse266_seg-vert_msk.nii.gz"),
        ("sub-verse409_split-verse300", "sub-verse409_dir-iso_seg-vert_split-verse300_msk.nii.gz"),
        ("sub-verse500_dir-ax", "sub-verse500_dir-ax_seg-vert_msk.nii.gz"),
    ):
        assert scans[name].vertebrae.path.name == mask
        assert scans[name].usable
    assert scans["sub-verse500_dir-sag"].vertebrae is None
    assert not scans["sub-verse500_dir-sag"].usable
    assert "vertebra labels" in scans["sub-verse500_dir-sag"].missing
    assert scans["sub-verse004"].centroids.path.name.endswith("_ctd.json")
    assert not scans["sub-verse004"].centroids.isotropic


def test_patients_and_the_data_sets_own_parts(verse_tree):
    data_set = read_data_set(verse_tree)
    assert {patient: len(scans) for patient, scans in data_set.patients.items()} == {
        "verse004": 1,
        "verse409": 2,
        "verse500": 2,
    }
    parts = {scan.patient: scan.part for scan in data_set.scans}
    assert parts == {"verse004": "train", "verse409": "validation", "verse500": "test"}


def test_grades_belong_to_the_scan_before_the_patient(verse_tree, tmp_path):
    sheet = write_scores(
        tmp_path / "s.csv", (4, {"T9": "2", "L1": "3", "L2": "0"}), (266, {"L1": "1"}), (409, {"L2": "3"})
    )
    scans = by_name(read_data_set(verse_tree, hints=Hints(grades=sheet)))
    named = {name: {NAMES[v]: g for v, g in (scan.grades or {}).items()} for name, scan in scans.items()}
    assert named["sub-verse004"] == {"T9": 2, "L1": 3, "L2": 0}
    assert named["sub-verse409_split-verse266"] == {"L1": 1}
    assert named["sub-verse409_split-verse300"] == {"L2": 3}  # no row of its own: the patient's
    assert scans["sub-verse500_dir-ax"].grades is None
    assert scans["sub-verse500_dir-ax"].problems == ("no row in s.csv",)


def test_the_spreadsheet_is_found_beside_the_folders_and_several_are_refused(tmp_path):
    folder = tmp_path / "rawdata" / "sub-verse004"
    folder.mkdir(parents=True)
    for kind in ("ct", "seg-vert_msk"):
        (folder / f"sub-verse004_{kind}.nii.gz").touch()
    assert read_data_set(tmp_path).scans[0].grades is None
    write_scores(tmp_path / "verse_scores.csv", (4, {"L1": "3"}))
    assert read_data_set(tmp_path).scans[0].grades == {20: 3}
    (tmp_path / "more grades.csv").write_text("a,b\n")
    with pytest.raises(UserError, match="2 tables that may be the grades"):
        read_data_set(tmp_path)
    assert read_data_set(tmp_path, hints=Hints(use_grades=False)).scans[0].grades is None


def test_a_file_that_is_there_twice_is_said(tmp_path):
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        for kind in ("ct", "seg-vert_msk"):
            (tmp_path / place / f"sub-verse004_{kind}.nii.gz").touch()
    (scan,) = read_data_set(tmp_path).scans
    assert scan.image.parent.name == scan.vertebrae.path.parent.name == "a"
    assert len(scan.problems) == 2


@pytest.mark.parametrize("dir_of_labels", ["_CT-sag", ""])
def test_the_layout_of_the_challenges(tmp_path, dir_of_labels):
    part = tmp_path / "training"
    part.mkdir()
    for name in (
        "verse004.nii.gz",
        "verse004_seg.nii.gz",
        "verse500_CT-sag.nii.gz",
        f"verse500{dir_of_labels}_seg.nii.gz",
        f"verse500{dir_of_labels}_iso-ctd.json",
        "verse600_CT-ax.nii.gz",
        "GL003_CT_ax.nii.gz",
        "GL003_CT_ax_seg.nii.gz",
        "verse004_notes.txt",
    ):
        (part / name).touch()
    write_scores(tmp_path / "scores.csv", (4, {"L1": "2"}), (3, {"L1": "3"}))
    data_set = read_data_set(tmp_path)
    assert data_set.layout == verse_challenge.LAYOUT
    scans = by_name(data_set)
    assert sorted(scans) == ["gl003", "verse004", "verse500", "verse600"]
    assert [scans[name].usable for name in sorted(scans)] == [True, True, True, False]
    assert scans["verse500"].centroids.isotropic
    assert scans["verse004"].grades == {20: 2}
    assert scans["gl003"].grades is None  # its number is not VerSe's
    assert {scan.part for scan in scans.values()} == {"train"}
