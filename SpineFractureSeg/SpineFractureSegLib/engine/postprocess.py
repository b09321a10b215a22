"""From probability to mask to lesions. A *lesion* is a component in which voxels touch by face, edge or corner."""

import numpy as np
from scipy import ndimage

_WITHIN_26 = np.ones((3, 3, 3), bool)


def threshold_mask(probability: np.ndarray, threshold: float) -> np.ndarray:
    """bool array: where the probability, from 0 to 1, is at least the threshold.

    >>> threshold_mask(np.array([0.2, 0.5, 0.9]), 0.5).tolist()
    [False, True, True]
    """
    return np.asarray(probability) >= threshold


def bounding_box(mask: np.ndarray) -> tuple[slice, ...] | None:
    """The smallest box that holds all voxels that are set, or None when none is.

    >>> bounding_box(np.array([[0, 0, 0], [0, 1, 1]]))
    (slice(1, 2, None), slice(1, 3, None))
    """
    box = []
    for axis in range(mask.ndim):
        used = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        if not used.size:
            return None
        box.append(slice(int(used[0]), int(used[-1]) + 1))
    return tuple(box)


def label_components(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """int32 labels 1, 2, ... of the 26-connected components of a mask (Z, Y, X), and how many there are."""
    labels = np.zeros(mask.shape, np.int32)
    box = bounding_box(mask)
    if box is None:
        return labels, 0
    count = ndimage.label(mask[box], structure=_WITHIN_26, output=labels[box])
    return labels, int(count)


def remove_small_components(mask: np.ndarray, min_volume_mm3: float, voxel_volume_mm3: float) -> np.ndarray:
    """Keeps the 26-connected components of at least this volume.

    Args:
        mask: bool (Z, Y, X).
        min_volume_mm3: 0 keeps all.
        voxel_volume_mm3: of one voxel of the mask.
    """
    box = bounding_box(mask)
    result = np.zeros(mask.shape, bool)
    if box is not None:
        labels, _ = label_components(mask[box])
        # a millionth less, because a volume that is a whole number of voxels can be off in its last digits
        keep = np.bincount(labels.ravel()) * voxel_volume_mm3 >= min_volume_mm3 * (1 - 1e-6)
        keep[0] = False
        result[box] = keep[labels]
    return result
