"""The JSON report: what the command line promises, and only what JSON can say."""

import json
from dataclasses import dataclass, field

import numpy as np
import pytest

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.model_file import ModelCard
from SpineFractureSegLib.engine.report import segmentation_report, write_json
from SpineFractureSegLib.engine.vertebrae.vertebra import Vertebra

SOME_VERTEBRA = Vertebra(
    number=1,
    level="L1",
    centroid_ras_mm=(1.0, 2.0, np.float64(3.0)),
    fracture_probability=np.float32(0.5),
    anterior_mm=20.5,
    middle_mm=None,
    posterior_mm=None,
    width_mm=None,
    depth_mm=None,
    height_loss=None,
    genant=None,
    trabecular_hu=None,
    complete=False,
    flagged=True,
    notes=("cut",),
)


@dataclass
class SomeFinding:
    """Stands in for a finding, with the numpy numbers that measuring gives."""

    id: int = 1
    centroid_ras_mm: tuple = (np.float64(1.5), np.float32(-2.0), 3.0)
    volume_mm3: float = np.float64(1234.5)
    extent_mm: tuple = (10.0, 20.0, 30.0)
    probability_mean: float = np.float32(0.75)
    probability_max: float = 0.9


@dataclass
class SomeResult:
    device: str = "cpu"
    precision: str = "float32"
    batch_size: int = 2
    seconds: float = 12.34567
    warnings: list = field(default_factory=lambda: ["second"])
    findings: list = field(default_factory=lambda: [SomeFinding()])
    spine: list = field(default_factory=lambda: [SOME_VERTEBRA])
    model: ModelCard = field(default_factory=lambda: ModelCard(name="Some model", training_data=("phantoms, CC0",)))


class SomeScores:
    def to_json(self) -> dict:
        return {"dice": 0.5, "hd95_mm": float("inf"), "nsd_at_mm": {2.0: float("nan")}}


def test_a_report_says_what_was_found_by_which_model_and_where():
    report = segmentation_report(SomeResult(), ct="ct.nii.gz", warnings=["first"])
    assert {"device", "model", "seconds", "warnings", "findings"} <= report.keys()
    assert report["ct"] == "ct.nii.gz"
    assert report["seconds"] == pytest.approx(12.346)
    assert report["warnings"] == ["first", "second"], "those of reading come first"
    assert report["model"]["name"] == "Some model"
    assert report["findings"] == [
        {
            "id": 1,
            "centroid_ras_mm": [1.5, -2.0, 3.0],
            "volume_mm3": 1234.5,
            "extent_mm": [10.0, 20.0, 30.0],
            "probability_mean": 0.75,
            "probability_max": 0.9,
        }
    ]
    (vertebra,) = report["vertebrae"]
    assert vertebra["level"] == "L1"
    assert vertebra["centroid_ras_mm"] == [1.0, 2.0, 3.0]
    assert (vertebra["fracture_probability"], vertebra["anterior_mm"], vertebra["genant"]) == (0.5, 20.5, None)
    assert (vertebra["flagged"], vertebra["notes"]) == (True, ["cut"])
    assert "Research use only" in report["notice"]
    assert "scores" not in report, "nothing was compared"


def test_a_written_report_is_json_that_every_reader_takes(tmp_path):
    path = tmp_path / "report.json"
    write_json(path, segmentation_report(SomeResult(), ct="Wirbelsäule.nii.gz", scores=SomeScores()))

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    read = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert read["scores"] == {"dice": 0.5, "hd95_mm": None, "nsd_at_mm": {"2.0": None}}
    assert read["ct"] == "Wirbelsäule.nii.gz"
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]


def test_a_report_that_cannot_be_written_is_said_in_one_sentence(tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        write_json(tmp_path / "missing" / "report.json", {})


def test_a_report_that_fails_midway_keeps_the_older_one(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("older")
    with pytest.raises(TypeError):
        write_json(path, {"image": object()})
    assert path.read_text() == "older"
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]
