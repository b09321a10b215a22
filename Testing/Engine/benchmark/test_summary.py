"""The figures of several cases."""

import json
from dataclasses import replace

import numpy as np
import pytest

from SpineFractureSegLib.engine.benchmark.case_score import compare
from SpineFractureSegLib.engine.benchmark.groups import tables
from SpineFractureSegLib.engine.benchmark.summary import froc, sensitivity_at, summarize


@pytest.fixture
def mild(case):
    """The same with a fracture of grade 1, of another patient and thinner slices."""
    truth = {"vertebrae": {"19": {"type": "crush", "part": "body", "genant": 1}}, "scan": {"slice_mm": 1.0}}
    return replace(case, name="mild", patient="q", truth=truth)


def right(case):
    return compare(case, case.fracture_mask.astype(np.float32), 0.5, 0.0)


def wrong(case):
    return compare(case, (case.bodies == 20).astype(np.float32), 0.5, 0.0)


def test_the_summary_pools_and_averages(case):
    summary = summarize([right(case), replace(wrong(case), name="other")], threshold=0.5)
    for name in ("dice_pooled", "dice_mean", "vertebra_auc_clear", "vertebra_specificity", "lesion_sensitivity_clear"):
        assert summary[name] == pytest.approx(0.5)
        low, high = summary[f"{name}_interval"]
        assert 0 <= low <= 0.5 <= high <= 1
    assert summary["vertebra_sensitivity_clear"] == pytest.approx(0.5)
    assert summary["false_positives_per_scan"] == pytest.approx(0.5)
    assert summary["iou_pooled"] == pytest.approx(1 / 3, abs=1e-4)
    assert summary["intervals_over"] == "cases"
    json.dumps(summary, allow_nan=False)


def test_grade_1_is_reported_apart(case, mild):
    summary = summarize([right(case), wrong(mild)], threshold=0.5)
    assert (summary["lesions"], summary["lesions_grade_1"]) == (2, 1)
    assert (summary["lesion_sensitivity_clear"], summary["lesion_sensitivity_grade_1"]) == (1.0, 0.0)
    assert (summary["vertebra_sensitivity_clear"], summary["vertebra_auc"]) == (1.0, 0.5)
    assert summary["vertebra_auc_clear"] == 0.75  # an intact one of the other case was called, too


def test_with_enough_patients_they_are_drawn_as_wholes(case):
    scores = [replace(right(case), patient=f"p{k}", name=f"c{k}") for k in range(8)]
    assert summarize(scores, 0.5)["intervals_over"] == "patients"
    alone = [replace(score, false_positives=k % 2) for k, score in enumerate(scores)]
    twice = alone + [replace(score, name=f"{score.name}-twin") for score in alone]
    single, double = (summarize(group, 0.5)["false_positives_per_scan_interval"] for group in (alone, twice))
    assert double == single  # a second case that says the same of each patient makes nothing surer


def test_cases_without_fracture_leave_the_means_and_are_counted(case):
    intact = replace(case, fractured=(), uncertain=(), name="intact", truth={})
    silent = compare(intact, np.zeros(case.hu.shape), 0.5, 0.0)
    summary = summarize([right(case), silent], 0.5)
    assert (summary["cases"], summary["cases_with_fracture"], summary["cases_both_empty"]) == (2, 1, 1)
    assert summary["dice_mean"] == 1.0
    alone = summarize([silent], 0.5)
    assert alone["dice_mean"] is None
    assert alone["lesion_sensitivity_clear"] is None


def test_the_froc_point_takes_the_best_threshold_within_the_allowed_false_positives(case):
    answer = np.where(case.fracture_mask, 0.8, 0.0).astype(np.float32)
    answer[:5, :5, :5] = answer[:5, -5:, -5:] = 0.4  # two false alarms, below 0.45 alone
    score = compare(case, answer, 0.3, 0.0)
    assert score.false_positives == 2
    assert sensitivity_at([score], 1.0) == 1.0
    answer[answer == np.float32(0.4)] = 0.9
    score = compare(case, answer, 0.3, 0.0)
    assert sensitivity_at([score], 1.0) == 0.0
    points = froc([score])
    assert [p["threshold"] for p in points if p["false_positives_per_scan"] == 0] == [0.95, 0.97, 0.98, 0.99]
    assert points[0]["sensitivity_grade_1"] is None


def test_painting_everything_finds_nothing(case):
    answer = np.full(case.hu.shape, 0.2, np.float32)  # one part that holds the fracture, and so no false positive
    answer[:5, :5, :5] = answer[:5, -5:, -5:] = 0.9  # two false alarms as long as they stand alone
    assert sensitivity_at([compare(case, answer, 0.5, 0.0)], 1.0) == 0.0


def test_the_tables_split_by_what_was_fractured_and_how_it_was_scanned(case, mild, case_with_drawn):
    scores = [right(case), wrong(mild), right(replace(case_with_drawn, name="drawn"))]
    found = tables(scores, 0.5)
    by_type = {row["type"]: row for row in found["by_type"]}
    assert {kind: (row["lesions"], row["found"]) for kind, row in by_type.items()} == {
        "crush": (1, 0),
        "spinous": (1, 1),
        "wedge": (2, 2),
    }
    assert (by_type["spinous"]["bodies"], by_type["spinous"]["auc"]) == (0, None)
    assert [(row["grade"], row["sensitivity"]) for row in found["by_grade"]] == [
        ("1", 0.0),
        ("3", 1.0),
        ("not graded", 1.0),
    ]
    regions = {row["region"]: row for row in found["by_region"]}
    assert (regions["thoracic"]["lesions"], regions["lumbar"]["lesions"]) == (3, 1)
    assert regions["lumbar"]["specificity"] == pytest.approx(2 / 3, abs=1e-4)
    assert [row["slice_thickness"] for row in found["by_slice_thickness"]] == ["over 2 to 3 mm", "up to 1 mm"]
    assert {row["patient"]: row["cases"] for row in found["by_patient"]} == {"p": 2, "q": 1}
    json.dumps(found, allow_nan=False)
