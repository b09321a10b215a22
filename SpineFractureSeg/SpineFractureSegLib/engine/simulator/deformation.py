"""All that moves in one spine: which maps each vertebra gets, and points sent backwards through all of them."""

from dataclasses import dataclass, field

import numpy as np

from SpineFractureSegLib.engine.simulator.opening import Cleft, Distraction


@dataclass(frozen=True)
class Deformation:
    """What happens to one vertebra. The first map is the one nearest to the finished image."""

    maps: list  # Squeeze, Cleft, Distraction, FrontStep, CanalFragment, Widening: anything with ``backward``
    height_loss: dict[str, float]  # anterior, middle, posterior: re-measured on the warped label map
    kind: str = "intact"  # a fracture's type, or "intact"
    age: str = "none"  # "acute" or "healed" of a fracture
    height_ratio: dict[str, float] = field(default_factory=dict)  # front and middle over back, lowest over highest

    @property
    def fractured(self) -> bool:
        return self.kind != "intact"


@dataclass(frozen=True)
class Gap:
    """An opened fracture line in the finished image."""

    voxels: np.ndarray  # (N,) flat indices
    share: np.ndarray  # (N,) of the voxel that is gap
    filling_hu: float


@dataclass(frozen=True)
class Origin:
    """Where each voxel of the finished image comes from."""

    points: np.ndarray  # float32 (3, N), z, y, x of the spine's grid
    compression: np.ndarray  # float32 (N,): 1 as it was, 2 where two millimetres became one
    gaps: dict[int, list[Gap]]  # by vertebra


def deform(points: np.ndarray, deformations: dict[int, Deformation]) -> Origin:
    """Runs the points backwards through all deformations, the lowest vertebra first: it carries all above it.

    Args: points: float32 (3, N), z, y, x.
    """
    compression = np.ones(points.shape[1], np.float32)
    gaps = {}
    for vertebra in sorted(deformations, reverse=True):
        for step in deformations[vertebra].maps:
            if isinstance(step, Cleft | Distraction):
                gaps.setdefault(vertebra, []).append(Gap(*step.opened(points), step.filling_hu))
            points, local = step.backward(points)
            compression *= local
    return Origin(points, compression, gaps)
