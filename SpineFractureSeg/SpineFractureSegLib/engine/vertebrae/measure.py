"""From instances to what is known of each vertebra.

A body that the border of the CT cuts has no heights; one that tapers as the sacrum's first does has no grade.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from SpineFractureSegLib.engine.vertebrae.body_frame import SURFACE, BodyFrame, BodyVolume, fit_frame
from SpineFractureSegLib.engine.vertebrae.by_body import body_probabilities
from SpineFractureSegLib.engine.vertebrae.field_of_view import FieldOfView
from SpineFractureSegLib.engine.vertebrae.height_loss import height_losses
from SpineFractureSegLib.engine.vertebrae.heights import body_heights_mm, genant_of_losses
from SpineFractureSegLib.engine.vertebrae.instances import Bodies
from SpineFractureSegLib.engine.vertebrae.trabecular import trabecular_hu
from SpineFractureSegLib.engine.vertebrae.vertebra import PLACES, Vertebra

COVERED_FROM = 0.1  # share of a body in the mask from which it is flagged
_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
_CUT_MM3 = 60.0  # of a body in the outermost layer of the CT; less is a spur
_HIGHEST_MIDDLE = 1.2  # times the higher end: vertebral bodies are waisted or flat, none bulges so
_LOWEST_END = 0.55  # times the middle: even a wedge that is flat in its middle keeps more than that in front
_TALLEST = 1.15  # times the highest of the neighbors; one body of 245 of label maps is, fractured neighbors or not
_NEIGHBORS = 2  # to both sides
_FEWEST_NEIGHBORS = 3
_MARGIN_MM = 4.0  # around a body's box


@dataclass(frozen=True)
class SpineVolume:
    """What a run knows of the region around the spine, on the working grid. Arrays (Z, Y, X)."""

    fracture: np.ndarray  # probability
    vertebra: np.ndarray  # probability of a vertebral body
    hu: np.ndarray  # Hounsfield units
    spacing_mm: float
    origin_mm: tuple[float, float, float]  # LPS position (x, y, z) of the center of the first voxel
    surface: float = SURFACE  # probability of a vertebral body at its surface
    by_body: bool = False  # a fracture is a whole body to the network: its probability counts in the grade

    def positions_mm(self, voxels: np.ndarray) -> np.ndarray:
        """LPS (N, 3) of voxels (N, 3) as (slice, row, column)."""
        return np.asarray(voxels)[:, ::-1] * self.spacing_mm + self.origin_mm


@dataclass(frozen=True)
class _Body:
    box: tuple[slice, ...]
    mask: np.ndarray  # bool, in the box
    complete: bool
    centroid_ras_mm: tuple[float, float, float]
    frame: BodyFrame | None  # in the box
    heights_mm: dict[str, float] | None  # None, where it cannot be measured
    sacral: bool = False


def measure_vertebrae(bodies: Bodies, volume: SpineVolume, field_of_view: FieldOfView) -> list[Vertebra]:
    """Measures every instance, from the top down. None is flagged or named yet: see ``with_flags`` and ``levels.py``.

    Args:
        bodies: the instances.
        volume: what they were found in.
        field_of_view: of the CT.
    """
    if bodies.count == 0:
        return []
    probability = body_probabilities(volume.fracture, volume.vertebra, bodies)
    boxes = ndimage.find_objects(bodies.labels, max_label=bodies.count)
    found = [_measured(number, box, bodies, volume, field_of_view) for number, box in enumerate(boxes, start=1)]
    if bodies.count > 1 and found[-1].frame is not None and found[-1].frame.tapers:
        found[-1] = replace(found[-1], sacral=True)
    heights = np.full((bodies.count, len(PLACES)), np.nan)
    for row, body in zip(heights, found, strict=True):
        if body.heights_mm and body.complete and not body.sacral:
            row[:] = [body.heights_mm[place] for place in PLACES]
    for k in too_tall(heights):
        heights[k], found[k] = np.nan, replace(found[k], heights_mm=None)
    losses, by_neighbors = height_losses(heights, probability)
    return [
        _described(k + 1, found[k], float(probability[k]), losses[k], bool(by_neighbors[k]), volume)
        for k in range(bodies.count)
    ]


def with_flags(vertebrae: Sequence[Vertebra], labels: sitk.Image, mask: sitk.Image, threshold: float) -> list[Vertebra]:
    """Flags each body whose fracture probability reaches the threshold, or a tenth of which lies in the mask.

    Args:
        vertebrae: to be flagged.
        labels: their numbers, on the CT's grid.
        mask: fracture where not 0, on the same grid.
        threshold: of the probability, with which the mask was made.
    """
    numbers = sitk.GetArrayViewFromImage(labels)
    inside = numbers > 0
    size = np.bincount(numbers[inside], minlength=256)
    covered = np.bincount(numbers[inside & (sitk.GetArrayViewFromImage(mask) > 0)], minlength=256)
    return [
        replace(
            vertebra,
            flagged=bool(
                vertebra.fracture_probability >= threshold
                or covered[vertebra.number] >= COVERED_FROM * size[vertebra.number] > 0
            ),
        )
        for vertebra in vertebrae
    ]


def believable(heights_mm: dict[str, float] | None) -> dict[str, float] | None:
    """The heights, or None where the middle is far higher than an end: corners of the outline are missing then.

    >>> believable({"anterior": 9.4, "middle": 27.8, "posterior": 16.9}) is None
    True
    >>> believable({"anterior": 10.3, "middle": 21.3, "posterior": 22.6}) is None
    True
    """
    if heights_mm is None:
        return None
    ends, middle = (heights_mm["anterior"], heights_mm["posterior"]), heights_mm["middle"]
    return heights_mm if middle <= _HIGHEST_MIDDLE * max(ends) and min(ends) >= _LOWEST_END * middle else None


def too_tall(heights_mm: np.ndarray) -> np.ndarray:
    """Indices of bodies so much higher than all of their neighbors that a disc or a part of one must be in them.

    Args: heights_mm: (N, 3), from the top down; nan where a body could not be measured.

    >>> too_tall(np.array([[25, 24, 26], [26, 25, 26], [34, 33, 31], [27, 26, 28], [28, 27, 27.0]])).tolist()
    [2]
    """
    highest = np.max(heights_mm, axis=1)
    found = []
    for k, height in enumerate(highest):
        beside = np.delete(highest, k)[max(k - _NEIGHBORS, 0) : k + _NEIGHBORS]
        beside = beside[~np.isnan(beside)]
        if len(beside) >= _FEWEST_NEIGHBORS and height > _TALLEST * beside.max():
            found.append(k)
    return np.array(found, int)


def _measured(
    number: int, box: tuple[slice, ...], bodies: Bodies, volume: SpineVolume, field_of_view: FieldOfView
) -> _Body:
    mask = bodies.labels[box] == number
    positions = volume.positions_mm(np.argwhere(mask) + [axis.start for axis in box])
    margin = int(np.ceil(_MARGIN_MM / volume.spacing_mm))
    box = tuple(slice(max(axis.start - margin, 0), axis.stop + margin) for axis in box)
    labels = bodies.labels[box]
    mask = labels == number
    own = np.where(ndimage.binary_erosion(mask), 1.0, volume.vertebra[box])  # holes are body
    beside = ndimage.binary_dilation(mask, iterations=2) & (labels == 0)  # where the probability falls to its surface
    own = BodyVolume(np.where(mask | beside, own, 0.0), volume.spacing_mm, volume.surface)
    frame = fit_frame(own, mask, _up(bodies, positions, volume))
    at_border = field_of_view.reached_by(positions, volume.spacing_mm).sum() * volume.spacing_mm**3
    return _Body(
        box,
        mask,
        complete=bool(at_border < _CUT_MM3),
        centroid_ras_mm=tuple(round(float(p), 3) for p in positions.mean(axis=0) * _LPS_TO_RAS),
        frame=frame,
        heights_mm=None if frame is None else believable(body_heights_mm(own, frame)),
    )


def _up(bodies: Bodies, positions_mm: np.ndarray, volume: SpineVolume) -> np.ndarray:
    """Direction of the spine's curve beside the body, as (z, y, x) towards the head."""
    center = ((positions_mm.mean(axis=0) - volume.origin_mm)[::-1]) / volume.spacing_mm
    return -bodies.curve.direction_at(center)


