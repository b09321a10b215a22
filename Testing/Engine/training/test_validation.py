import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from SpineFractureSegLib.engine.case import MAP_FRACTURE, MAP_UNKNOWN
from SpineFractureSegLib.engine.device import Placement
from SpineFractureSegLib.engine.errors import Cancelled
from SpineFractureSegLib.engine.inference import SlicePredictor
from SpineFractureSegLib.engine.preprocessing import Preprocessing
from SpineFractureSegLib.engine.progress import no_progress
from SpineFractureSegLib.engine.training.team import Team
from SpineFractureSegLib.engine.training.validation import (
    ScoredCase,
    choose_min_volume,
    score_cases,
    validation_scores,
)


class Bright(nn.Module):
    """Calls bright pixels of the middle channel a fracture: sure above 400 HU, undecided at 200."""

    def forward(self, x):
        hu = x[:, 1:2] * 1400 - 250
        return torch.cat([(hu - 400) / 10, (hu - 150) / 10], 1)


@pytest.fixture
def predictor():
    preprocessing = Preprocessing(context_mm=(-3.0, 0.0, 3.0), window_size=(32, 32))
    return SlicePredictor(Bright(), 2, preprocessing, Placement(torch.device("cpu"), torch.float32, 8))


def scored_case(case, probability, voxel_mm3=1.0):
    return ScoredCase(case, np.asarray(probability, np.float16), case.bodies, voxel_mm3)


def test_a_network_that_is_right_scores_one_and_slices_stand_for_their_neighbors(predictor, make_case):
    cases = [make_case(1), make_case(2), make_case(3, fractured=False, has_bodies=False)]
    scored = score_cases(predictor, cases, 2, 3, Team("cpu"), no_progress)
    scores = validation_scores(scored)
    assert scores.dice_pooled == pytest.approx(1.0)
    assert scores.dice_mean == pytest.approx(1.0)
    assert scores.vertebra_auc == 1.0
    assert scores.false_positive_ml == 0.0
    assert [item.voxel_mm3 for item in scored] == [2.0, 2.0, 3.0]
    assert scored[2].probability.shape == (8, 72, 40)
    true = [item.fracture.sum() * item.voxel_mm3 for item in scored[:2]]
    assert true == pytest.approx([case.fracture_mask.sum() for case in cases[:2]], rel=0.1)


def test_simulated_cases_are_scored_around_their_bodies_and_real_ones_everywhere(predictor, make_case):
    case = make_case(1, fractured=False, shape=(72, 100, 80))
    part = score_cases(predictor, [case], 1, 1, Team("cpu"), no_progress)[0]
    there = np.flatnonzero(case.bodies.any((0, 1)))
    assert part.bodies.any()
    assert part.probability.shape == part.bodies.shape
    assert len(part.bodies) == there[-1] + 1 + 12 - max(there[0] - 12, 0)
    assert part.bodies.shape[2] < 100
    real = dataclasses.replace(case, truth={"as_scanned": True})
    assert score_cases(predictor, [real], 1, 4, Team("cpu"), no_progress)[0].probability.shape == (20, 72, 100)


def test_false_alarms_in_cases_without_fracture_lower_the_pooled_score_only(make_case):
    broken, healthy = make_case(1), make_case(2, fractured=False, has_bodies=False)
    right = scored_case(broken, broken.fracture_mask)
    painted = np.zeros(healthy.hu.shape)
    painted[:10, :10, :10] = 1
    clean = validation_scores([right, scored_case(healthy, 0 * painted)])
    alarm = validation_scores([right, scored_case(healthy, painted)])
    volume = broken.fracture_mask.sum()
    assert clean.dice_pooled == 1.0
    assert alarm.dice_pooled == pytest.approx(2 * volume / (2 * volume + 1000))
    assert alarm.dice_mean == 1.0
    assert alarm.false_positive_ml == pytest.approx(1.0)


def test_the_threshold_with_the_best_pooled_dice_is_chosen(make_case):
    case = make_case(1)
    probability = np.where(case.fracture_mask, 0.62, np.where(case.bodies > 0, 0.52, 0.0))
    scores = validation_scores([scored_case(case, probability)])
    assert scores.threshold in (0.55, 0.6)
    assert scores.dice_pooled == 1.0


def test_dice_by_hand_at_a_threshold(make_case):
    case = make_case(1)
    probability = np.zeros(case.hu.shape)
    z, y, x = np.nonzero(case.fracture_mask)
    half = len(z) // 2
    probability[z[:half], y[:half], x[:half]] = 0.9
    scores = validation_scores([scored_case(case, probability)])
    assert scores.dice_pooled == pytest.approx(2 * half / (half + len(z)))


