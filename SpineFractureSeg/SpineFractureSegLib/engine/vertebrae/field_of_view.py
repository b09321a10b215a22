"""Where a CT has data: what reaches its outer faces may go on beyond them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import SimpleITK as sitk


@dataclass(frozen=True)
class FieldOfView:
    """A box of voxels, of any orientation."""

    origin_mm: np.ndarray  # (3,) LPS position (x, y, z) of the center of the first voxel
    voxel_axes: np.ndarray  # (3, 3), columns are the steps in mm along the indices
    size: np.ndarray  # (3,) voxels

    @classmethod
    def of_image(cls, image: "sitk.Image") -> "FieldOfView":
        """That of an image."""
        axes = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
        return cls(np.array(image.GetOrigin()), axes, np.array(image.GetSize()))

    @classmethod
    def of_array(cls, shape: tuple[int, int, int], spacing_mm: float) -> "FieldOfView":
        """That of an array (Z, Y, X) on the working grid whose first voxel is at 0, 0, 0."""
        return cls(np.zeros(3), np.eye(3) * spacing_mm, np.array(shape[::-1]))

    def reached_by(self, positions_mm: np.ndarray, within_mm: float) -> np.ndarray:
        """bool (N,): which positions (N, 3), LPS, lie in the outermost layer of voxels or so near to an outer face."""
        index = (positions_mm - self.origin_mm) @ np.linalg.inv(self.voxel_axes).T
        layer = np.maximum(within_mm / np.linalg.norm(self.voxel_axes, axis=0), 1.0)
        return ((index < layer - 0.5) | (index > self.size - 0.5 - layer)).any(axis=1)
