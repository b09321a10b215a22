"""Scores by hand, and against MONAI and DeepMind's surface-distance."""

import json
import math

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from SpineFractureSegLib.engine import metrics
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.metrics import bootstrap_interval, evaluate, roc_auc


def image(array, spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0)):
    result = sitk.GetImageFromArray(np.asarray(array).astype(np.uint8))
    result.SetSpacing(spacing)
    result.SetOrigin(origin)
    return result


def block(start, stop, shape=(20, 20, 20)):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = True
    return mask


def blobs(seed, shape=(24, 40, 36), share=0.06):
    values = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 3.0)
    return values > np.quantile(values, 1 - share)


def similar_pairs():
    """Two masks that agree in part, as a prediction and its reference do."""
    for seed in range(4):
        reference = blobs(seed)
        prediction = np.roll(reference, (1, -2, 1), axis=(0, 1, 2)) ^ blobs(seed + 50, share=0.01)
        yield prediction, reference


# ---- by hand


def test_two_blocks_that_share_half():
    scores = evaluate(image(block((0, 0, 0), (4, 4, 4))), image(block((2, 0, 0), (6, 4, 4))))
    assert (scores.prediction_voxels, scores.reference_voxels, scores.overlap_voxels) == (64, 64, 32)
    assert scores.total_voxels == 8000
    assert scores.dice == 0.5
    assert scores.iou == pytest.approx(1 / 3)
    assert scores.iou_two_class == pytest.approx((1 / 3 + (8000 - 96) / (8000 - 32)) / 2)
    assert not scores.resampled


def test_a_mask_against_itself_is_perfect():
    mask = image(blobs(0))
    scores = evaluate(mask, mask)
    assert (scores.dice, scores.iou, scores.iou_two_class, scores.sensitivity) == (1, 1, 1, 1)
    assert scores.nsd_at_mm == {2.0: 1.0}
    assert scores.hd95_mm == 0
    assert scores.false_positives == 0


def test_distances_are_in_mm_of_the_axis_they_lie_along():
    # one voxel each, 3 slices of 2.5 mm and 4 columns of 0.5 mm apart
    scores = evaluate(
        image(block((1, 1, 1), (2, 2, 2)), (0.5, 0.7, 2.5)), image(block((4, 1, 5), (5, 2, 6)), (0.5, 0.7, 2.5))
    )
    assert scores.hd95_mm == pytest.approx(math.hypot(3 * 2.5, 4 * 0.5))
    assert scores.nsd_at_mm == {2.0: 0.0}
    assert scores.voxel_volume_mm3 == pytest.approx(0.5 * 0.7 * 2.5)


def test_a_border_within_the_tolerance_counts_for_nsd():
    prediction, reference = block((4, 4, 4), (10, 10, 10)), block((4, 4, 4), (10, 10, 12))
    assert evaluate(image(prediction), image(reference)).nsd_at_mm == {2.0: 1.0}
    assert evaluate(image(prediction, (1.1, 1, 1)), image(reference, (1.1, 1, 1))).nsd_at_mm[2.0] < 1.0


def test_both_empty_is_undefined_but_counted():
    scores = evaluate(image(np.zeros((5, 5, 5))), image(np.zeros((5, 5, 5))))
    assert scores.both_empty
    assert all(math.isnan(s) for s in (scores.dice, scores.iou, scores.iou_two_class, scores.hd95_mm))
    assert math.isnan(scores.nsd_at_mm[2.0])
    assert math.isnan(scores.sensitivity)
    assert scores.false_positives == 0
    assert scores.total_voxels == 125


@pytest.mark.parametrize("predicted_is_empty", [True, False])
def test_one_empty_scores_zero(predicted_is_empty):
    masks = [image(np.zeros((20, 20, 20))), image(block((3, 3, 3), (6, 6, 6)))]
    scores = evaluate(*masks) if predicted_is_empty else evaluate(*masks[::-1])
    assert (scores.dice, scores.iou, scores.nsd_at_mm[2.0]) == (0, 0, 0)
    assert math.isnan(scores.hd95_mm)
    assert not scores.both_empty
    assert scores.false_positives == (0 if predicted_is_empty else 1)
    assert scores.sensitivity == 0 if predicted_is_empty else math.isnan(scores.sensitivity)