def test_uncertain_bodies_neither_help_nor_harm(make_case):
    case = make_case(1, fractured=True)
    other = next(body for body in (20, 21, 22) if body not in case.fractured)
    case = dataclasses.replace(case, uncertain=(other,))
    probability = (case.fracture_mask | (case.bodies == other)).astype(float)
    scores = validation_scores([scored_case(case, probability)])
    assert scores.dice_pooled == 1.0
    assert scores.vertebra_auc == 1.0


def test_vertebra_auc_counts_pairs_and_halves_ties(make_case):
    case = dataclasses.replace(make_case(1, fractured=False), fractured=(20,))
    probability = np.zeros(case.hu.shape)
    for body, value in ((20, 0.5), (21, 0.5), (22, 0.25)):
        probability[case.bodies == body] = value
    assert validation_scores([scored_case(case, probability)]).vertebra_auc == 0.75


def test_scores_that_no_case_can_give_are_nan(make_case):
    healthy = make_case(1, fractured=False)
    scores = validation_scores([scored_case(healthy, np.zeros(healthy.hu.shape))])
    assert np.isnan([scores.dice_mean, scores.vertebra_auc, scores.false_positive_ml]).all()
    assert scores.dice_pooled == 0.0


def test_the_smallest_lesion_size_that_drops_the_specks_is_chosen(make_case):
    case = make_case(1)
    probability = case.fracture_mask.astype(float)
    probability[:4, -6:, -6:] = 1  # 144 mm3
    item = scored_case(case, probability)
    assert choose_min_volume([item], 0.5) == 250.0
    assert choose_min_volume([scored_case(case, case.fracture_mask)], 0.5) == 0.0
    assert choose_min_volume([dataclasses.replace(item, voxel_mm3=2.0)], 0.5) == 500.0


def test_validation_stops_between_batches(make_case):
    preprocessing = Preprocessing(context_mm=(-3.0, 0.0, 3.0), window_size=(32, 32))
    placement = Placement(torch.device("cpu"), torch.float32, 8)
    predictor = SlicePredictor(Bright(), 2, preprocessing, placement, should_stop=lambda: True)
    with pytest.raises(Cancelled):
        score_cases(predictor, [make_case(1)], 1, 1, Team("cpu"), no_progress)


def drawn(case, mask):
    """The case with its fracture drawn voxel by voxel, and its scored part."""
    fracture_map = np.where(mask, MAP_FRACTURE, 0).astype(np.uint8)
    case = dataclasses.replace(case, fractured=(), fracture_map=fracture_map)
    return lambda probability: ScoredCase(
        case, np.asarray(probability, np.float16), case.bodies, 1.0, case.fracture_map
    )


def test_a_drawn_mask_is_scored_as_the_ids_are(make_case):
    case = make_case(1)
    probability = np.where(case.fracture_mask, 0.62, np.where(case.bodies > 0, 0.52, 0.0))
    by_id, by_mask = scored_case(case, probability), drawn(case, case.fracture_mask)(probability)
    scores = [dataclasses.astuple(validation_scores([item])) for item in (by_mask, by_id)]
    assert scores[0] == pytest.approx(scores[1], nan_ok=True)
    assert validation_scores([by_mask]).vertebra_auc == 1.0


def test_a_body_with_a_trace_of_drawn_fracture_has_no_say_in_the_vertebra_score(make_case):
    case = make_case(1)
    trace = case.bodies == case.fractured[0]
    trace[:, :, ::2] = False
    z, y, x = np.nonzero(trace)
    trace[z[40:], y[40:], x[40:]] = False
    assert np.isnan(validation_scores([drawn(case, trace)(case.bodies > 0)]).vertebra_auc)


def test_unknown_voxels_of_a_map_are_left_out_of_the_score(make_case):
    case = make_case(3, fractured=False)
    unknown = np.full(case.hu.shape, MAP_UNKNOWN, np.uint8)
    item = ScoredCase(case, np.ones(case.hu.shape, np.float16), case.bodies, 1.0, unknown)
    assert not item.known.any()
    assert not item.fracture.any()


def test_a_case_without_bodies_is_scored_everywhere_against_its_map(predictor, make_case):
    case = make_case(1)
    fracture_map = np.where(case.fracture_mask, MAP_FRACTURE, 0).astype(np.uint8)
    case = dataclasses.replace(
        case, bodies=np.zeros_like(case.bodies), fractured=(), has_bodies=False, fracture_map=fracture_map
    )
    scored = score_cases(predictor, [case], 1, 3, Team("cpu"), no_progress)
    assert scored[0].probability.shape == (24, 72, 40)
    assert validation_scores(scored).dice_pooled == pytest.approx(1.0)
