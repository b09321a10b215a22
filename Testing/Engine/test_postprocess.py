import numpy as np
import pytest

from SpineFractureSegLib.engine.postprocess import (
    bounding_box,
    label_components,
    remove_small_components,
    threshold_mask,
)


def test_a_probability_equal_to_the_threshold_is_fracture():
    assert threshold_mask(np.array([0.49, 0.5, 0.51], np.float32), 0.5).tolist() == [False, True, True]


def test_voxels_that_touch_by_a_corner_are_one_lesion():
    mask = np.zeros((6, 6, 6), bool)
    mask[1, 1, 1] = mask[2, 2, 2] = True
    mask[5, 5, 5] = True
    labels, count = label_components(mask)
    assert count == 2
    assert labels[1, 1, 1] == labels[2, 2, 2] != labels[5, 5, 5]
    assert (labels > 0).sum() == 3


def test_an_empty_mask_has_no_box_no_lesion_and_stays_empty():
    mask = np.zeros((3, 4, 5), bool)
    assert bounding_box(mask) is None
    assert label_components(mask)[1] == 0
    assert not remove_small_components(mask, 1.0, 1.0).any()


def test_components_of_exactly_the_smallest_volume_stay_and_smaller_ones_go():
    mask = np.zeros((10, 10, 10), bool)
    mask[0, 0, :3] = True  # 3 voxels
    mask[5, 5, :2] = True  # 2 voxels, touching nothing
    mask[9, 9, 9] = True
    kept = remove_small_components(mask, 3 * 0.7, 0.7)
    assert kept.sum() == 3
    assert kept[0, 0, :3].all()


@pytest.mark.parametrize("minimum", [0.0, 0.5])
def test_nothing_is_removed_below_one_voxel(minimum):
    mask = np.random.default_rng(0).random((8, 8, 8)) > 0.8
    assert np.array_equal(remove_small_components(mask, minimum, 1.0), mask)


def test_the_input_is_unchanged():
    mask = np.ones((3, 3, 3), bool)
    remove_small_components(mask, 1000.0, 1.0)
    assert mask.all()