def test_a_lesion_is_found_from_ten_percent_on():
    reference = block((0, 0, 0), (1, 1, 10)) | block((10, 0, 0), (11, 1, 20))  # lesions of 10 and 20 voxels
    prediction = block((0, 0, 0), (1, 1, 1)) | block((10, 0, 0), (11, 1, 1))  # 10 % and 5 % of them
    scores = evaluate(image(prediction), image(reference))
    assert (scores.reference_lesions, scores.predicted_lesions) == (2, 2)
    assert scores.sensitivity == 0.5
    assert scores.sensitivity_any_overlap == 1.0
    assert scores.false_positives == 0


def test_a_prediction_that_covers_everything_is_a_false_positive():
    scores = evaluate(image(np.ones((20, 20, 20))), image(block((5, 5, 5), (8, 8, 8))))
    assert scores.sensitivity == 1.0
    assert scores.false_positives == 1


def test_a_probability_counts_from_one_half():
    probability = sitk.GetImageFromArray(np.array([[[0.4, 0.6, 0.9]]], np.float32))
    assert evaluate(probability, image([[[0, 1, 1]]])).dice == 1.0


def test_scores_are_json_with_null_for_what_is_undefined():
    fields = json.loads(json.dumps(evaluate(image(np.zeros((3, 3, 3))), image(np.ones((3, 3, 3)))).to_json()))
    assert fields["hd95_mm"] is None
    assert fields["nsd_at_mm"] == {"2": 0.0}
    for key in ("dice", "iou", "iou_two_class", "sensitivity", "false_positives", "reference_voxels", "both_empty"):
        assert fields[key] is not None


# ---- grids


def test_a_mask_cropped_to_its_extent_scores_as_the_whole_one():
    prediction, reference = block((3, 4, 5), (12, 9, 11)), block((5, 4, 6), (13, 10, 12))
    prediction[16:18, 16:18, 16:18] = True  # outside of the cropped reference
    whole = evaluate(image(prediction), image(reference))
    scores = evaluate(image(prediction), image(reference)[6:12, 4:10, 5:13])
    assert scores.false_positives == 1
    assert scores.resampled
    assert (scores.dice, scores.prediction_voxels) == (whole.dice, whole.prediction_voxels)
    assert scores.hd95_mm == pytest.approx(whole.hd95_mm)


def test_a_flipped_copy_of_the_prediction_scores_the_same():
    prediction, reference = next(similar_pairs())
    whole = evaluate(image(prediction, (0.7, 0.8, 2.0)), image(reference, (0.7, 0.8, 2.0)))
    flipped = sitk.PermuteAxes(image(prediction, (0.7, 0.8, 2.0)), (2, 0, 1))[::-1, :, ::-1]
    scores = evaluate(flipped, image(reference, (0.7, 0.8, 2.0)))
    assert scores.resampled
    assert scores.dice == whole.dice
    assert scores.false_positives == whole.false_positives


def test_a_finer_prediction_is_brought_onto_the_references_grid():
    coarse = block((4, 4, 4), (12, 12, 12))
    fine = np.kron(coarse, np.ones((2, 2, 2)))
    scores = evaluate(image(fine, (0.5,) * 3, (-0.25,) * 3), image(coarse))
    assert scores.dice == 1.0
    assert scores.total_voxels == 8000


def test_masks_of_different_places_and_vectors_are_refused():
    mask = block((3, 3, 3), (6, 6, 6))
    with pytest.raises(UserError, match="different places"):
        evaluate(image(mask), image(mask, origin=(500.0, 0.0, 0.0)))
    with pytest.raises(UserError, match="2 values per voxel"):
        evaluate(sitk.Compose(image(mask), image(mask)), image(mask))


# ---- against other libraries


@pytest.fixture(scope="module")
def monai_metrics():
    return pytest.importorskip("monai.metrics")


