"""``segment`` with the spine's outputs: every file or none, names from the user, early refusals."""

import csv
import dataclasses
import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from SpineFractureSegLib.engine.cli import main
from SpineFractureSegLib.engine.findings import find_lesions
from SpineFractureSegLib.engine.model_file import ModelCard, save_model
from SpineFractureSegLib.engine.network import FractureNetwork, NetworkConfig
from SpineFractureSegLib.engine.pipeline import SegmentationResult
from SpineFractureSegLib.engine.preprocessing import Preprocessing

CENTERS = [(8.0, -20.0, 760.0 - 25 * k) for k in range(3)]  # RAS of three bodies


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with a model of both outputs and one that knows no vertebrae."""
    folder = tmp_path_factory.mktemp("models")
    for name, outputs in (("both", ("fracture", "vertebra")), ("fracture", ("fracture",))):
        torch.manual_seed(0)
        config = NetworkConfig(width=4, outputs=outputs)
        card = ModelCard(name="Random", version="7")
        save_model(
            folder / f"{name}.safetensors", FractureNetwork(config), config, Preprocessing(window_size=(32, 32)), card
        )
    return folder


@pytest.fixture
def ct(dicom, tmp_path):
    """A DICOM series around the three bodies."""
    positions = [(-20.0, 5.0, 690.0 + 3.0 * k) for k in range(30)]
    return dicom.write_series(tmp_path / "ct", positions, rows=48, columns=60)


@pytest.fixture
def run(ct, models, spine, tmp_path, monkeypatch):
    """run(*words): ``segment`` with the network's work replaced by three bodies, of which the second is fractured."""
    spine = [
        dataclasses.replace(vertebra, centroid_ras_mm=center, level=None)
        for vertebra, center in zip(spine, CENTERS, strict=True)
    ]

    def segment_ct(image, model, **_):
        labels = sitk.Image(image.GetSize(), sitk.sitkUInt8)
        labels.CopyInformation(image)
        for vertebra in spine:
            r, a, s = vertebra.centroid_ras_mm
            middle = image.TransformPhysicalPointToIndex((-r, -a, s))
            corner, far = [[i + d for i, d in zip(middle, size, strict=True)] for size in ((-8, -8, -3), (9, 9, 4))]
            labels[tuple(slice(low, high) for low, high in zip(corner, far, strict=True))] = vertebra.number
        probability = sitk.Cast(labels == 2, sitk.sitkFloat32) * 0.8
        mask = labels == 2
        return SegmentationResult(
            mask=mask,
            probability=probability,
            vertebrae=sitk.Cast(labels > 0, sitk.sitkFloat32),
            findings=find_lesions(mask, probability),
            labels=labels,
            spine=spine,
            region=None,
            device="cpu",
            precision="float32",
            batch_size=1,
            seconds=1.0,
            warnings=[],
            model=model.card,
        )

    monkeypatch.setattr("SpineFractureSegLib.engine.pipeline.segment_ct", segment_ct)
    out = tmp_path / "out"
    out.mkdir()

    def run(*words, model="both", source=ct):
        fixed = ["segment", source, "--output", out / "m.seg.nrrd", "--model", models / f"{model}.safetensors"]
        return main([str(word) for word in [*fixed, "--progress", "none", *words]])

    return run


def files(tmp_path):
    return sorted(path.name for path in (tmp_path / "out").iterdir())


def sentence(capsys):
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_all_outputs_of_one_run_agree(run, tmp_path, capsys):
    highdicom = pytest.importorskip("highdicom")
    out = tmp_path / "out"
    words = ["--spine-table", out / "s.csv", "--html", out / "s.html", "--report", out / "s.json"]
    words += ["--bodies", out / "b.nii.gz", "--preview", out / "p.png", "--vertebrae"]
    words += ["--dicom-seg", out / "seg.dcm", "--dicom-sr", out / "sr.dcm"]
    assert run(*words) == 0
    assert files(tmp_path) == sorted(
        ["m.seg.nrrd", "s.csv", "s.html", "s.json", "b.nii.gz", "p.png", "seg.dcm", "sr.dcm"]
    )
    assert "Vertebrae   3; flagged: vertebra 2 (82 %, Genant 2)" in capsys.readouterr().out
    table, report = rows(out / "s.csv"), json.loads((out / "s.json").read_text())
    assert [row["flagged"] for row in table] == ["0", "1", "0"]
    assert [vertebra["number"] for vertebra in report["vertebrae"]] == [1, 2, 3]
    assert float(table[1]["anterior_mm"]) == report["vertebrae"][1]["anterior_mm"]
    bodies = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "b.nii.gz")))
    assert np.unique(bodies).tolist() == [0, 1, 2, 3]
    segmentation = highdicom.seg.segread(out / "seg.dcm")
    voxels = segmentation.get_volume(segment_numbers=[1], combine_segments=True, relabel=True).array.sum()
    assert voxels == (bodies == 2).sum()
    assert segmentation.number_of_segments == 2
    groups = highdicom.sr.srread(out / "sr.dcm").content.get_image_measurement_groups()
    assert [group.tracking_identifier for group in groups] == ["vertebra 1", "vertebra 2", "vertebra 3"]
    assert "vertebra 2" in (out / "s.html").read_text()