def _described(
    number: int, body: _Body, probability: float, losses: np.ndarray, by_neighbors: bool, volume: SpineVolume
) -> Vertebra:
    notes = []
    heights, sizes, loss, genant, density = dict.fromkeys(PLACES), (None, None), None, None, None
    if not body.complete:
        notes.append("The border of the CT cuts it: heights are not measured.")
    elif body.heights_mm is None:
        notes.append("Its shape could not be measured.")
    else:
        heights = {place: round(mm, 2) for place, mm in body.heights_mm.items()}
        sizes = (round(body.frame.width_mm, 2), round(body.frame.depth_mm, 2))
    if body.sacral and body.complete:
        notes.append("It tapers downwards as the first sacral body does: not graded.")
    elif heights["anterior"] is not None:
        loss = {place: round(float(value), 4) for place, value in zip(PLACES, losses, strict=True)}
        by_heights = genant_of_losses(loss)
        genant = genant_of_losses(loss, probability) if volume.by_body else by_heights
        if genant != by_heights:
            notes.append(f"By its heights alone the grade is {by_heights}; the fracture probability counts as well.")
        if not by_neighbors:
            notes.append("No intact neighbor to compare with: the loss is that against its own posterior wall.")
    if body.frame is not None:
        density, reason = trabecular_hu(volume.hu[body.box], body.mask, body.frame, volume.spacing_mm)
        notes += [reason] if reason else []
    return Vertebra(
        number=number,
        level=None,
        centroid_ras_mm=body.centroid_ras_mm,
        fracture_probability=round(probability, 4),
        anterior_mm=heights["anterior"],
        middle_mm=heights["middle"],
        posterior_mm=heights["posterior"],
        width_mm=sizes[0],
        depth_mm=sizes[1],
        height_loss=loss,
        genant=genant,
        trabecular_hu=density,
        complete=body.complete,
        flagged=False,
        notes=tuple(notes),
    )
