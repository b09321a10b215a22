"""From a folder of real data through ``data check``, ``data prepare`` and ``train``."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from SpineFractureSegLib.engine.case import Case, load_case, save_case
from SpineFractureSegLib.engine.cli import main
from SpineFractureSegLib.engine.data.case_folder import case_files
from SpineFractureSegLib.engine.data.fracture_truth import LabelPolicy
from SpineFractureSegLib.engine.data.prepare import own_split, prepare_cases
from SpineFractureSegLib.engine.data.recognize import read_data_set
from SpineFractureSegLib.engine.data.scan import Scan
from SpineFractureSegLib.engine.errors import Cancelled, UserError
from SpineFractureSegLib.engine.model_file import load_model

SMALL = {"size": (23, 23, 18), "matrix": np.diag([3.0, 3.0, 3.4]), "origin": (-34.3, -26.2, 18.4)}


@pytest.fixture(scope="module")
def own_data(phantom, tmp_path_factory):
    """A site's pairs: six scans of four patients, one scan that cannot be read."""
    root = tmp_path_factory.mktemp("site")
    points = phantom.positions(**SMALL)
    mask = (phantom.body_at(points) == 21).astype(np.uint8)
    for patient, scans in (("anna", 2), ("bert", 2), ("carl", 1), ("dora", 1)):
        for number in range(scans):
            name = f"sub-{patient}_ses-{number}"
            phantom.write_ct(root / f"{name}_ct.nii.gz", **SMALL)
            phantom.write(root / f"{name}_fracture.nii.gz", mask, SMALL["matrix"], SMALL["origin"])
    (root / "sub-emil_ct.nii.gz").write_bytes(b"no image")
    (root / "sub-emil_fracture.nii.gz").write_bytes(b"no image")
    return root


