"""Answers made by hand: a fractured body at 0.8, with false alarms of known size and probability."""

from dataclasses import replace

import numpy as np
import pytest

from SpineFractureSegLib.engine.benchmark.case_score import compare
from SpineFractureSegLib.engine.calibration.answers import Answer, Fusion, to_logits
from SpineFractureSegLib.engine.calibration.operating_point import (
    OperatingPoint,
    Reading,
    choose_operating_point,
    operating_points,
)
from SpineFractureSegLib.engine.metrics import dice_from_counts

SAGITTAL = Fusion({"sagittal": 1.0})


@pytest.fixture
def answer(make_case):
    case = make_case(1)
    probability = np.where(case.bodies == 20, 0.82, 0.0)
    return Answer(case, case, {"sagittal": to_logits(probability)})


def with_false_alarm(answer, size, probability):
    logits = answer.logits["sagittal"].copy()
    logits[:size, -size:, -size:] = to_logits(np.array(probability))
    return replace(answer, logits={"sagittal": logits})


def test_every_point_is_what_the_benchmark_measures(make_case):
    rng = np.random.default_rng(0)
    coarse = replace(make_case(3, fractured=False), spacing_mm=1.5, truth={"as_scanned": True})
    answers = []
    for case in (make_case(1), replace(make_case(2), uncertain=(21,)), coarse):
        blocks = np.kron(rng.random((15, 9, 8)), np.ones((4, 4, 4)))
        answers.append(Answer(case, case, {"sagittal": to_logits(blocks)}))
    points = list(operating_points(answers, SAGITTAL))
    for point in points[::19]:
        reading = point.reading
        scores = [
            compare(a.case, a.probability(SAGITTAL), reading.threshold, reading.min_volume_mm3, ()) for a in answers
        ]
        volumes = np.array([(s.overlap, s.predicted, s.reference) for s in scores]) * [[s.voxel_mm3] for s in scores]
        assert point.dice_pooled == pytest.approx(dice_from_counts(*volumes.sum(0)))
        assert point.false_positives == pytest.approx(np.mean([s.false_positives for s in scores]))
        assert point.false_in_real == scores[-1].false_positives


def test_a_false_alarm_less_sure_than_the_fracture_is_left_below_the_threshold(answer):
    chosen = choose_operating_point([with_false_alarm(answer, 15, 0.6)], [SAGITTAL], 0.25)
    assert (chosen.dice_pooled, chosen.false_positives) == (1.0, 0.0)
    assert 0.6 < chosen.reading.threshold <= 0.8


def test_a_small_false_alarm_that_is_surer_than_the_fracture_is_dropped_by_its_size(answer):
    chosen = choose_operating_point([with_false_alarm(answer, 6, 0.9)], [SAGITTAL], 0.25)
    assert (chosen.dice_pooled, chosen.false_positives) == (1.0, 0.0)
    assert chosen.reading.min_volume_mm3 == 250.0  # 216 mm3, and the smallest size that drops it


def test_the_allowed_number_of_false_alarms_outweighs_dice(answer):
    alarming = with_false_alarm(answer, 15, 0.9)  # 3,375 mm3: no size drops it, and no threshold without the fracture
    assert choose_operating_point([alarming], [SAGITTAL], 1.0).dice_pooled > 0.8
    strict = choose_operating_point([alarming], [SAGITTAL], 0.25)
    assert strict.false_positives == 0.0
    assert strict.reading.threshold >= 0.9


def test_the_fewest_false_alarms_are_taken_where_the_limit_cannot_be_kept(answer):
    alarming = with_false_alarm(answer, 15, 1.0)
    chosen = choose_operating_point([alarming], [SAGITTAL], 0.0)
    assert chosen.false_positives == 1.0
    assert chosen.dice_pooled > 0.8


def test_a_plane_that_only_disturbs_loses_its_weight(answer):
    wrong = to_logits(np.where(answer.case.bodies == 21, 0.9, 0.0))
    both = replace(answer, logits={**answer.logits, "axial": wrong})
    fusions = [Fusion({"sagittal": s, "axial": 1 - s}) for s in (0.5, 0.0, 1.0)]
    chosen = choose_operating_point([both], fusions, 0.25)
    assert chosen.dice_pooled == 1.0
    assert chosen.reading.fusion == fusions[2]


def test_the_usual_weights_stay_where_others_are_no_better(answer):
    both = replace(answer, logits={**answer.logits, "axial": answer.logits["sagittal"]})
    fusions = [Fusion({"sagittal": s, "axial": 1 - s}) for s in (0.5, 0.0, 1.0)]
    assert choose_operating_point([both], fusions, 0.25).reading.fusion == fusions[0]


def test_a_gain_that_could_be_chance_does_not_change_the_weights(answer):
    """The axial plane lacks 1 % of the fracture, the sagittal one 1.5 % or 10 %."""
    fusions = [Fusion({"sagittal": 1.0, "axial": 0.0}), Fusion({"sagittal": 0.0, "axial": 1.0})]
    inside = np.flatnonzero(answer.case.bodies == 20)

    def without(share):
        logits = answer.logits["sagittal"].copy()
        logits.flat[inside[: round(share * len(inside))]] = to_logits(np.array(0.0))
        return logits

    for share, kept in ((0.015, 0), (0.1, 1)):
        both = replace(answer, logits={"sagittal": without(share), "axial": without(0.01)})
        assert choose_operating_point([both], fusions, 0.25).reading.fusion == fusions[kept]


def test_of_nearly_equal_points_the_most_sensitive_is_taken(monkeypatch):
    def point(threshold, smallest, dice, false_positives, false_in_real=1):
        return OperatingPoint(Reading(SAGITTAL, threshold, smallest), dice, false_positives, false_in_real)

    points = [
        point(0.2, 0.0, 0.60, 0.1),  # too far below the best
        point(0.3, 0.0, 0.69, 0.5),  # too many false positives
        point(0.25, 0.0, 0.69, 0.1, false_in_real=2),  # more of them in real CTs than the best
        point(0.3, 1000.0, 0.69, 0.2),
        point(0.3, 500.0, 0.68, 0.1),
        point(0.3, 2000.0, 0.69, 0.1),
        point(0.5, 2000.0, 0.70, 0.0),
    ]
    monkeypatch.setattr("SpineFractureSegLib.engine.calibration.operating_point.operating_points", lambda *_: points)
    assert choose_operating_point([], [SAGITTAL], 0.25) == points[4]
    points[-1] = replace(points[-1], false_in_real=2)  # the best Dice has them as well
    assert choose_operating_point([], [SAGITTAL], 0.25) == points[2]
