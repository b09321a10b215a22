"""Coordinates inside one body of the finished image: what fracture lines and mimics are drawn in."""

from dataclasses import dataclass

import numpy as np

from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame


@dataclass(frozen=True)
class BodyCoordinates:
    """The voxels of one body, (N,), in the frame of the intact body that they come from."""

    frame: VertebraFrame
    voxels: np.ndarray  # flat indices into the case's volume
    share: np.ndarray  # 0 at the lower endplate, 1 at the upper one
    height: np.ndarray  # mm
    depth: np.ndarray  # mm
    width: np.ndarray  # mm
    compression: np.ndarray  # 1: as it was; 2: two millimetres became one

    def wavy(self, rng: np.random.Generator, amplitude: float) -> np.ndarray:
        """A smooth random function of depth and width, for irregular lines."""
        waves = rng.normal(0, 0.25, (4, 3)) * (1, 1, 6)
        return amplitude * sum(np.cos(self.depth * a + self.width * b + c) for a, b, c in waves)


def body_coordinates(
    frame: VertebraFrame, voxels: np.ndarray, origin: np.ndarray, compression: np.ndarray
) -> BodyCoordinates:
    """Coordinates of the voxels with these flat indices.

    Args: origin: (3, Z*Y*X), where each voxel of the case comes from; compression: (Z*Y*X,).
    """
    height, depth, width = frame.coordinates(origin[:, voxels])
    lower, upper = frame.endplates(depth, width)
    share = (height - lower) / (upper - lower)
    return BodyCoordinates(frame, voxels, share, height, depth, width, compression[voxels])
