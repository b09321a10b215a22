"""The connected parts of a mask, held against the truth of a case: which are false, and what each adds to the scores.

A *component* is 26-connected. It is a *false positive* when it touches no fractured and no uncertain voxel. Voxels of
unknown state count nowhere.
"""

from dataclasses import dataclass

import numpy as np

from SpineFractureSegLib.engine.postprocess import bounding_box, label_components


@dataclass(frozen=True)
class Components:
    """One entry per component; all arrays are int64 (N,) but ``false``, which is bool."""

    voxels: np.ndarray
    known: np.ndarray  # voxels of which it is known whether they are fractured
    overlap: np.ndarray  # fractured voxels
    false: np.ndarray  # touches nothing that is or may be fractured

    def of_size(self, min_voxels: float) -> "Components":
        """Those of at least so many voxels."""
        kept = self.voxels >= min_voxels * (1 - 1e-6)  # as ``remove_small_components``
        return Components(self.voxels[kept], self.known[kept], self.overlap[kept], self.false[kept])


def describe_components(mask: np.ndarray, truth: np.ndarray, uncertain: np.ndarray) -> Components:
    """The components of a mask.

    Args: all bool (Z, Y, X): the mask, what is fractured, what may be; no voxel is both of the latter.
    """
    box = bounding_box(mask)
    if box is None:
        nothing = np.zeros(0, np.int64)
        return Components(nothing, nothing, nothing, nothing.astype(bool))
    labels, count = label_components(mask[box])
    voxels, overlap, unknown = (
        np.bincount(part, minlength=count + 1)[1:]
        for part in (labels.ravel(), labels[truth[box]], labels[uncertain[box]])
    )
    return Components(voxels, voxels - unknown, overlap, (overlap + unknown) == 0)
