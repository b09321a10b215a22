"""The lesions of a case: what there is to be found.

A *lesion* is the body of one fractured vertebra, or what was drawn as fracture outside of such bodies: an arch, a
process, the odontoid. Where the truth says of which vertebra a part is broken, all its pieces are one lesion; of other
drawings each 26-connected piece is one. A lesion is *found* when at least 10 % of it is covered.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from SpineFractureSegLib.engine.case import MAP_FRACTURE, UNCERTAIN, Case
from SpineFractureSegLib.engine.postprocess import label_components

FOUND_FROM = 0.1  # share of a lesion that must be covered
SMALLEST_DRAWN_MM3 = 10.0  # smaller drawn parts are crumbs of resampling, not lesions
REGIONS = ("cervical", "thoracic", "lumbar", "sacral")
_NEAR_MM = 25.0  # a drawn piece belongs to the nearest body within it
_REACH_MM = 60.0  # of a vertebra's parts from its body


@dataclass(frozen=True)
class Lesion:
    """What is known of one lesion beforehand."""

    vertebra: int | None  # VerSe id; of a drawn piece that of the nearest body, None where none is near
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
        parts = [int(vertebra) for vertebra, known in about.items() if known.get("part") not in (None, "none", "body")]
        number_of: dict[int, int] = {}  # of the lesion, by the vertebra whose part is broken
        for piece in _pieces((case.fracture_map == MAP_FRACTURE) & (numbers == 0), case.spacing_mm):
            vertebra = _nearest_body(case, piece, _REACH_MM, parts)
            if vertebra not in number_of:
                if vertebra is None:
                    lesions.append(Lesion(_nearest_body(case, piece, _NEAR_MM), "drawn", None))
                else:
                    lesions.append(_lesion(vertebra, about[str(vertebra)], "drawn"))
                    number_of[vertebra] = len(lesions)
            numbers[piece] = number_of.get(vertebra, len(lesions))
    return numbers, lesions


def _lesion(vertebra: int, known: Mapping, kind: str) -> Lesion:
    grade = known.get("genant") or None  # 0: the simulator's fractures without loss of height
    return Lesion(vertebra, known.get("type", kind), grade)


def _pieces(drawn: np.ndarray, spacing_mm: float) -> Iterator[np.ndarray]:
    """The 26-connected components of a mask that are no crumbs, one mask each."""
    labels, count = label_components(drawn)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    for number in range(1, count + 1):
        if sizes[number] * spacing_mm**3 >= SMALLEST_DRAWN_MM3:
            yield labels == number


def _nearest_body(case: Case, piece: np.ndarray, reach_mm: float, among: Sequence[int] | None = None) -> int | None:
    """The vertebra whose body the piece lies in most, or is nearest to its middle; None where none is in reach.

    Args: reach_mm: from the piece's bounding box, along each axis; among: vertebrae to choose from; None is all.
    """
    reach = int(np.ceil(reach_mm / case.spacing_mm))
    points = np.argwhere(piece)
    box = tuple(slice(max(a - reach, 0), b + reach + 1) for a, b in zip(points.min(0), points.max(0), strict=True))
    near = case.bodies[box]
    wanted = near > 0 if among is None else np.isin(near, among)
    bodies = np.argwhere(wanted)
    if not len(bodies):
        return None
    inside = near[wanted & piece[box]]
    if inside.size:
        return int(np.bincount(inside).argmax())
    distance = ((bodies - (points.mean(0) - [axis.start for axis in box])) ** 2).sum(1)
    return int(near[tuple(bodies[int(distance.argmin())])])
