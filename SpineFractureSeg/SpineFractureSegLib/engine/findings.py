"""Findings: each lesion of the mask with where it lies, how large it is, and how sure the network was.

Positions are RAS, as 3D Slicer shows them: x to the right, y to the front, z up. SimpleITK's own positions are LPS.
"""

from dataclasses import asdict, dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from SpineFractureSegLib.engine.ct_check import voxel_volume_mm3
from SpineFractureSegLib.engine.postprocess import label_components

_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Finding:
    """One lesion."""

    id: int  # 1 is the largest
    centroid_ras_mm: tuple[float, float, float]
    volume_mm3: float
    extent_mm: tuple[float, float, float]  # from outer face to outer face: left-right, front-back, up-down
    probability_mean: float  # over the lesion's voxels, 0 to 1
    probability_max: float

    def to_json(self) -> dict:
        """The fields under their own names."""
        return asdict(self)


def find_lesions(mask: sitk.Image, probability: sitk.Image) -> list[Finding]:
    """Measures every 26-connected component of a mask.

    Args:
        mask: fracture where not 0, any grid.
        probability: of fracture, 0 to 1, on the mask's grid.

    Returns: the findings, largest first.

    Raises: ValueError, when the two have different sizes.
    """
    if mask.GetSize() != probability.GetSize():
        raise ValueError(f"mask {mask.GetSize()} and probability {probability.GetSize()} must have one size")
    labels, _ = label_components(sitk.GetArrayViewFromImage(mask) > 0)
    probabilities = sitk.GetArrayViewFromImage(probability)
    lesions = [
        _measure(np.argwhere(labels[box] == label) + [axis.start for axis in box], probabilities, mask)
        for label, box in enumerate(ndimage.find_objects(labels), start=1)
    ]
    lesions.sort(key=lambda lesion: (-lesion["volume_mm3"], lesion["centroid_ras_mm"]))
    return [Finding(id=number, **lesion) for number, lesion in enumerate(lesions, start=1)]


def _measure(voxels: np.ndarray, probabilities: np.ndarray, image: sitk.Image) -> dict:
    """All fields but the id, of voxels (N, 3) as (slice, row, column)."""
    voxel_axes = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()  # a voxel's edges as columns, LPS
    positions = voxels[:, ::-1] @ voxel_axes.T + image.GetOrigin()
    extent = np.ptp(positions, axis=0) + np.abs(voxel_axes).sum(axis=1)
    inside = probabilities[tuple(voxels.T)].astype(np.float64)
    return {
        "centroid_ras_mm": _rounded(positions.mean(axis=0) * _LPS_TO_RAS),
        "volume_mm3": round(len(voxels) * voxel_volume_mm3(image), 3),
        "extent_mm": _rounded(extent),
        "probability_mean": round(float(inside.mean()), 6),
        "probability_max": round(float(inside.max()), 6),
    }


def _rounded(vector: np.ndarray) -> tuple[float, float, float]:
    return tuple(round(float(value), 3) for value in vector)
