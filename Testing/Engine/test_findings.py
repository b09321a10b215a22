import json

import numpy as np
import pytest
import SimpleITK as sitk

from SpineFractureSegLib.engine.findings import find_lesions


def images(mask, probability, spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)):
    result = []
    for array in (mask.astype(np.uint8), probability.astype(np.float32)):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(spacing)
        image.SetOrigin(origin)
        image.SetDirection(np.ravel(direction).astype(float))
        result.append(image)
    return result


def two_blocks():
    """A block of 2x3x4 voxels and one of 1, (Z, Y, X) arrays."""
    mask = np.zeros((10, 12, 14), bool)
    mask[2:4, 3:6, 5:9] = True
    mask[8, 10, 12] = True
    probability = np.where(mask, 0.6, 0.1)
    probability[2, 3, 5] = 0.9
    return mask, probability


def test_position_volume_and_extent_by_hand():
    largest, smallest = find_lesions(*images(*two_blocks(), spacing=(0.5, 2.0, 3.0), origin=(10.0, 20.0, -30.0)))
    assert (largest.id, smallest.id) == (1, 2)
    assert largest.volume_mm3 == 24 * 3.0
    assert smallest.volume_mm3 == 3.0
    # LPS center: x 10 + 6.5 * 0.5, y 20 + 4 * 2, z -30 + 2.5 * 3; right and front are negative left and back
    assert largest.centroid_ras_mm == pytest.approx((-13.25, -28.0, -22.5))
    assert largest.extent_mm == pytest.approx((4 * 0.5, 3 * 2.0, 2 * 3.0))
    assert smallest.extent_mm == pytest.approx((0.5, 2.0, 3.0))


def test_probabilities_are_those_of_the_lesions_own_voxels():
    largest, smallest = find_lesions(*images(*two_blocks()))
    assert largest.probability_mean == pytest.approx((23 * 0.6 + 0.9) / 24, abs=1e-5)
    assert largest.probability_max == pytest.approx(0.9, abs=1e-5)
    assert smallest.probability_mean == pytest.approx(0.6, abs=1e-5)


def test_a_flipped_and_permuted_copy_has_the_same_findings():
    mask, probability = images(*two_blocks(), spacing=(0.5, 2.0, 3.0), origin=(10.0, 20.0, -30.0))
    copies = [sitk.PermuteAxes(image, (2, 0, 1))[::-1, :, ::-1] for image in (mask, probability)]
    for one, other in zip(find_lesions(mask, probability), find_lesions(*copies), strict=True):
        assert one.centroid_ras_mm == pytest.approx(other.centroid_ras_mm)
        assert one.extent_mm == pytest.approx(other.extent_mm)
        assert (one.volume_mm3, one.probability_mean) == (other.volume_mm3, other.probability_mean)


def test_the_extent_of_an_oblique_voxel_is_that_of_its_box_in_the_world():
    mask = np.zeros((3, 3, 3), bool)
    mask[1, 1, 1] = True
    half = np.sqrt(0.5)
    (finding,) = find_lesions(*images(mask, mask, direction=[[half, -half, 0], [half, half, 0], [0, 0, 1]]))
    assert finding.extent_mm == pytest.approx((2 * half, 2 * half, 1.0), abs=1e-3)


def test_an_empty_mask_has_no_findings():
    assert find_lesions(*images(np.zeros((3, 3, 3)), np.zeros((3, 3, 3)))) == []


def test_findings_are_plain_json():
    (first, _) = find_lesions(*images(*two_blocks()))
    fields = json.loads(json.dumps(first.to_json()))
    assert set(fields) == {
        "id",
        "centroid_ras_mm",
        "volume_mm3",
        "extent_mm",
        "probability_mean",
        "probability_max",
    }


def test_images_of_different_sizes_are_refused():
    mask, _ = images(np.zeros((3, 3, 3)), np.zeros((3, 3, 3)))
    _, probability = images(np.zeros((3, 3, 4)), np.zeros((3, 3, 4)))
    with pytest.raises(ValueError, match="one size"):
        find_lesions(mask, probability)
