"""All that moves in one spine: which maps each vertebra gets, and points sent backwards through all of them."""

from dataclasses import dataclass, field

import numpy as np

from SpineFractureSegLib.engine.simulator.fragment import Fragment, Region
from SpineFractureSegLib.engine.simulator.opening import Cleft, Distraction

_CHUNK = 1 << 17  # points


@dataclass(frozen=True)
class Deformation:
    """What happens to one vertebra. The first map is the one nearest to the finished image."""

    maps: list  # Squeeze, Cleft, Fragment, FrontStep, CanalFragment, Widening...: anything with ``backward``
    height_loss: dict[str, float]  # anterior, middle, posterior: re-measured on the warped label map
    kind: str = "intact"  # a fracture's type, or "intact"
    age: str = "none"  # "acute" or "healed" of a fracture
    height_ratio: dict[str, float] = field(default_factory=dict)  # front and middle over back, lowest over highest
    part: str = "body"  # what is fractured: "body", or a part of the vertebra, which ``label`` then holds
    label: tuple[Region, ...] = ()  # in the intact spine

    @property
    def fractured(self) -> bool:
        return self.kind != "intact"

    @property
    def of_body(self) -> bool:
        """Whether the whole body is the fracture."""
        return self.fractured and self.part == "body"


@dataclass(frozen=True)
class Gap:
    """An opened fracture line in the finished image."""

    voxels: np.ndarray  # (N,) flat indices
    share: np.ndarray  # (N,) of the voxel that is gap
    filling_hu: float
    in_bone: bool = False  # all of it; else what is bone there tells by its label and its Hounsfield units


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
    origin, compression = np.empty_like(points), np.ones(points.shape[1], np.float32)
    opened = {}
    # a few slices at a time: they stay in the processor's cache, and most maps leave most of them alone
    for start in range(0, points.shape[1], _CHUNK):
        chunk = points[:, start : start + _CHUNK]
        for vertebra in sorted(deformations, reverse=True):
            for number, step in enumerate(deformations[vertebra].maps):
                if isinstance(step, Cleft | Distraction | Fragment):
                    voxels, share = step.opened(chunk)
                    opened.setdefault((vertebra, number), []).append((voxels + start, share))
                chunk, local = step.backward(chunk)
                compression[start : start + _CHUNK] *= local
        origin[:, start : start + _CHUNK] = chunk
    gaps = {}
    for (vertebra, number), parts in opened.items():
        step = deformations[vertebra].maps[number]
        voxels, share = (np.concatenate(column) for column in zip(*parts, strict=True))
        gap = Gap(voxels, share, step.filling_hu, in_bone=not isinstance(step, Cleft))
        gaps.setdefault(vertebra, []).append(gap)
    return Origin(origin, compression, gaps)
