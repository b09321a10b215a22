"""The lesions of a case: what there is to be found.

A *lesion* is the body of one fractured vertebra, or a 26-connected part of what was drawn as fracture outside of such
bodies: an arch, a process, the odontoid. It is *found* when at least 10 % of it is covered.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from SpineFractureSegLib.engine.case import MAP_FRACTURE, UNCERTAIN, Case
from SpineFractureSegLib.engine.postprocess import label_components

FOUND_FROM = 0.1  # share of a lesion that must be covered
SMALLEST_DRAWN_MM3 = 10.0  # smaller drawn parts are crumbs of resampling, not lesions
REGIONS = ("cervical", "thoracic", "lumbar", "sacral")
_NEAR_MM = 25.0  # a drawn part belongs to the nearest body within it


@dataclass(frozen=True)
class Lesion:
    """What is known of one lesion beforehand."""

    vertebra: int | None  # VerSe id; of a drawn part that of the nearest body, None where none is near
    kind: str  # "wedge", ... as the simulator calls it, "real fracture" or "drawn"
    grade: int | None  # Genant's, 1 to 3; None where the fracture has none

    @property
    def region(self) -> str:
        """One of ``REGIONS``, or "unknown"."""
        return region_of(self.vertebra)


def region_of(vertebra: int | None) -> str:
    """The part of the spine that a vertebra belongs to.

    >>> [region_of(vertebra) for vertebra in (7, 8, 28, 25, 26, None)]
    ['cervical', 'thoracic', 'thoracic', 'lumbar', 'sacral', 'unknown']
    """
    if vertebra is None or not 1 <= vertebra <= 28:
        return "unknown"
    if vertebra == 28:  # T13
        return "thoracic"
    return REGIONS[int(np.searchsorted((8, 20, 26), vertebra, side="right"))]


def lesions_of(case: Case) -> tuple[np.ndarray, list[Lesion]]:
    """Where the lesions are and what they are.

    Returns: uint16 (Z, Y, X), k in the k-th lesion's voxels (from 1) and 0 elsewhere; the lesions.
    """
    numbers = np.zeros(case.hu.shape, np.uint16)
    lesions = []
    about = case.truth.get("vertebrae", {})
    classes = case.classes
    for vertebra in case.fractured:
        body = (case.bodies == vertebra) & (classes != UNCERTAIN)
        if body.any():
            lesions.append(_lesion(vertebra, about.get(str(vertebra), {}), "real fracture"))
            numbers[body] = len(lesions)
    if case.fracture_map is not None:
        labels, count = label_components((case.fracture_map == MAP_FRACTURE) & (numbers == 0))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        for part in range(1, count + 1):
            if sizes[part] * case.spacing_mm**3 < SMALLEST_DRAWN_MM3:
                continue
            voxels = labels == part
            lesions.append(_drawn_lesion(case, voxels, about))
            numbers[voxels] = len(lesions)
    return numbers, lesions


def _lesion(vertebra: int | None, known: Mapping, kind: str) -> Lesion:
    grade = known.get("genant") or None  # 0: the simulator's fractures without loss of height
    return Lesion(vertebra, known.get("type", kind), grade)


def _drawn_lesion(case: Case, voxels: np.ndarray, about: Mapping) -> Lesion:
    """Named after the nearest body; what the truth says of that body counts where it says that a part is fractured."""
    reach = int(np.ceil(_NEAR_MM / case.spacing_mm))
    points = np.argwhere(voxels)
    box = tuple(slice(max(a - reach, 0), b + reach + 1) for a, b in zip(points.min(0), points.max(0), strict=True))
    bodies = np.argwhere(case.bodies[box] > 0)
    if not len(bodies):
        return Lesion(None, "drawn", None)
    inside = case.bodies[voxels]
    if inside.any():
        vertebra = int(np.bincount(inside[inside > 0]).argmax())
    else:
        distance = ((bodies - (points.mean(0) - [axis.start for axis in box])) ** 2).sum(1)
        nearest = bodies[int(distance.argmin())]
        vertebra = int(case.bodies[box][tuple(nearest)])
    known = about.get(str(vertebra), {})
    return _lesion(vertebra, known if "part" in known else {}, "drawn")