@pytest.fixture(scope="module")
def cases(own_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared") / "cases"
    words = ["data", "prepare", str(own_data), "--output", str(folder), "--split", "0.6,0.2,0.2", "--progress", "none"]
    assert main(words) == 0
    return folder


def test_check_says_per_patient_what_is_there_and_what_is_missing(verse_tree, capsys):
    assert main(["data", "check", str(verse_tree)]) == 0
    said = capsys.readouterr().out
    assert "VerSe in subject folders: 3 patients, 5 scans, 4 of them can be used" in said
    assert "verse409 (2 scans)" in said
    assert "  sub-verse004: image, vertebra labels, centroids, [train]" in said
    assert said.index("sub-verse500_dir-sag") < said.index("missing: vertebra labels, grades or fracture mask")


def test_check_with_voxels_reads_every_scan(own_data, capsys):
    assert main(["data", "check", str(own_data), "--voxels"]) == 0
    said = capsys.readouterr().out
    assert said.count("no vertebra labels, ") == 6
    assert "mL drawn" in said
    assert "cannot be used" in said  # emil's


def test_check_of_something_else_ends_with_2_and_one_sentence(tmp_path, capsys):
    (tmp_path / "holiday.jpg").touch()
    assert main(["data", "check", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "1 files .jpg" in lines[0]
    assert "RSNA 2022" in lines[0]


def test_check_with_a_wrong_spreadsheet_ends_with_2(verse_tree, tmp_path, capsys):
    (tmp_path / "grades.csv").write_text("verse_ID,T1\n4,0\n")
    assert main(["data", "check", str(verse_tree), "--grades", str(tmp_path / "grades.csv")]) == 2
    assert "18 of each are expected" in capsys.readouterr().err


def test_all_scans_of_a_patient_are_in_one_part(cases):
    patients = {part: {file.patient for file in case_files(cases, part)} for part in ("train", "validation", "test")}
    assert sum(len(names) for names in patients.values()) == len(set().union(*patients.values())) == 4
    assert {"anna", "bert", "carl", "dora"} == set().union(*patients.values())
    assert sum(len(case_files(cases, part)) for part in patients) == 6
    case = load_case(next((cases / "train").glob("*.npz")))
    assert case.has_fracture
    assert not case.has_bodies
    assert case.truth["source"] == "pairs of image and label"


def test_preparing_goes_on_where_it_was_stopped_and_refuses_other_settings(own_data, tmp_path):
    data_set, folder = read_data_set(own_data), tmp_path / "cases"
    asked = iter([False, True])
    with pytest.raises(Cancelled):
        prepare_cases(data_set, folder, should_stop=lambda: next(asked))
    (first,) = folder.rglob("*.npz")
    written = first.stat().st_mtime_ns
    made = prepare_cases(data_set, folder)
    assert first.stat().st_mtime_ns == written
    assert len(list(folder.rglob("*.npz"))) == 6
    assert list(made.left_out) == ["sub-emil"]
    with pytest.raises(UserError, match="other settings"):
        prepare_cases(data_set, folder, seed=1)
    with pytest.raises(UserError, match="other settings"):
        prepare_cases(data_set, folder, LabelPolicy(fractured_from=1))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x.txt").touch()
    with pytest.raises(UserError, match="not empty"):
        prepare_cases(data_set, tmp_path / "full")


def test_the_data_sets_own_split_guards_patients_who_are_in_two_parts():
    scans = [Scan("a", "1", None, part="train"), Scan("a", "2", None, part="test"), Scan("b", "3", None, part="train")]
    assert own_split(scans) == {"a": "test", "b": "train"}
    with pytest.raises(UserError, match="--split"):
        own_split([*scans, Scan("c", "4", None)])


def test_nothing_that_can_be_used_is_said(tmp_path, capsys):
    (tmp_path / "a_ct.nii.gz").write_bytes(b"no image")
    (tmp_path / "a_fracture.nii.gz").write_bytes(b"no image")
    assert main(["data", "prepare", str(tmp_path), "--output", str(tmp_path / "cases")]) == 2
    assert "No scan could be used" in capsys.readouterr().err


@pytest.mark.parametrize("shares", ["0.5,0.5", "0.5,0.5,0.5", "a,b,c", "-1,1,1"])
def test_shares_that_are_none_are_refused(own_data, tmp_path, shares, capsys):
    with pytest.raises(SystemExit) as end:
        main(["data", "prepare", str(own_data), "--output", str(tmp_path / "c"), f"--split={shares}"])
    assert end.value.code == 2
    assert "three shares" in capsys.readouterr().err


@pytest.fixture
def tiny(tmp_path):
    """The words that make training short."""
    settings = tmp_path / "tiny.yaml"
    settings.write_text(
        "preset: bundled\n"
        "training: {slices_per_epoch: 4, batch_size: 4, max_epochs: 1, workers: 0, validation_slice_step: 40,"
        " validation_negative_slice_step: 40}\n"
        "network: {width: 4}\n"
        "preprocessing: {spacing_mm: 1.0, window_size: [64, 64]}\n"
    )
    return ["--config", str(settings)]


def test_a_network_is_trained_on_masks_alone(cases, tmp_path, tiny):
    """No library, no simulated case, no vertebra labels: the vertebra channel gets no loss and a model comes out."""
    words = ["train", "--data", str(cases), "--cases", "0", "--validation-cases", "0", "--scanned-share", "1"]
    assert main([*words, *tiny, "--output", str(tmp_path / "run"), "--progress", "none"]) == 0
    card = load_model(tmp_path / "run" / "model.safetensors").card
    assert "simulated" not in card.description
    assert card.label_meaning == "In pairs of image and label: as drawn by the owner of the data."
    assert card.licence == "the owner's own"
    counts = [len(case_files(cases, part)) for part in ("train", "validation")]
    assert card.training_data[0].startswith(f"pairs of image and label: {sum(counts)} scans")
    log = (tmp_path / "run" / "log.csv").read_text().splitlines()
    row = dict(zip(log[0].split(","), log[1].split(","), strict=True))
    assert row["vertebra_loss"] == "nan"
    assert float(row["fracture_loss_fractured"]) > 0


def test_a_patient_who_trains_and_validates_is_refused(cases, tmp_path, tiny, capsys):
    words = ["train", "--data", str(cases / "train"), "--validation-data", str(cases / "train"), "--cases", "0"]
    assert main([*words, *tiny, "--validation-cases", "0", "--output", str(tmp_path / "run")]) == 2
    assert "trains and validates" in capsys.readouterr().err


def test_a_folder_without_cases_and_a_damaged_case_are_said(tmp_path, capsys):
    words = ["train", "--cases", "0", "--validation-cases", "0", "--output", str(tmp_path / "run"), "--data"]
    (tmp_path / "empty").mkdir()
    assert main([*words, str(tmp_path / "empty")]) == 2
    assert "holds no cases" in capsys.readouterr().err
    (tmp_path / "empty" / "a.npz").write_bytes(b"no case")
    assert main([*words, str(tmp_path / "empty")]) == 2
    assert "is no case file" in capsys.readouterr().err


def test_patients_whom_the_library_holds_out_do_not_train(tmp_path, capsys):
    """verse014 tests in the shape library, verse004 trains there: neither may take the other part by --data."""
    from SpineFractureSegLib.engine.commands import train

    shape = (4, 4, 4)
    for part, patients in (("train", ("verse014", "mine")), ("validation", ("VERSE004", "yours"))):
        (tmp_path / part).mkdir()
        for patient in patients:
            case = Case(patient, patient, np.zeros(shape, np.int16), np.zeros(shape, np.uint8), has_bodies=False)
            save_case(tmp_path / part / f"{patient}.npz", case)
    spines = [train._Spine("verse004", "train", "s", "l"), train._Spine("verse014", "test", "s", "l")]
    parser = __import__("argparse").ArgumentParser()
    train.add_arguments(parser)
    arguments = parser.parse_args(["--output", "run", "--data", str(tmp_path)])
    real = train._real_cases(arguments, spines)
    assert [file.patient for file in real["train"]] == ["mine"]
    assert [file.patient for file in real["validation"]] == ["yours"]
    assert "verse014, VERSE004" in capsys.readouterr().err


def test_the_settings_of_a_prepared_folder_are_readable(cases):
    settings = json.loads((cases / "prepared.json").read_text())
    assert settings["policy"] == dataclasses.asdict(LabelPolicy())
    assert sorted(patient for names in settings["parts"].values() for patient in names) == [
        "anna",
        "bert",
        "carl",
        "dora",
        "emil",
    ]


def test_a_machine_that_trains_on_prepared_cases_needs_no_simpleitk():
    code = "import sys; sys.modules['SimpleITK'] = None; import SpineFractureSegLib.engine.data.case_folder"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
