"""From what is said of vertebrae to what is claimed of voxels: the weak label.

*Grades* (Genant): the body of a vertebra is fracture from ``LabelPolicy.fractured_from`` on and intact at grade 0;
what lies between is neither (the dead zone). *Levels* (fractured or not, without a place): fracture is the part of a
fractured vertebra inside the boxes; the rest of it is unknown. *Masks* are taken as drawn.

Nothing is claimed, in the loss or in any score, of

- ungraded vertebrae, with arch and processes,
- vertebrae that the border of the CT cuts, and those without a body that could be found,
- what lies above the highest and below the lowest labelled body, and gaps between bodies: unlabelled vertebrae lie
  there (VerSe leaves out those that are only partly visible), and the sacrum is not graded.

A mask says of the whole CT what is fractured; nothing is unknown then but what it says itself and bodies that are cut.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from SpineFractureSegLib.engine.case import MAP_FRACTURE, MAP_SILENT, MAP_UNKNOWN

UNPLACED = ("unknown", "vertebra")
_GAP_MM = 15.0  # between two bodies: more than any disc, less than any vertebra


@dataclass(frozen=True)
class LabelPolicy:
    """How grades and levels become labels.

    Raises: ValueError, when a field cannot be used; the message quotes it.
    """

    fractured_from: int = 2  # Genant grade; 1 takes mild fractures as well, which can hardly be told from wedging
    unplaced: str = "unknown"  # a fractured level without boxes: "unknown", or "vertebra": painted as a whole

    def __post_init__(self) -> None:
        if self.fractured_from not in (1, 2, 3):
            raise ValueError(f"fractured_from must be a Genant grade of 1, 2 or 3, not {self.fractured_from}")
        if self.unplaced not in UNPLACED:
            raise ValueError(f"unplaced must be one of {UNPLACED}, not {self.unplaced!r}")


@dataclass(frozen=True)
class FractureTruth:
    """The fields of a ``Case`` that say what is fractured."""

    fractured: tuple[int, ...]
    uncertain: tuple[int, ...]
    fracture_map: np.ndarray | None  # uint8 (Z, Y, X)


def truth_of_grades(
    vertebrae: np.ndarray,
    bodies: np.ndarray,
    grades: Mapping[int, int] | None,
    cut: set[int],
    policy: LabelPolicy = LabelPolicy(),
    spacing_mm: float = 1.0,
) -> FractureTruth:
    """What Genant grades say.

    Args:
        vertebrae: uint8 (Z, Y, X), VerSe ids of whole vertebrae.
        bodies: uint8 (Z, Y, X), ids of vertebral bodies.
        grades: id -> grade of the graded vertebrae; None: nobody graded any.
        cut: ids that the border of the CT cuts.
        policy: from which grade on it is a fracture.
        spacing_mm: of the voxels.
    """
    judged = {v: g for v, g in (grades or {}).items() if v not in cut}
    fractured = {v for v, grade in judged.items() if grade >= policy.fractured_from}
    intact = {v for v, grade in judged.items() if grade == 0}
    ids = _ids(bodies)
    fracture_map = _unknown_map(vertebrae, bodies, (fractured | intact) & ids, spacing_mm)
    return FractureTruth(_sorted(fractured & ids), _sorted(ids - fractured - intact), fracture_map)


def truth_of_levels(
    vertebrae: np.ndarray,
    bodies: np.ndarray,
    levels: Mapping[int, bool],
    boxes: np.ndarray | None,
    cut: set[int],
    policy: LabelPolicy = LabelPolicy(),
    spacing_mm: float = 1.0,
) -> FractureTruth:
    """What levels and boxes say.

    Args:
        vertebrae, bodies, cut, policy, spacing_mm: as in ``truth_of_grades``; no vertebra may be labelled.
        levels: id -> fractured.
        boxes: bool (Z, Y, X), inside a box; None: none was drawn.
    """
    boxes = np.zeros(vertebrae.shape, bool) if boxes is None else boxes
    if not vertebrae.any():
        if not any(levels.values()):
            return FractureTruth((), (), None)
        return FractureTruth((), (), np.where(boxes, MAP_UNKNOWN, MAP_SILENT).astype(np.uint8))
    judged = {v: broken for v, broken in levels.items() if v not in cut}
    intact = {v for v, broken in judged.items() if not broken}
    # a level counts as labelled by its whole vertebra here: the atlas has no body
    fracture_map = _unknown_map(vertebrae, bodies, intact & (_ids(bodies) | {1}), spacing_mm)
    for vertebra in (v for v, broken in judged.items() if broken):
        voxels = vertebrae == vertebra
        placed = voxels & boxes
        if not placed.any() and policy.unplaced == "vertebra":
            placed = voxels
        fracture_map[placed] = MAP_FRACTURE
    return FractureTruth((), _sorted(_ids(bodies) - intact), fracture_map)


def truth_of_mask(mask: np.ndarray, cut: set[int]) -> FractureTruth:
    """What a drawn mask (Z, Y, X), with ``MAP_`` values, says: where it says nothing there is no fracture."""
    return FractureTruth((), _sorted(cut), mask.astype(np.uint8))


def unlabelled_region(bodies: np.ndarray, spacing_mm: float = 1.0) -> np.ndarray:
    """bool (Z,): the slices above, below and between the labelled bodies, where others may lie.

    >>> bodies = np.zeros((60, 1, 1), int); bodies[10:20] = 21; bodies[45:50] = 20
    >>> np.flatnonzero(np.diff(unlabelled_region(bodies))).tolist()
    [9, 19, 44, 49]
    """
    without = ~(bodies > 0).any(axis=(1, 2))
    there = np.flatnonzero(~without)
    region = without.copy()
    for below, above in pairwise(there):
        if (above - below - 1) * spacing_mm <= _GAP_MM:
            region[below + 1 : above] = False
    return region


def _unknown_map(vertebrae: np.ndarray, bodies: np.ndarray, judged: set[int], spacing_mm: float) -> np.ndarray:
    """``MAP_UNKNOWN`` at vertebrae that were not judged and where unlabelled ones may lie."""
    unknown = ~np.isin(vertebrae, [0, *judged])
    judged_voxels = (vertebrae > 0) & ~unknown
    unknown[unlabelled_region(bodies, spacing_mm)] = True
    unknown &= ~judged_voxels
    return np.where(unknown, MAP_UNKNOWN, MAP_SILENT).astype(np.uint8)


def _ids(bodies: np.ndarray) -> set[int]:
    return {int(v) for v in np.unique(bodies) if v}


def _sorted(ids: set[int]) -> tuple[int, ...]:
    return tuple(sorted(ids))
