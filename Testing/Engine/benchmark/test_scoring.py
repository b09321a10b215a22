"""A run that goes on where it was stopped, and the page it ends with."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from SpineFractureSegLib.engine.benchmark import scoring
from SpineFractureSegLib.engine.benchmark.accuracy import begin, measure_real_cts, measure_simulated
from SpineFractureSegLib.engine.benchmark.accuracy_report import accuracy_page
from SpineFractureSegLib.engine.benchmark.case_score import compare
from SpineFractureSegLib.engine.benchmark.scoring import CaseScorer
from SpineFractureSegLib.engine.case import save_case
from SpineFractureSegLib.engine.model_file import ModelCard, load_model, save_model
from SpineFractureSegLib.engine.network import FractureNetwork, NetworkConfig
from SpineFractureSegLib.engine.preprocessing import Preprocessing
from SpineFractureSegLib.engine.progress import no_progress


@pytest.fixture
def make_model(tmp_path):
    def make(seed):
        path = tmp_path / f"model{seed}.safetensors"
        if not path.exists():
            torch.manual_seed(seed)
            config = NetworkConfig(width=4)
            save_model(path, FractureNetwork(config), config, Preprocessing(), ModelCard(name=f"m<{seed}>"))
        return load_model(path)

    return make


@pytest.fixture
def runs(monkeypatch):
    """Names of the cases that a network was asked about; its answer is right but for a false alarm of 1,000 voxels."""
    asked = []

    def answer(case, model, device, should_stop):
        asked.append(case.name)
        probability = np.where(case.fracture_mask, 0.9, 0.0)
        probability[:10, :10, :10] = 0.8
        return compare(case, probability, 0.5, 0.0), probability

    monkeypatch.setattr(scoring, "score_case", answer)
    return asked


@pytest.fixture
def real(case):
    """A CT without fracture."""
    truth = {"real_ct": True, "as_scanned": True}
    return replace(
        case, name="chest", fractured=(), uncertain=(), bodies=case.bodies * 0, has_bodies=False, truth=truth
    )


def test_a_case_is_run_once_per_model(make_model, runs, case, tmp_path):
    other = replace(case, name="other")
    first = CaseScorer(make_model(0), tmp_path / "out").score(case)
    scorer = CaseScorer(make_model(0), tmp_path / "out")
    again = scorer.score(case)
    scorer.score(other)
    assert runs == ["made", "other"]
    assert again.dice == first.dice
    assert scorer.picture(again).exists()
    CaseScorer(make_model(1), tmp_path / "out").score(case)
    CaseScorer(make_model(0), tmp_path / "out").score(case)  # its pictures were replaced
    assert runs == ["made", "other", "made", "made"]


def test_every_false_finding_of_a_real_ct_has_a_picture(make_model, runs, case, real, tmp_path):
    scorer = CaseScorer(make_model(0), tmp_path / "out")
    score = scorer.score(real)
    assert score.false_positives == 1
    assert [path.name for path in scorer.finding_pictures(score)] == ["chest-1.png"]
    assert scorer.finding_pictures(scorer.score(case)) == []


def test_the_report_is_json_and_one_page_with_pictures(make_model, runs, case, real, tmp_path):
    names = ("a", "b", "c")
    for name in names:
        save_case(tmp_path / f"{name}.npz", replace(case, name=name))
    model = make_model(0)
    scorer, accuracy = CaseScorer(model, tmp_path / "out"), begin(model)
    measure_simulated(accuracy, scorer, [tmp_path / f"{name}.npz" for name in names], no_progress)
    measure_real_cts(accuracy, scorer, ["chest.nii.gz"], [real], no_progress)
    report = json.loads(json.dumps(accuracy.report, allow_nan=False))
    assert report["simulated"]["summary"]["lesion_sensitivity_clear"] == 1.0
    assert report["simulated"]["summary"]["false_positives_per_scan"] == 1.0
    assert report["real"] == [
        {"ct": "chest.nii.gz", "findings": 1, "volume_ml": 1.0, "findings_at_0.25": 1, "findings_at_0.75": 1}
    ]
    pictures = {score.name: scorer.picture(score) for score in accuracy.simulated}
    findings = {score.name: scorer.finding_pictures(score) for score in accuracy.real}
    html = accuracy_page(accuracy.report, accuracy.simulated, accuracy.reliability, pictures, findings)
    assert "m&lt;0&gt;" in html
    assert len(re.findall("<img", html)) == 4  # best, median, worst, and the finding
    assert len(re.findall('class="chart"', html)) == 2
    assert "http" not in html.replace("http-equiv", "")
