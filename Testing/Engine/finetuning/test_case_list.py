import json

import pytest

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.finetuning import TuningCase, read_cases


def write_list(folder, *rows, **more):
    path = folder / "cases.json"
    path.write_text(json.dumps({"cases": list(rows), **more}), encoding="utf-8")
    return path


def test_paths_are_relative_to_the_file_and_what_is_missing_has_its_default(tmp_path):
    first = {"name": "a", "image": "a/ct.nrrd", "mask": "a/fracture.nrrd", "patient": "7", "role": "validation"}
    path = write_list(tmp_path, first, {"name": "b", "image": "b.nrrd", "mask": str(tmp_path / "m.nrrd")})
    found = read_cases(path)
    a, b = found.cases
    assert (a.name, a.patient, a.role) == ("a", "7", "validation")
    assert a.scan.image == tmp_path / "a" / "ct.nrrd"
    assert a.scan.fracture.path == tmp_path / "a" / "fracture.nrrd"
    assert (b.patient, b.role, b.scan.fracture.path) == ("b", "auto", tmp_path / "m.nrrd")
    assert found.label_meaning == ""
    assert read_cases(write_list(tmp_path, first, label_meaning="the cleft")).label_meaning == "the cleft"


def test_several_labels_are_fractures_only_where_the_name_says_so():
    assert TuningCase.of("a", "a.nrrd", "a_Fractures.nrrd").scan.fracture.named
    assert not TuningCase.of("a", "a.nrrd", "a_labels.nrrd").scan.fracture.named


def test_a_folder_of_pairs_is_read_with_its_patients(site):
    cases = read_cases(site).cases
    assert [(case.name, case.patient, case.role) for case in cases] == [(f"p{n}", f"p{n}", "auto") for n in (1, 2, 3)]
    assert cases[0].scan.image == site / "p1_ct.nii.gz"
    assert cases[0].scan.fracture.path == site / "p1_fracture.nii.gz"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"name": "a", "image": "a.nrrd"}, "Case 1"),
        ({"name": "a", "image": "a.nrrd", "mask": 3}, "Case 1"),
        ({"name": " ", "image": "a.nrrd", "mask": "b.nrrd"}, "Case 1"),
        ({"name": "a", "image": "a.nrrd", "mask": "b.nrrd", "rolle": "train"}, "Case 1"),
        ("a.nrrd", "Case 1"),
        ({"name": "a", "image": "a.nrrd", "mask": "b.nrrd", "role": "test"}, "role must be one of"),
    ],
)
def test_a_case_that_cannot_be_understood_is_named(tmp_path, row, said):
    with pytest.raises(UserError, match=said):
        read_cases(write_list(tmp_path, row))


def test_no_list_no_cases_and_a_name_twice_are_refused(tmp_path):
    row = {"name": "a", "image": "a.nrrd", "mask": "b.nrrd"}
    with pytest.raises(UserError, match="names the case a twice"):
        read_cases(write_list(tmp_path, row, row))
    with pytest.raises(UserError, match="names no case"):
        read_cases(write_list(tmp_path))
    with pytest.raises(UserError, match="cannot be read"):
        read_cases(tmp_path / "nowhere.json")
    for content in ("[]", "{", '{"cases": 3}'):
        (tmp_path / "other.json").write_text(content)
        with pytest.raises(UserError, match="lists no cases"):
            read_cases(tmp_path / "other.json")
