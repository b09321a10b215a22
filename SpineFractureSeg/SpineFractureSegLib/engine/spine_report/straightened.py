"""The spine straightened: a curved planar reformation along the centers of the vertebral bodies.

The *curve* runs through the centers from the top down; rows of the picture follow it, columns go from the front to the
back, both in steps of ``STEP_MM``. The picture therefore shows every body through its middle, also in scoliosis, where
no plane does. Positions are RAS, as in ``Vertebra``; lengths along the curve are true, those across it between two
bodies are not where the spine is strongly bent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from scipy.interpolate import splev, splprep

from SpineFractureSegLib.engine.preprocessing import AIR_HU

STEP_MM = 0.5
FRONT_MM, BACK_MM = 35.0, 45.0  # shown before and behind the centers; further back a lordosis would smear the rows
_BEYOND_MM = 22.0  # shown above the highest and below the lowest center: the body and the disc
_SLAB_MM = (-1.5, -0.5, 0.5, 1.5)  # parallel curves to the left and right that are averaged, against noise
_SMOOTHING_MM = 1.5  # root mean square distance of the curve from the centers
_SAME_MM = 1.0  # centers closer than this count as one
_FRONT_RAS = np.array([0.0, 1.0, 0.0])
_RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class SpineCurve:
    """Points (N, 3) from the top down, ``STEP_MM`` apart, and at each the unit vectors to front and right."""

    points: np.ndarray
    front: np.ndarray
    right: np.ndarray

    @property
    def center_column(self) -> float:
        """The column of the curve itself."""
        return FRONT_MM / STEP_MM

    def place(self, ras_mm: Sequence[float]) -> tuple[float, float]:
        """(row, column) of a position in the straightened picture."""
        row = int(np.argmin(np.linalg.norm(self.points - np.asarray(ras_mm), axis=1)))
        forwards_mm = float((np.asarray(ras_mm) - self.points[row]) @ self.front[row])
        return float(row), self.center_column - forwards_mm / STEP_MM

    def position(self, row: float, column: float) -> tuple[float, float, float]:
        """RAS of a place in the straightened picture, the nearest end where it lies above or below."""
        index = int(np.clip(round(row), 0, len(self.points) - 1))
        return tuple(self.points[index] + (FRONT_MM - column * STEP_MM) * self.front[index])

    def straighten(self, image: sitk.Image, outside: float) -> np.ndarray:
        """Linear interpolation of an image on any grid, averaged over the slab.

        Returns: float32 (N, columns), ``outside`` where the image does not reach.
        """
        columns_mm = np.arange(FRONT_MM, -BACK_MM - STEP_MM / 2, -STEP_MM)
        plane = self.points[:, None] + columns_mm[None, :, None] * self.front[:, None]
        slab = [_sampled(image, plane + aside * self.right[:, None], outside) for aside in _SLAB_MM]
        return np.mean(slab, axis=0, dtype=np.float32)


def spine_curve(centers_ras_mm: Sequence[Sequence[float]]) -> SpineCurve | None:
    """The smooth curve through the centers of the bodies, continued straight on at both ends.

    Args:
        centers_ras_mm: from the top down. One center gives a vertical line.

    Returns: None without a center.
    """
    centers = np.reshape(np.asarray(centers_ras_mm, dtype=float), (-1, 3))
    if not len(centers):
        return None
    steps = np.linalg.norm(np.diff(centers, axis=0), axis=1)
    centers = centers[np.concatenate([[True], steps > _SAME_MM])]
    points = _evenly(_continued(_smoothed(centers)))
    down = np.gradient(points, axis=0)
    down /= np.linalg.norm(down, axis=1, keepdims=True)
    front = _FRONT_RAS - down * (down @ _FRONT_RAS)[:, None]
    front /= np.linalg.norm(front, axis=1, keepdims=True)
    return SpineCurve(points, front, np.cross(down, front))


def _smoothed(centers: np.ndarray) -> np.ndarray:
    """Close points from the first center to the last."""
    if len(centers) == 1:
        return centers + np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(centers, axis=0), axis=1))])
    degree = min(3, len(centers) - 1)
    spline, _ = splprep(centers.T, u=along, k=degree, s=len(centers) * _SMOOTHING_MM**2)
    return np.stack(splev(np.linspace(0.0, along[-1], max(2, round(along[-1]))), spline), axis=1)


def _continued(points: np.ndarray) -> np.ndarray:
    """Straight on at both ends."""
    ends = []
    for end, inner in ((points[0], points[1]), (points[-1], points[-2])):
        direction = end - inner
        ends.append(end + _BEYOND_MM * direction / np.linalg.norm(direction))
    return np.concatenate([ends[:1], points, ends[1:]])


def _evenly(points: np.ndarray) -> np.ndarray:
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    wanted = np.arange(0.0, along[-1], STEP_MM)
    return np.stack([np.interp(wanted, along, axis) for axis in points.T], axis=1)


def _sampled(image: sitk.Image, positions_ras: np.ndarray, outside: float) -> np.ndarray:
    """Linear interpolation at positions (..., 3); a voxel that is no number counts as air."""
    axes = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    indices = (positions_ras * _RAS_TO_LPS - image.GetOrigin()) @ np.linalg.inv(axes).T
    values = ndimage.map_coordinates(
        sitk.GetArrayViewFromImage(image),
        np.moveaxis(indices[..., ::-1], -1, 0),
        output=np.float32,
        order=1,
        cval=outside,
        prefilter=False,
    )
    return np.nan_to_num(values, nan=AIR_HU)
