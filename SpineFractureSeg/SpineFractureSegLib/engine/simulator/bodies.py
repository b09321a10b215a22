"""Splits a vertebra's label into its body and its posterior part (arch and processes).

The body is what stays near the thick core: in each axial slice the distance to the label's border is largest in the
middle of the body, and the arch is too thin to have such a core.
"""

import numpy as np
from scipy import ndimage


def vertebral_bodies(vertebrae: np.ndarray) -> np.ndarray:
    """Bodies of all vertebrae of a label map.

    Args: vertebrae: uint8 (Z, Y, X) at 1 mm, VerSe ids, y to the back.
    Returns: bool (Z, Y, X).
    """
    bodies = np.zeros(vertebrae.shape, bool)
    for vertebra, box in enumerate(ndimage.find_objects(vertebrae), start=1):
        if box is not None and vertebra not in (26, 27):  # the sacrum and the coccyx have no body of their own here
            bodies[box] |= _body(vertebrae[box] == vertebra, vertebra)
    return bodies


def _body(label: np.ndarray, vertebra: int) -> np.ndarray:
    padded = np.pad(label, 2)
    depth = np.stack([ndimage.distance_transform_edt(plane) for plane in padded])
    radius = 6 if vertebra >= 12 else 5 if vertebra > 7 else 4  # mm: half the thickness that only a body has
    for attempt in (radius, radius - 2):
        core = _front_component(depth > attempt, padded)
        if core is not None:
            deepest = int(22 + 0.75 * vertebra)  # mm, 24 at C3 to 40 at L5: what lies further back is arch
            return _without_arch(_grow(core, padded, attempt), deepest)[2:-2, 2:-2, 2:-2]
    return np.zeros_like(label)


def _without_arch(body: np.ndarray, deepest: int) -> np.ndarray:
    """Cuts, in each axial slice, what lies more than ``deepest`` mm behind the front wall."""
    front = np.where(body.any(axis=(1, 2)), body.any(axis=2).argmax(axis=1), body.shape[1])
    return body & (np.arange(body.shape[1])[None, :, None] < front[:, None, None] + deepest)


def _grow(core: np.ndarray, label: np.ndarray, radius: int) -> np.ndarray:
    """The part of the label round the core, not behind it; its largest component."""
    back = np.nonzero(core)[1].max() + radius + 1
    grown = np.stack(
        [
            ndimage.distance_transform_edt(~plane) <= radius + 1.5 if plane.any() else np.zeros_like(plane)
            for plane in core
        ]
    )
    grown = ndimage.maximum_filter1d(grown, 7, axis=0)  # endplates are thinner than the core: reach 3 mm up and down
    body = label & grown
    body[:, back:] = False
    parts, count = ndimage.label(body)
    if count > 1:
        body = parts == 1 + np.argmax(ndimage.sum(body, parts, range(1, count + 1)))
    return body


def _front_component(core: np.ndarray, label: np.ndarray) -> np.ndarray | None:
    """The largest component, those far behind the vertebra's centre counting less (the body lies in front)."""
    parts, count = ndimage.label(core)
    if count == 0:
        return None
    indices = range(1, count + 1)
    size = np.asarray(ndimage.sum(core, parts, indices))
    behind = np.array([centre[1] for centre in ndimage.center_of_mass(core, parts, indices)])
    behind -= ndimage.center_of_mass(label)[1]
    return parts == 1 + int(np.argmax(size * np.exp(-np.maximum(0, behind) / 8)))
