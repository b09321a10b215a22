"""A fracture is a whole body: its probability made one for each body.

The label that the bundled model learns is the whole body of the fractured vertebra, so voxels of one body that disagree
are noise. Averaging them removes it: spots inside intact bodies go, holes in fractured ones are filled.
"""

import math

import numpy as np
from scipy import ndimage

from SpineFractureSegLib.engine.vertebrae.instances import Bodies

_RIM_MM = 3.0  # how far outside of an instance voxels still belong to it, where they are bone in part
_RAISED = (0.4, 0.6)  # vertebra probability over which a body's rim takes the body's answer, where that is higher
_LOWERED = (0.05, 0.25)  # and where it is lower: no shell of a spot may stay around an intact body


def body_probabilities(fracture: np.ndarray, vertebra: np.ndarray, bodies: Bodies) -> np.ndarray:
    """Mean fracture probability over each body, a voxel counting as much as it is body.

    Args:
        fracture, vertebra: probabilities (Z, Y, X) of the two.
        bodies: the instances on the same grid.

    Returns: float64 (count,), that of instance 1 first.
    """
    inside = np.flatnonzero(bodies.labels)
    number, count = bodies.labels.ravel()[inside], bodies.count
    weight = np.maximum(vertebra.ravel()[inside].astype(np.float64), 1e-3)  # a filled hole is body, too
    total = np.bincount(number, weight, count + 1)[1:]
    gathered = np.bincount(number, weight * fracture.ravel()[inside], count + 1)[1:]
    return np.clip(gathered / np.maximum(total, 1e-9), 0.0, 1.0)


def fracture_by_body(
    fracture: np.ndarray, vertebra: np.ndarray, bodies: Bodies, spacing_mm: float, below: float = math.inf
) -> np.ndarray:
    """The fracture probability with one value inside each body; outside of bodies it stays as it is.

    At a body's rim the value fades into what is outside as the vertebra probability falls, so that a threshold gives
    the smooth outline of the whole body.

    Args:
        fracture, vertebra, bodies: as ``body_probabilities``.
        spacing_mm: of the voxels.
        below: a body whose mean is this or more stays as it is. Where a fracture is a part of its body, this leaves
            the outline alone and still takes the spots out of intact bodies.

    Returns: float32 (Z, Y, X), a new array.
    """
    result = fracture.astype(np.float32, copy=True)
    values = body_probabilities(fracture, vertebra, bodies)
    labels = bodies.labels
    rim = int(np.ceil(_RIM_MM / spacing_mm))
    for number, box in enumerate(ndimage.find_objects(labels, max_label=bodies.count), start=1):
        if box is None or values[number - 1] >= below:
            continue
        box = tuple(slice(max(axis.start - rim, 0), axis.stop + rim) for axis in box)
        own, value, before = labels[box] == number, np.float32(values[number - 1]), result[box]
        near = ndimage.binary_dilation(own, iterations=rim) & ((labels[box] == 0) | own)
        share = np.where(value > before, _ramp(vertebra[box], *_RAISED), _ramp(vertebra[box], *_LOWERED))
        share = np.where(ndimage.binary_erosion(own), 1.0, share) * near  # a hole of the vertebra channel is body
        result[box] += share.astype(np.float32) * (value - before)
    return result


def _ramp(values: np.ndarray, start: float, end: float) -> np.ndarray:
    return np.clip((values - start) / (end - start), 0.0, 1.0)
