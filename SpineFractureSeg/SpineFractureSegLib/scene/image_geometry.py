"""Arrays with a place in the world as SimpleITK images, the engine's language, and back.

An *ijk to world* matrix is (4, 4) float64 and takes a voxel's index (column, row, slice, 1) to its center in world, RAS
in mm. SimpleITK says the same as origin, spacing and direction, in LPS; its directions need not be at right angles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import SimpleITK as sitk

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])


def imageFromArray(array: np.ndarray, ijkToWorld: np.ndarray) -> sitk.Image:
    """A copy of an array (slice, row, column) as an image that lies where the matrix says.

    Raises: ValueError, when the matrix has no volume.
    """
    import SimpleITK as sitk

    axes = _RAS_TO_LPS @ ijkToWorld[:3, :3]  # steps along column, row and slice
    spacing = np.linalg.norm(axes, axis=0)
    if not hasVolume(ijkToWorld):
        raise ValueError(f"the ijk to world matrix {ijkToWorld.tolist()} must have a determinant other than 0")
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((axes / spacing).ravel().tolist())
    image.SetOrigin((_RAS_TO_LPS @ ijkToWorld[:3, 3]).tolist())
    return image


def worldMatrix(image: sitk.Image) -> np.ndarray:
    """The ijk to world matrix of an image."""
    matrix = np.eye(4)
    matrix[:3, :3] = _RAS_TO_LPS @ (np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing())
    matrix[:3, 3] = _RAS_TO_LPS @ image.GetOrigin()
    return matrix


def hasVolume(ijkToWorld: np.ndarray) -> bool:
    """Whether voxels of this geometry have a volume: no axis of length 0, no two axes in line, nothing infinite."""
    if not np.isfinite(ijkToWorld).all():
        return False
    spacing = np.linalg.norm(ijkToWorld[:3, :3], axis=0)
    return bool(spacing.min() > 0 and abs(np.linalg.det(ijkToWorld[:3, :3] / spacing)) > 1e-6)
