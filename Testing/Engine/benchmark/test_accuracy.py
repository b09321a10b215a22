"""The benchmark's arithmetic, on made cases small enough to count by hand."""

import numpy as np
import pytest

from SpineFractureSegLib.engine.benchmark.accuracy import compare, sensitivity_at, summarize
from SpineFractureSegLib.engine.case import Case

BODY = 16 * 16 * 12  # voxels


@pytest.fixture
def case() -> Case:
    """Three bodies above each other: 19 fractured, 20 intact, 21 uncertain."""
    bodies = np.zeros((60, 40, 40), np.uint8)
    for level, vertebra in enumerate((21, 20, 19)):
        bodies[4 + 18 * level : 16 + 18 * level, 12:28, 12:28] = vertebra
    truth = {"vertebrae": {"19": {"type": "wedge", "height_loss": {"anterior": 0.4, "middle": 0.2, "posterior": 0.1}}}}
    return Case("made", "p", np.zeros(bodies.shape, np.int16), bodies, (19,), (21,), truth=truth)


def test_a_perfect_answer_scores_one(case):
    score = compare(case, case.fracture_mask.astype(np.float32), 0.5, 0.0)
    assert (score.dice, score.iou, score.found, score.false_positives) == (1.0, 1.0, 1, 0)
    assert [v.vertebra for v in score.vertebrae] == [19, 20]
    assert (score.vertebrae[0].kind, score.vertebrae[0].height_loss) == ("wedge", 0.4)


def test_what_is_said_of_an_uncertain_body_counts_nowhere(case):
    answer = (case.fracture_mask | case.uncertain_mask).astype(np.float32)
    score = compare(case, answer, 0.5, 0.0)
    assert (score.dice, score.false_positives, score.false_volume_ml) == (1.0, 0, 0.0)
    assert 21 not in [v.vertebra for v in score.vertebrae]


def test_a_component_away_from_all_fractured_bodies_is_a_false_positive(case):
    answer = case.fracture_mask.astype(np.float32)
    answer[:5, :5, :5] = 0.9
    answer[case.bodies == 20] = 0.7
    score = compare(case, answer, 0.5, 0.0)
    assert score.false_positives == 2
    assert score.false_volume_ml == pytest.approx((BODY + 125) / 1000)
    assert score.dice == pytest.approx(2 * BODY / (2 * BODY + BODY + 125))
    without_small = compare(case, answer, 0.5, 200.0)
    assert without_small.false_positives == 1


def test_a_lesion_is_found_from_a_tenth_of_its_body_on(case):
    answer = np.zeros(case.hu.shape, np.float32)
    rows = np.nonzero((case.bodies == 19).any(axis=(1, 2)))[0]
    answer[rows[0]] = case.bodies[rows[0]] == 19
    assert compare(case, answer, 0.5, 0.0).found == 0  # one of twelve slices
    answer[rows[1]] = case.bodies[rows[1]] == 19
    assert compare(case, answer, 0.5, 0.0).found == 1


def test_the_summary_pools_and_averages(case):
    right = compare(case, case.fracture_mask.astype(np.float32), 0.5, 0.0)
    wrong = compare(case, (case.bodies == 20).astype(np.float32), 0.5, 0.0)
    summary = summarize([right, wrong], threshold=0.5)
    assert summary["dice_pooled"] == pytest.approx(0.5)
    assert summary["dice_mean_of_cases_with_fracture"] == pytest.approx(0.5)
    assert summary["vertebra_auc"] == pytest.approx(0.5)
    assert summary["vertebra_sensitivity"] == pytest.approx(0.5)
    assert summary["vertebra_specificity"] == pytest.approx(0.5)
    assert summary["lesion_sensitivity"] == pytest.approx(0.5)
    assert summary["false_positives_per_scan"] == pytest.approx(0.5)
    assert summary["sensitivity_by_type"] == {"wedge": {"vertebrae": 2, "sensitivity": 0.5}}


def test_the_froc_point_takes_the_best_threshold_within_the_allowed_false_positives(case):
    answer = np.where(case.fracture_mask, 0.8, 0.0).astype(np.float32)
    answer[:5, :5, :5] = answer[:5, -5:, -5:] = 0.4  # two false alarms, below 0.45 alone
    score = compare(case, answer, 0.3, 0.0)
    assert score.false_positives == 2
    assert sensitivity_at([score], 1.0) == 1.0
    answer[answer == np.float32(0.4)] = 0.9
    assert sensitivity_at([compare(case, answer, 0.3, 0.0)], 1.0) == 0.0


def test_the_froc_points_are_counted_at_their_own_thresholds(case):
    answer = np.where(case.fracture_mask, 0.32, 0.0).astype(np.float32)
    points = compare(case, answer, 0.5, 0.0).operating_points
    assert [point.threshold for point in points if point.found] == [0.05, 0.1, 0.15, 0.2, 0.25, 0.3]


def test_cases_without_fracture_have_no_dice_but_can_raise_false_alarms():
    bodies = np.zeros((20, 20, 20), np.uint8)
    bodies[5:15, 5:15, 5:15] = 20
    empty = Case("empty", "p", np.zeros(bodies.shape, np.int16), bodies)
    silent, loud = (compare(empty, answer, 0.5, 0.0) for answer in (np.zeros(bodies.shape), np.ones(bodies.shape)))
    assert np.isnan(silent.dice)
    assert (loud.dice, loud.false_positives, loud.lesions) == (0.0, 1, 0)
