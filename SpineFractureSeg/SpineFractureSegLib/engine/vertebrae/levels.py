"""Names of vertebrae, C1 to L5 and S1, from a label map or from one vertebra that somebody has named.

Nothing is guessed: a body that the map does not cover, or that lies beyond a gap, keeps its number from the top alone.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from SpineFractureSegLib.engine.data.label_map import read_vertebrae
from SpineFractureSegLib.engine.data.scan import VertebraLabels
from SpineFractureSegLib.engine.data.slicer_segments import segments_in
from SpineFractureSegLib.engine.data.vertebra_ids import ID_OF_NAME, NAMES, TABLES, VERSE, vertebra_in
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.vertebrae.vertebra import Vertebra
from SpineFractureSegLib.engine.volume import read_image

_SACRUM = 26
_MOBILE_FROM_TOP = [NAMES[i] for i in range(1, 25)]  # C1 to L5, as most people have them
_LEVELS_FROM_TOP = [*_MOBILE_FROM_TOP, "S1"]
_COVERED_FROM = 0.3  # share of a body that one label must cover to name it
_NEAR_MM = 25.0  # from a named point to the center of its vertebra, where the point lies in no body
_GAP = 1.6  # times the usual distance of centers: a body in between was missed
_POINT = re.compile(r"\s*([A-Za-z]+\d{1,2})\s*@\s*([^,]+),([^,]+),([^,]+)")


def read_level_map(path: str | Path) -> tuple[sitk.Image, Mapping[int, int] | None]:
    """A label map of vertebrae and what its numbers mean as VerSe ids; None: the numbers have to tell by themselves.

    A Slicer segmentation with segments named after vertebrae ("L1", "vertebrae_L1", "T12 body") says what they are.

    Raises: UserError, when the file cannot be read or is no 3D label map.
    """
    if any(segment.vertebra for segment in segments_in(Path(path))):
        return read_vertebrae(VertebraLabels(Path(path), VERSE)), VERSE
    image = read_image(path)
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise UserError(f"'{path}' is no 3D label map: choose one of vertebrae from TotalSegmentator or SPINEPS.")
    return image, None


def table_of_names(names: Mapping[int, str]) -> dict[int, int]:
    """Label value to VerSe id, from what the labels are called.

    >>> table_of_names({3: "vertebrae_L1", 4: "sacrum", 5: "spleen"})
    {3: 20, 4: 26}
    """
    found = {value: vertebra_in(name) or ID_OF_NAME.get(_sacral(name)) for value, name in names.items()}
    return {value: vertebra for value, vertebra in found.items() if vertebra}


def levels_from_map(
    spine: Sequence[Vertebra], labels: sitk.Image, level_map: sitk.Image, table: Mapping[int, int] | None = None
) -> list[Vertebra]:
    """The vertebrae with the level of the label that covers most of their body.

    Args:
        spine: from the top down.
        labels: their numbers, on the CT's grid.
        level_map: labels of vertebrae on any grid in the same space.
        table: label value to VerSe id. None: VerSe's and SPINEPS' numbers grow downwards and TotalSegmentator's grow
            upwards, which tells whose they are.

    Raises: UserError, when the two do not overlap, or the labels' order is neither.
    """
    if not spine:
        return []
    size = np.bincount(sitk.GetArrayViewFromImage(labels).ravel(), minlength=len(spine) + 1)
    return levels_from_overlaps(spine, size[1:].tolist(), _overlaps(labels, level_map, len(spine)), table)


def levels_from_overlaps(
    spine: Sequence[Vertebra],
    sizes: Sequence[int],
    overlaps: Sequence[Mapping[int, int]],
    table: Mapping[int, int] | None = None,
) -> list[Vertebra]:
    """``levels_from_map``, when what the labels share with each body is known.

    Args:
        spine: from the top down.
        sizes: voxels, or points, of each body.
        overlaps: of each body: label value to how many of them have it.
        table: as there.

    Raises: as there.
    """
    table = table or _table_of(overlaps)
    levels: dict[str, tuple[int, int]] = {}  # level: (voxels, index of the body that it covers best)
    for index, (size, overlap) in enumerate(zip(sizes, overlaps, strict=True)):
        known = {value: voxels for value, voxels in overlap.items() if value in table}
        best = max(known, key=known.get, default=None)
        if best is not None and known[best] >= _COVERED_FROM * size:
            level = _level_name(table[best])
            levels[level] = max(levels.get(level, (0, 0)), (known[best], index))
    named = {index: level for level, (_, index) in levels.items()}
    return [replace(vertebra, level=named.get(index)) for index, vertebra in enumerate(spine)]


def table_of(labels: sitk.Image, level_map: sitk.Image, count: int) -> Mapping[int, int]:
    """What the numbers of a label map mean as VerSe ids, from those in the bodies; other organs do not matter.

    Args: ``labels`` and ``level_map`` as ``levels_from_map``; ``count`` of the bodies.

    Raises: UserError, when the two do not overlap, or no known order of numbers fits.
    """
    return _table_of(_overlaps(labels, level_map, count))


def levels_from_point(
    spine: Sequence[Vertebra], labels: sitk.Image, level: str, position_ras_mm: Sequence[float]
) -> list[Vertebra]:
    """The vertebrae counted up and down from the one that was named, with twelve thoracic and five lumbar ones.

    Args:
        spine: from the top down.
        labels: their numbers, on the CT's grid.
        level: "C1" to "L5" or "S1".
        position_ras_mm: a point in or near the body of that vertebra.

    Raises: UserError, when the level is none, or no body is near the point.
    """
    level = level.strip().upper()
    if level not in _LEVELS_FROM_TOP:
        raise UserError(
            f"'{level}' is no level that can be counted from: name one of C1 to C7, T1 to T12, L1 to L5, S1."
        )
    if not spine:
        return []
    start = _body_at(spine, labels, position_ras_mm)
    if start is None:
        place = ", ".join(f"{value:.0f}" for value in position_ras_mm)
        raise UserError(
            f"No vertebral body was found within {_NEAR_MM:g} mm of {place}: choose a point inside of {level}."
        )
    named = {start: level}
    gaps = _gaps(spine)
    for step in (-1, 1):
        at, place = start, _LEVELS_FROM_TOP.index(level)
        while (
            0 <= at + step < len(spine) and 0 <= place + step < len(_LEVELS_FROM_TOP) and not gaps[min(at, at + step)]
        ):
            at, place = at + step, place + step
            named[at] = _LEVELS_FROM_TOP[place]
    return [replace(vertebra, level=named.get(k)) for k, vertebra in enumerate(spine)]


def parse_named_point(text: str) -> tuple[str, tuple[float, float, float]]:
    """Level and RAS position of "L3@R,A,S".

    Raises: UserError, when the text is something else.

    >>> parse_named_point("L3@-4.5,20,310")
    ('L3', (-4.5, 20.0, 310.0))
    """
    match = _POINT.fullmatch(text)
    try:
        return match.group(1).upper(), tuple(float(value) for value in match.groups()[1:])
    except (AttributeError, ValueError) as error:
        raise UserError(
            f"'{text}' names no vertebra: write a level and its position in mm, as in L3@-4.5,20,310."
        ) from error


def _overlaps(labels: sitk.Image, level_map: sitk.Image, count: int) -> list[dict[int, int]]:
    """For each body the voxels of every label in it."""
    same = sitk.Resample(level_map, labels, sitk.Transform(), sitk.sitkNearestNeighbor, 0.0)
    numbers, values = sitk.GetArrayViewFromImage(labels), sitk.GetArrayViewFromImage(same)
    both = (numbers > 0) & (values > 0)
    pairs, voxels = np.unique(
        np.stack([numbers[both], np.rint(values[both]).astype(np.int64)]), axis=1, return_counts=True
    )
    counts: list[dict[int, int]] = [{} for _ in range(count)]
    for number, value, size in zip(*pairs.tolist(), voxels.tolist(), strict=True):
        counts[number - 1][value] = size
    return counts


def _table_of(counts: Sequence[Mapping[int, int]]) -> Mapping[int, int]:
    """The table under which the labels of the bodies, from the top down, are vertebrae in their order."""
    values = [max(overlap, key=overlap.get) for overlap in counts if overlap]
    if not values:
        raise UserError(
            "The label map covers no vertebra that was found: choose one that was made from this CT, on any grid."
        )
    fitting = []
    for name, table in TABLES.items():
        ids = [table[value] for value in values if value in table]
        if len(ids) == len(values) and all(upper <= lower for upper, lower in pairwise(ids)):
            fitting.append(name)
    if len(fitting) == 1:
        return TABLES[fitting[0]]
    shown = ", ".join(map(str, values[:8]))
    if fitting:
        raise UserError(
            f"The label map holds {shown}, which may be VerSe's or TotalSegmentator's numbers: "
            "use one with more vertebrae, or name one vertebra by a point."
        )
    raise UserError(
        f"The label map holds {shown} from the top down, numbers of VerSe, SPINEPS or TotalSegmentator are expected: "
        "choose such a map, or name one vertebra by a point."
    )


def _body_at(spine: Sequence[Vertebra], labels: sitk.Image, position_ras_mm: Sequence[float]) -> int | None:
    """Index of the body that holds the point, else of the nearest one."""
    right, front, up = map(float, position_ras_mm)
    index = labels.TransformPhysicalPointToIndex((-right, -front, up))
    if all(0 <= i < size for i, size in zip(index, labels.GetSize(), strict=True)) and labels[index]:
        return labels[index] - 1
    distances = [np.linalg.norm(np.subtract(v.centroid_ras_mm, position_ras_mm)) for v in spine]
    nearest = int(np.argmin(distances)) if distances else None
    return nearest if nearest is not None and distances[nearest] <= _NEAR_MM else None


def _gaps(spine: Sequence[Vertebra]) -> list[bool]:
    """Between each vertebra and the next: whether they lie so far apart that one was missed."""
    centers = np.array([vertebra.centroid_ras_mm for vertebra in spine])
    apart = np.linalg.norm(np.diff(centers, axis=0), axis=1)
    usual = [
        np.median(np.delete(apart, k)[max(k - 2, 0) : k + 2]) if len(apart) > 1 else np.inf for k in range(len(apart))
    ]
    return [bool(distance > _GAP * typical) for distance, typical in zip(apart, usual, strict=True)]


def _level_name(vertebra: int) -> str:
    return "S1" if vertebra == _SACRUM else NAMES[vertebra]


def _sacral(name: str) -> str:
    return "sacrum" if name.strip().lower() in ("s1", "sacrum", "vertebrae_s1") else ""