def test_overlap_agrees_with_monai_and_simpleitk(monai_metrics):
    import torch

    for prediction, reference in similar_pairs():
        scores = evaluate(image(prediction), image(reference))
        tensors = [torch.from_numpy(m)[None, None].float() for m in (prediction, reference)]
        assert scores.dice == pytest.approx(float(monai_metrics.compute_dice(*tensors)), abs=1e-6)
        assert scores.iou == pytest.approx(float(monai_metrics.compute_iou(*tensors)), abs=1e-6)
        two = [torch.cat([1 - t, t], dim=1) for t in tensors]
        assert scores.iou_two_class == pytest.approx(float(monai_metrics.compute_iou(*two).mean()), abs=1e-6)
        overlap = sitk.LabelOverlapMeasuresImageFilter()
        overlap.Execute(image(reference), image(prediction))
        assert scores.dice == pytest.approx(overlap.GetDiceCoefficient(1))
        assert scores.iou == pytest.approx(overlap.GetJaccardCoefficient(1))


@pytest.mark.filterwarnings("ignore:monai:FutureWarning")  # MONAI uses what it deprecates
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.9, 2.5)])
def test_surface_scores_agree_with_monai(monai_metrics, spacing):
    import torch

    for prediction, reference in similar_pairs():
        scores = evaluate(image(prediction, spacing), image(reference, spacing))
        tensors = [torch.from_numpy(m)[None, None].float() for m in (prediction, reference)]
        hd95 = monai_metrics.compute_hausdorff_distance(*tensors, True, percentile=95, spacing=spacing[::-1])
        nsd = monai_metrics.compute_surface_dice(*tensors, [2.0], True, spacing=spacing[::-1])
        assert scores.hd95_mm == pytest.approx(float(hd95), abs=1e-4)
        assert scores.nsd_at_mm[2.0] == pytest.approx(float(nsd), abs=1e-6)


@pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.9, 2.5)])
def test_surface_scores_lie_near_surface_distance(spacing):
    surface_distance = pytest.importorskip("surface_distance")
    for prediction, reference in similar_pairs():
        scores = evaluate(image(prediction, spacing), image(reference, spacing))
        theirs = surface_distance.compute_surface_distances(reference, prediction, spacing[::-1])
        # they measure between voxel corners and weigh by area: a voxel's diagonal, and a tenth of the surface
        assert scores.hd95_mm == pytest.approx(
            surface_distance.compute_robust_hausdorff(theirs, 95), abs=float(np.linalg.norm(spacing))
        )
        nsd = surface_distance.compute_surface_dice_at_tolerance(theirs, 2.0)
        assert scores.nsd_at_mm[2.0] == pytest.approx(nsd, abs=0.1)


# ---- statistics


@pytest.mark.parametrize("seed", range(5))
def test_auc_equals_counting_all_pairs(seed):
    random = np.random.default_rng(seed)
    scores, labels = random.integers(0, 6, 40), random.random(40) > 0.6  # many ties
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[labels] for n in scores[~labels]]
    assert roc_auc(scores, labels) == pytest.approx(np.mean(pairs))


def test_auc_without_negatives_is_undefined():
    assert math.isnan(roc_auc([0.3, 0.9], [1, 1]))


def test_the_bootstrap_covers_the_standard_error_and_repeats_with_its_seed():
    values = np.random.default_rng(3).normal(0.7, 0.1, 200)
    low, high = bootstrap_interval(values)
    error = 1.96 * values.std() / np.sqrt(200)
    assert (low, high) == pytest.approx((values.mean() - error, values.mean() + error), abs=0.003)
    assert bootstrap_interval(values) == (low, high)
    assert bootstrap_interval(values, seed=1) != (low, high)


def test_the_bootstrap_draws_the_cases_of_a_patient_together():
    values = np.repeat(np.random.default_rng(3).normal(0.7, 0.1, 10), 20)  # 10 patients with 20 equal cases
    alone = bootstrap_interval(values)
    together = bootstrap_interval(values, patients=np.repeat(np.arange(10), 20))
    assert together[1] - together[0] > 3 * (alone[1] - alone[0])


def test_the_bootstrap_leaves_undefined_cases_out_and_takes_other_statistics():
    assert bootstrap_interval(np.array([0.5, np.nan, 0.5])) == (0.5, 0.5)
    assert all(math.isnan(bound) for bound in bootstrap_interval(np.array([np.nan])))
    rows = np.array([[0.9, 1], [0.8, 1], [0.3, 0], [0.2, 0]] * 5)
    assert bootstrap_interval(rows, statistic=lambda r: roc_auc(r[:, 0], r[:, 1])) == (1.0, 1.0)


def test_arrays_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        metrics.dice(np.zeros((2, 2)), np.zeros((2, 3)))
