"""The formulas of ``metrics.py`` for arrays, with numpy and scipy alone: benchmark and trainer use them too.

An undefined score is nan, for example the Dice of two empty masks.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from SpineFractureSegLib.engine.postprocess import bounding_box


def dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Foreground Dice of two bool arrays of one shape; nan when both are empty."""
    return dice_from_counts(*voxel_counts(prediction, reference))


def iou(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Foreground intersection over union of two bool arrays of one shape; nan when both are empty."""
    return iou_from_counts(*voxel_counts(prediction, reference))


def iou_two_class(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Mean of the foreground's and the background's IoU; nan when both masks are empty or both are full."""
    return iou_two_class_from_counts(*voxel_counts(prediction, reference), np.asarray(reference).size)


def dice_from_counts(overlap: int, prediction: int, reference: int) -> float:
    """Dice from numbers of voxels; summed over cases it is the pooled Dice.

    >>> dice_from_counts(2, 3, 5)
    0.5
    """
    return ratio(2 * overlap, prediction + reference)


def iou_from_counts(overlap: int, prediction: int, reference: int) -> float:
    """IoU from numbers of voxels.

    >>> iou_from_counts(2, 3, 5)
    0.3333333333333333
    """
    return ratio(overlap, prediction + reference - overlap)


def border_distances_mm(
    prediction: np.ndarray, reference: np.ndarray, voxel_axes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each border voxel of the prediction to the reference's border, and the other way round.

    Args:
        prediction, reference: bool (Z, Y, X), none empty.
        voxel_axes: (3, 3), columns are the steps in mm along x, y, z indices.
    """
    first, second = (_border_indices(mask)[:, ::-1] @ voxel_axes.T for mask in (prediction, reference))
    return cKDTree(second).query(first)[0], cKDTree(first).query(second)[0]


def roc_auc(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """Area under the ROC curve: the chance that a positive has a higher score than a negative, ties count half.

    Returns: nan without positives or without negatives.

    >>> roc_auc([0.9, 0.4, 0.4, 0.1], [1, 1, 0, 0])
    0.875
    """
    labels = np.asarray(labels, bool)
    positives, negatives = int(labels.sum()), int((~labels).sum())
    from scipy.stats import rankdata  # slow to import, and a segmentation does not need it

    ranks = rankdata(scores)
    return ratio(float(ranks[labels].sum()) - positives * (positives + 1) / 2, positives * negatives)


def bootstrap_interval(
    values: np.ndarray,
    *,
    patients: Sequence | None = None,
    statistic: Callable[[np.ndarray], float] = np.mean,
    level: float = 0.95,
    repeats: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of a statistic when patients are drawn again with replacement.

    Args:
        values: (N,) one per case, or (N, K), for example score and label of a vertebra; rows with nan are left out.
        patients: (N,) whose the cases are; the cases of a patient are drawn together. None: each case is its own.
        statistic: of rows of ``values``; draws where it is nan are left out.

    Returns: lower and upper bound, nan without values.
    """
    values = np.asarray(values, float)
    patients = np.arange(len(values)) if patients is None else np.asarray(patients)
    defined = ~np.isnan(values.reshape(len(values), -1)).any(axis=1)
    values, patients = values[defined], patients[defined]
    groups = [np.flatnonzero(patients == patient) for patient in np.unique(patients)]
    random = np.random.default_rng(seed)
    drawn = [
        statistic(values[np.concatenate([groups[k] for k in random.integers(len(groups), size=len(groups))])])
        for _ in range(repeats if groups else 0)
    ]
    drawn = np.array([value for value in drawn if not np.isnan(value)])
    if not drawn.size:
        return float("nan"), float("nan")
    tail = 50 * (1 - level)
    return tuple(float(bound) for bound in np.percentile(drawn, [tail, 100 - tail]))


def voxel_counts(prediction: np.ndarray, reference: np.ndarray) -> tuple[int, int, int]:
    """Voxels of the overlap, the prediction and the reference."""
    prediction, reference = np.asarray(prediction, bool), np.asarray(reference, bool)
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} and reference {reference.shape} must have one shape")
    return (
        int(np.count_nonzero(prediction & reference)),
        int(np.count_nonzero(prediction)),
        int(np.count_nonzero(reference)),
    )


def iou_two_class_from_counts(overlap: int, prediction: int, reference: int, total: int) -> float:
    """Mean of the foreground's and the background's IoU, from numbers of voxels; ``total`` is that of the field."""
    union = prediction + reference - overlap
    outside_both, outside_one = total - union, total - overlap
    return (ratio(overlap, union) + ratio(outside_both, outside_one)) / 2


def ratio(part: float, whole: float) -> float:
    """``part / whole``, nan where the whole is nothing."""
    return part / whole if whole else float("nan")


def _border_indices(mask: np.ndarray) -> np.ndarray:
    """(N, 3) indices of the voxels with a face neighbor outside the mask."""
    box = bounding_box(mask)
    inside = mask[box]
    return np.argwhere(inside & ~ndimage.binary_erosion(inside)) + [axis.start for axis in box]
