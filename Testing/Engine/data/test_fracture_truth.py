import numpy as np
import pytest

from SpineFractureSegLib.engine.case import MAP_FRACTURE, MAP_UNKNOWN
from SpineFractureSegLib.engine.data.fracture_truth import (
    LabelPolicy,
    truth_of_grades,
    truth_of_levels,
    truth_of_mask,
    unlabelled_region,
)


@pytest.fixture
def spine():
    """(vertebrae, bodies) as columns along z: ids 23 to 20 upwards, 20 mm each, 5 mm apart, 10 mm free at both ends."""
    vertebrae = np.zeros((115, 12, 4), np.uint8)
    for number, vertebra in enumerate((23, 22, 21, 20)):
        vertebrae[10 + 25 * number : 30 + 25 * number] = vertebra
    bodies = vertebrae.copy()
    bodies[:, 6:] = 0  # the arch is behind
    return vertebrae, bodies


def test_a_body_is_fractured_from_the_grade_of_the_policy_on(spine):
    grades = {20: 0, 21: 1, 22: 2, 23: 3}
    truth = truth_of_grades(*spine, grades, set())
    assert truth.fractured == (22, 23)
    assert truth.uncertain == (21,)  # mild: between intact and fractured
    mild = truth_of_grades(*spine, grades, set(), LabelPolicy(fractured_from=1))
    assert (mild.fractured, mild.uncertain) == ((21, 22, 23), ())
    severe = truth_of_grades(*spine, grades, set(), LabelPolicy(fractured_from=3))
    assert (severe.fractured, severe.uncertain) == ((23,), (21, 22))


def test_ungraded_vertebrae_are_unknown_with_their_arch_and_others_are_not(spine):
    vertebrae, _ = spine
    truth = truth_of_grades(*spine, {20: 3, 22: 0, 23: 0}, set())
    assert truth.uncertain == (21,)
    assert (truth.fracture_map[vertebrae == 21] == MAP_UNKNOWN).all()
    assert not truth.fracture_map[np.isin(vertebrae, (20, 22, 23))].any()


def test_nobody_graded_any(spine):
    truth = truth_of_grades(*spine, None, set())
    assert truth.fractured == ()
    assert truth.uncertain == (20, 21, 22, 23)


def test_vertebrae_cut_by_the_border_are_not_judged_even_with_a_grade(spine):
    truth = truth_of_grades(*spine, {20: 3, 21: 0, 22: 0, 23: 0}, {20})
    assert truth.fractured == ()
    assert truth.uncertain == (20,)
    assert (truth.fracture_map[spine[0] == 20] == MAP_UNKNOWN).all()


def test_beyond_the_labelled_vertebrae_nothing_is_claimed_and_between_them_it_is(spine):
    truth = truth_of_grades(*spine, dict.fromkeys((20, 21, 22, 23), 0), set())
    assert (truth.fracture_map[:10] == MAP_UNKNOWN).all()
    assert (truth.fracture_map[105:] == MAP_UNKNOWN).all()
    assert not truth.fracture_map[10:105].any()


def test_a_gap_of_a_vertebra_is_unknown_a_disc_is_not(spine):
    bodies = np.where(spine[1] == 21, 0, spine[1])
    region = unlabelled_region(bodies)
    assert region[55:85].all()
    assert not region[30:35].any()


def test_a_graded_vertebra_without_a_body_that_was_found_is_unknown(spine):
    vertebrae, bodies = spine
    bodies = np.where(bodies == 21, 0, bodies)
    truth = truth_of_grades(vertebrae, bodies, dict.fromkeys((20, 21, 22, 23), 2), set())
    assert 21 not in truth.fractured
    assert (truth.fracture_map[vertebrae == 21] == MAP_UNKNOWN).all()


def test_a_fractured_level_is_fracture_inside_its_boxes_and_unknown_outside(spine):
    vertebrae, bodies = spine
    boxes = np.zeros(vertebrae.shape, bool)
    boxes[60:90, 8:] = True  # over the arch of 21, and of 20 above it
    truth = truth_of_levels(vertebrae, bodies, {20: False, 21: True, 22: False, 23: False}, boxes, set())
    fracture = truth.fracture_map == MAP_FRACTURE
    np.testing.assert_array_equal(fracture, (vertebrae == 21) & boxes)
    assert (truth.fracture_map[(vertebrae == 21) & ~boxes] == MAP_UNKNOWN).all()
    assert not truth.fracture_map[vertebrae == 20].any()  # boxes reach over neighbors, which are intact
    assert (truth.fractured, truth.uncertain) == ((), (21,))


@pytest.mark.parametrize(("unplaced", "value"), [("unknown", MAP_UNKNOWN), ("vertebra", MAP_FRACTURE)])
def test_a_fractured_level_without_boxes_is_what_the_policy_says(spine, unplaced, value):
    levels = {20: False, 21: True, 22: False, 23: False}
    truth = truth_of_levels(*spine, levels, None, set(), LabelPolicy(unplaced=unplaced))
    assert (truth.fracture_map[spine[0] == 21] == value).all()
    assert np.count_nonzero(truth.fracture_map == MAP_FRACTURE) == (unplaced == "vertebra") * (spine[0] == 21).sum()


def test_levels_without_vertebra_labels():
    nothing, boxes = np.zeros((6, 5, 4), np.uint8), np.zeros((6, 5, 4), bool)
    boxes[2:4] = True
    negative = truth_of_levels(nothing, nothing, {1: False, 2: False}, None, set())
    assert negative.fracture_map is None
    positive = truth_of_levels(nothing, nothing, {1: False, 2: True}, boxes, set())
    np.testing.assert_array_equal(positive.fracture_map == MAP_UNKNOWN, boxes)
    assert not (positive.fracture_map == MAP_FRACTURE).any()


def test_a_mask_is_taken_as_drawn(spine):
    mask = np.zeros(spine[0].shape, np.uint8)
    mask[40:50] = MAP_FRACTURE
    truth = truth_of_mask(mask, {23})
    np.testing.assert_array_equal(truth.fracture_map, mask)
    assert (truth.fractured, truth.uncertain) == ((), (23,))


@pytest.mark.parametrize("fields", [{"fractured_from": 0}, {"fractured_from": 4}, {"unplaced": "body"}])
def test_policies_that_cannot_be_followed_are_refused(fields):
    with pytest.raises(ValueError, match=str(next(iter(fields.values())))):
        LabelPolicy(**fields)