def test_one_named_vertebra_names_the_others(run, tmp_path):
    out = tmp_path / "out"
    r, a, s = CENTERS[1]
    assert run("--spine-table", out / "s.csv", f"--level=L2@{r},{a},{s}") == 0
    assert [row["level"] for row in rows(out / "s.csv")] == ["L1", "L2", "L3"]


def test_a_label_map_names_the_vertebrae(run, tmp_path):
    # TotalSegmentator counts upwards: 32 is T12, 31 is L1, 30 is L2
    out = tmp_path / "out"
    assert run("--bodies", out / "b.nrrd") == 0
    bodies = sitk.ReadImage(str(out / "b.nrrd"))
    sitk.WriteImage(sitk.Cast(bodies > 0, sitk.sitkUInt8) * 33 - bodies, str(tmp_path / "map.nrrd"))
    assert run("--spine-table", out / "s.csv", "--levels", tmp_path / "map.nrrd") == 0
    assert [row["level"] for row in rows(out / "s.csv")] == ["T12", "L1", "L2"]


def test_names_that_do_not_fit_are_a_warning_and_the_result_is_kept(run, tmp_path, capsys):
    out = tmp_path / "out"
    assert run("--spine-table", out / "s.csv", "--level=L2@500,500,500") == 0
    assert "warning: The vertebrae are not named: No vertebral body" in sentence(capsys)
    assert [row["level"] for row in rows(out / "s.csv")] == ["", "", ""]


@pytest.mark.parametrize(
    ("words", "model", "expected"),
    [
        (["--spine-table", "x.csv", "--vertebrae"], "fracture", "leave out --vertebrae and --spine-table"),
        (["--level", "L3"], "both", "names no vertebra"),
        (["--spine-table", "x.txt"], "both", "must end with .csv"),
        (["--html", "x.htm"], "both", "must end with .html"),
        (["--dicom-sr", "x.dcm"], "both", "give --dicom-seg, too"),
        (["--dicom-seg", "x.nrrd"], "both", "must end with .dcm"),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_long_work(
    words, model, expected, run, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("SpineFractureSegLib.engine.pipeline.segment_ct", None)
    words = [tmp_path / "out" / word if "." in word else word for word in words]
    assert run(*words, model=model) == 2
    assert expected in sentence(capsys)
    assert files(tmp_path) == []


def test_dicom_output_of_a_ct_that_is_no_dicom_is_refused_before_the_long_work(run, tmp_path, monkeypatch, capsys):
    pytest.importorskip("highdicom")
    monkeypatch.setattr("SpineFractureSegLib.engine.pipeline.segment_ct", None)
    sitk.WriteImage(sitk.Image(20, 20, 20, sitk.sitkInt16), str(tmp_path / "ct.nrrd"))
    assert run("--dicom-seg", tmp_path / "out" / "s.dcm", source=tmp_path / "ct.nrrd") == 2
    assert "give the DICOM folder as CT" in sentence(capsys)


def test_a_file_that_fails_takes_the_others_with_it(run, tmp_path, monkeypatch, capsys):
    from SpineFractureSegLib.engine.errors import UserError

    def full(*_):
        raise UserError("The disk is full: make room.")

    monkeypatch.setattr("SpineFractureSegLib.engine.commands.segment_outputs.write_spine_page", full)
    out = tmp_path / "out"
    assert run("--spine-table", out / "s.csv", "--html", out / "s.html") == 2
    assert "The disk is full" in sentence(capsys)
    assert files(tmp_path) == []
