"""The vertebra benchmark: what counts as found, false and left out, and how grades agree."""

import numpy as np
import pytest
import SimpleITK as sitk

from SpineFractureSegLib.engine.benchmark import vertebrae
from SpineFractureSegLib.engine.benchmark.vertebra_summary import (
    BodyScore,
    SpineScore,
    summarize_spines,
    to_json,
    weighted_kappa,
)
from SpineFractureSegLib.engine.benchmark.vertebrae import compare, score_shape
from SpineFractureSegLib.engine.vertebrae.field_of_view import FieldOfView
from SpineFractureSegLib.engine.vertebrae.vertebra import PLACES, Vertebra

ORIGIN = (-20.0, -30.0, 5.0)
SHAPE = (170, 60, 60)
IDS = (19, 20, 21, 22)


def block(top):
    """A body 24 mm high below ``top``."""
    mask = np.zeros(SHAPE, bool)
    mask[top - 24 : top, 12:44, 10:50] = True
    return mask


def reference(ids=IDS):
    labels = np.zeros(SHAPE, np.uint8)
    for place, i in enumerate(ids):
        labels[block(155 - 34 * place)] = i
    return labels


def found(masks):
    """Instances as an image, and their measures: heights of 24 mm."""
    labels = np.zeros(SHAPE, np.uint8)
    spine = []
    for number, mask in enumerate(masks, start=1):
        labels[mask] = number
        z = np.argwhere(mask)[:, 0].mean() + ORIGIN[2]
        heights = [24.0, 23.0, 24.0]
        spine.append(Vertebra(number, None, (0.0, 0.0, z), 0.0, *heights, 40.0, 32.0, None, 2, None, True, False))
    image = sitk.GetImageFromArray(labels)
    image.SetOrigin(ORIGIN)
    return image, spine


def scored(masks, labels=None, genant=None):
    labels = reference() if labels is None else labels
    view = FieldOfView(np.array(ORIGIN), np.eye(3), np.array(SHAPE[::-1]))
    return compare("case", "group", labels, ORIGIN, view, *found(masks), genant or {})


def test_all_bodies_found_have_heights_and_grades():
    score = scored([block(155 - 34 * k) for k in range(4)], genant={20: 3})
    assert [body.vertebra for body in score.bodies] == list(IDS)
    assert all(body.iou == 1 for body in score.bodies)
    assert score.false_instances == 0
    for body in score.bodies:
        assert body.height_error_mm["anterior"] == pytest.approx(0, abs=0.3)
        assert body.height_error_mm["middle"] == pytest.approx(-1, abs=0.3)
    assert [(body.true_genant, body.genant) for body in score.bodies] == [(None, 2), (3, 2), (None, 2), (None, 2)]
    assert [body.reference_genant for body in score.bodies] == [0, 0, 0, 0]  # blocks have lost nothing


def test_a_body_in_two_parts_leaves_one_of_them_false():
    z = np.arange(SHAPE[0])[:, None, None]
    score = scored([block(155) & (z >= 141), block(155) & (z < 141), block(121), block(87), block(53)])
    assert score.bodies[0].iou == pytest.approx(14 / 24)
    assert score.false_instances == 1


def test_two_bodies_in_one_instance_are_one_missed_at_least():
    score = scored([block(155) | block(121), block(87), block(53)])
    assert [body.iou > 0.5 for body in score.bodies] == [False, False, True, True]
    assert score.false_instances == 1


def test_instances_beyond_the_labelled_ones_are_left_out_and_those_between_are_false():
    labels = reference((19, 20, 0, 22))
    score = scored([block(155 - 34 * k) for k in range(4)], labels)
    assert score.false_instances == 1
    assert scored([block(155 - 34 * k) for k in range(4)], reference((19, 20, 21, 0))).false_instances == 0


def test_bodies_at_the_border_and_the_sacrum_are_not_judged():
    labels = reference((19, 20, 21, 26))
    labels[160:, 12:44, 10:50] = 18  # cut by the upper border
    score = scored([block(155 - 34 * k) for k in range(4)], labels)
    assert [body.vertebra for body in score.bodies] == [19, 20, 21]
    assert score.false_instances == 0


@pytest.mark.parametrize(("power", "expected"), [(1, 1 - 1 / 4), (2, 1 - 1 / 7)])
def test_weighted_kappa_by_hand(power, expected):
    # one pair is off by one; by chance true (2, 1, 1, 0) times found (2, 0, 2, 0) over 4 are off by 4, squared by 7
    assert weighted_kappa([0, 0, 1, 2], [0, 0, 2, 2], power=power) == pytest.approx(expected)
    assert weighted_kappa([0, 1, 2, 3], [0, 1, 2, 3], power=power) == 1
    assert np.isnan(weighted_kappa([0, 0], [0, 0], power=power))


def test_the_summary_counts_each_group_by_itself():
    right = BodyScore(20, 0.9, dict.fromkeys(PLACES, 1.0), 2, 2, 3)
    wrong = BodyScore(10, 0.3, None, 0, None)
    scores = [SpineScore("a", "one", [right, wrong], 1), SpineScore("b", "two", [right], 0)]
    summary = summarize_spines(scores)
    assert summary["one"]["instance_f1"] == pytest.approx(2 * 1 / (1 + 2 + 1))
    assert summary["two"]["instance_f1"] == 1
    assert summary["one"]["height_error_mm"]["all"]["mean_absolute"] == 1
    assert summary["one"]["height_error_mm"]["thoracic"] == {"bodies": 0}
    assert summary["one"]["grades_true_by_found"][2][2] == 1
    assert (summary["one"]["graded"], summary["one"]["graded_on_label_maps"]) == (1, 1)
    mixed = [SpineScore("c", "three", [right, BodyScore(21, 0.9, None, 0, 0, 2)])]
    assert summarize_spines(mixed)["three"]["weighted_kappa_quadratic"] == 1
    on_labels = weighted_kappa([2, 0], [3, 2])
    assert summarize_spines(mixed)["three"]["weighted_kappa_quadratic_on_label_maps"] == pytest.approx(
        on_labels, abs=5e-4
    )
    assert to_json(scores[0])["bodies"][1] == {
        "level": "T3",
        "iou": 0.3,
        "height_error_mm": None,
        "true_genant": 0,
        "genant": None,
        "genant_on_label_map": None,
    }


def test_a_real_shape_is_judged_alone_and_by_its_reading(monkeypatch):
    bodies = [BodyScore(19, 1.0, None, 0, 0), BodyScore(20, 0.9, None, 1, 3), BodyScore(21, 1.0, None, 0, 1)]
    monkeypatch.setattr(vertebrae, "score_simulated", lambda case, model, group, _: SpineScore(case, group, bodies, 2))
    score = score_shape("case", {20: 3, 21: 0}, None)
    assert [(body.vertebra, body.true_genant, body.genant) for body in score.bodies] == [(20, 3, 3), (21, 0, 1)]
    assert (score.group, score.false_instances) == ("real shapes", 0)
