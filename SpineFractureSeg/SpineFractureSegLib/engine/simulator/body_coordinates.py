"""Coordinates inside one body of the finished image: what fracture lines and mimics are drawn in."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame

_CELL_MM = 2.0  # the endplates are read off the body in cells of this size


@dataclass(frozen=True)
class BodyCoordinates:
    """Voxels in and round one body, (N,), in the frame of the intact body that they come from."""

    frame: VertebraFrame
    voxels: np.ndarray  # flat indices into the case's volume
    share: np.ndarray  # 0 at the lower endplate, 1 at the upper one, along the body's own concave endplates
    height: np.ndarray  # mm
    depth: np.ndarray  # mm
    width: np.ndarray  # mm
    compression: np.ndarray  # 1: as it was; 2: two millimetres became one

    def wavy(self, rng: np.random.Generator, amplitude: float) -> np.ndarray:
        """A smooth random function of depth and width, for irregular lines."""
        waves = rng.normal(0, 0.25, (4, 3)) * (1, 1, 6)
        return amplitude * sum(np.cos(self.depth * a + self.width * b + c) for a, b, c in waves)


def body_coordinates(
    frame: VertebraFrame, voxels: np.ndarray, origin: np.ndarray, compression: np.ndarray, own_endplates: bool = True
) -> BodyCoordinates:
    """Coordinates of the voxels with these flat indices.

    Args:
        origin: (3, Z*Y*X), where each voxel of the case comes from; compression: (Z*Y*X,).
        own_endplates: the voxels are the body, and its surface gives the endplates; False: the fitted planes do.
    """
    height, depth, width = frame.coordinates(origin[:, voxels])
    lower, upper = frame.endplates(depth, width)
    if own_endplates and len(voxels):
        own_lower, own_upper = _surfaces(height, depth, width)
        lower, upper = np.clip(own_lower, lower - 5, lower + 5), np.clip(own_upper, upper - 5, upper + 5)
    share = (height - lower) / np.maximum(upper - lower, 4)
    return BodyCoordinates(frame, voxels, share, height, depth, width, compression[voxels])


def _surfaces(height: np.ndarray, depth: np.ndarray, width: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest point of the body under and over each voxel, smoothed over some millimetres."""
    row = np.round((depth - depth.min()) / _CELL_MM).astype(np.intp)
    column = np.round((width - width.min()) / _CELL_MM).astype(np.intp)
    cells = np.zeros((row.max() + 1, column.max() + 1), np.float32)
    filled = cells.copy()
    filled[row, column] = 1
    weight = np.maximum(ndimage.gaussian_filter(filled, 1), 1e-3)
    surfaces = []
    for sign in (-1, 1):
        extreme = np.full(cells.shape, -np.inf, np.float32)
        np.maximum.at(extreme, (row, column), sign * height)
        smooth = ndimage.gaussian_filter(np.where(filled > 0, extreme, 0), 1) / weight
        surfaces.append(sign * smooth[row, column])
    return surfaces[0], surfaces[1]
