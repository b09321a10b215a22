"""The arithmetic of one case."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from SpineFractureSegLib.engine.benchmark.case_score import compare
from SpineFractureSegLib.engine.case import Case
from SpineFractureSegLib.engine.metrics import evaluate

BODY = 16 * 16 * 12  # voxels


def test_a_perfect_answer_scores_one(case):
    score = compare(case, case.fracture_mask.astype(np.float32), 0.5, 0.0)
    assert (score.dice, score.iou, score.iou_two_class, score.found, score.false_positives) == (1.0, 1.0, 1.0, 1, 0)
    assert (score.hd95_mm, score.nsd) == (0.0, 1.0)
    assert score.reliability.error == 0.0
    assert [v.vertebra for v in score.vertebrae] == [19, 20]
    first = score.vertebrae[0]
    assert (first.kind, first.grade, first.height_loss, first.region) == ("wedge", 3, 0.4, "thoracic")
    assert score.slice_mm == 2.5


def test_the_voxel_and_border_scores_are_those_of_evaluate(case):
    answer = np.roll(case.fracture_mask, (2, 3, 0), (0, 1, 2)).astype(np.float32)
    coarse = replace(case, uncertain=(), spacing_mm=1.5)
    score = compare(coarse, answer, 0.5, 0.0)
    images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (answer, case.fracture_mask)]
    for image in images:
        image.SetSpacing((1.5, 1.5, 1.5))
    expected = evaluate(*images)
    assert score.dice == pytest.approx(expected.dice)
    assert score.iou_two_class == pytest.approx(expected.iou_two_class)
    assert score.hd95_mm == pytest.approx(expected.hd95_mm)
    assert score.nsd == pytest.approx(expected.nsd_at_mm[2.0])


def test_what_is_said_of_an_uncertain_body_counts_nowhere(case):
    answer = (case.fracture_mask | case.uncertain_mask).astype(np.float32)
    score = compare(case, answer, 0.5, 0.0)
    assert (score.dice, score.false_positives, score.false_volume_ml, score.hd95_mm) == (1.0, 0, 0.0, 0.0)
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


def test_a_lesion_is_found_from_a_tenth_of_it_on(case):
    answer = np.zeros(case.hu.shape, np.float32)
    rows = np.nonzero((case.bodies == 19).any(axis=(1, 2)))[0]
    answer[rows[0]] = case.bodies[rows[0]] == 19
    assert compare(case, answer, 0.5, 0.0).found == 0  # one of twelve slices
    answer[rows[1]] = case.bodies[rows[1]] == 19
    assert compare(case, answer, 0.5, 0.0).found == 1


def test_drawn_parts_count_as_lesions_and_in_the_voxel_scores(case_with_drawn):
    answer = (case_with_drawn.bodies == 19).astype(np.float32)
    answer[24:28, 32:36, 18:22] = 1
    score = compare(case_with_drawn, answer, 0.5, 0.0)
    assert [lesion.found for lesion in score.lesions] == [True, True]
    assert score.lesions[1].covered == pytest.approx(64 / (64 + 27))
    assert score.false_positives == 0
    assert score.reference == BODY + 64 + 27 + 1
    assert score.overlap == BODY + 64
    intact = next(v for v in score.vertebrae if v.vertebra == 20)
    assert (intact.fractured, intact.kind) == (False, "intact")  # its body is


def test_a_body_that_is_drawn_in_part_is_fractured_from_a_tenth_on_and_else_not_scored(case):
    drawn = np.zeros(case.bodies.shape, np.uint8)
    drawn[22:23, 12:28, 12:28] = 1  # one of twelve slices of 20
    little = replace(case, fracture_map=drawn)
    assert [v.vertebra for v in compare(little, drawn * 0.9, 0.5, 0.0).vertebrae] == [19]
    drawn[22:24, 12:28, 12:28] = 1
    half = compare(replace(case, fracture_map=drawn), drawn * 0.9, 0.5, 0.0).vertebrae[1]
    assert (half.vertebra, half.fractured, half.kind) == (20, True, "drawn")
    assert half.probability == pytest.approx(0.15)


def test_the_froc_points_are_counted_at_their_own_thresholds(case):
    answer = np.where(case.fracture_mask, 0.32, 0.0).astype(np.float32)
    answer[:5, :5, :5] = 0.62
    points = compare(case, answer, 0.5, 0.0).operating_points
    assert [p.threshold for p in points if p.found == (True,)] == [0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3]
    assert [p.threshold for p in points if p.false_positives == 0] == [
        t for t in [p.threshold for p in points] if t > 0.62
    ]


def test_cases_without_fracture_have_no_dice_but_can_raise_false_alarms():
    bodies = np.zeros((20, 20, 20), np.uint8)
    bodies[5:15, 5:15, 5:15] = 20
    empty = Case("empty", "p", np.zeros(bodies.shape, np.int16), bodies)
    silent, loud = (compare(empty, answer, 0.5, 0.0) for answer in (np.zeros(bodies.shape), np.ones(bodies.shape)))
    assert np.isnan([silent.dice, silent.hd95_mm, silent.nsd]).all()
    assert (loud.dice, loud.nsd, loud.false_positives, loud.lesions) == (0.0, 0.0, 1, ())
