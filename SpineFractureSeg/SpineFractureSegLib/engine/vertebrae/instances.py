"""Vertebral bodies one by one, numbered from the top along the spine, from the probability of all of them together.

Words: a *cut* is the surface between two bodies: a place along the spine's curve and a slant to the front and to the
side. The *emptiest* cut at a place is the slanted disc with the least bone in it: a disc space, even where the bodies
touch. *Pitch* is the height of a body and a disc; it is 0.75 to 1.02 times the square root of the body's cross-section
at every level below C2 (eight label maps, C3 to L5), which tells how many bodies a stretch of bone holds.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import ndimage
from scipy.signal import find_peaks

from SpineFractureSegLib.engine.vertebrae.flooding import flood
from SpineFractureSegLib.engine.vertebrae.spine_curve import STEP_MM, SpineCurve, find_spine_curve

BONE_FROM = 0.5  # probability
_HALF_MM = 30.0  # of the square that is looked at across the curve
_ACROSS_MM = 2.0  # its sampling
_INNER_RADIUS = 0.41  # of a cut, in pitches: well inside the body
_FRONT_SLANTS = np.tan(np.deg2rad(range(-32, 33, 8)))
_SIDE_SLANTS = np.tan(np.deg2rad(range(-24, 25, 8)))
_PITCH_WINDOW_MM = 91.0  # pitch is that of the fuller cross-sections here: more than two lumbar bodies
_PITCH_OF_ROOT = 0.87  # pitch over the square root of the cross-section
_LEAST_PITCH_MM = 11.0  # C3 to C7 of a small adult
_LEAST_DIP = 0.01  # of the probability: shallower dips are no disc
_EMPTY, _DISC = 0.1, 0.5  # share of bone in a gap; the highest disc in pitches
_CUT_COST, _NEUTRAL_CUT = 1.5, 0.5  # a cut earns below and costs above the neutral share of bone in it
_LONG_COST, _SHORT_COST = 5.0, 0.7  # per squared logarithm of length over pitch: a crushed body is short, none is long
_END_SHARE = 0.2  # of that cost at the two ends, where the CT may cut a body
_GAP_BELOW = 0.25  # mean bone of a stretch in which nothing is expected to be a body
_DISC_REACH, _OF_THIN_BODY = 0.3, 0.25  # pitches from a cut, and share of a thin body, within which a disc may lie
_LEAST_VOLUME = 0.15  # of a cubed pitch; a body has about 1, a vertebra plana 0.35
_NEAR_CURVE = 0.85  # pitches: a part further from the curve is another bone


@dataclass(frozen=True)
class Bodies:
    """The instances, and the curve along which they lie."""

    labels: np.ndarray  # uint8 (Z, Y, X), 1 to count from the top, 0 elsewhere; holes are filled
    count: int
    curve: SpineCurve | None  # None where there is no body


def find_bodies(probability: np.ndarray, spacing_mm: float) -> Bodies:
    """Splits the vertebra channel into bodies. Bone off the spine's curve, or too little for a body, is left out.

    Args:
        probability: of vertebral bodies, 0 to 1, (Z, Y, X): slice z up, row y to the back, column x to the left.
        spacing_mm: of its voxels.
    """
    labels = np.zeros(probability.shape, np.uint8)
    curve = find_spine_curve(probability, spacing_mm)
    if curve is None:
        return Bodies(labels, 0, None)
    pitch_mm, cuts = _cuts(curve.straightened(probability, _HALF_MM, _ACROSS_MM))
    voxels = np.argwhere(probability >= BONE_FROM)
    stretch, pitch, beside, sure = _stretches(curve.coordinates(voxels), cuts, pitch_mm)
    near = beside < 2 * _NEAR_CURVE * pitch
    stretches = np.zeros(probability.shape, np.uint8)
    stretches[tuple(voxels[near & sure].T)] = stretch[near & sure] + 1
    flood(stretches, voxels[near & ~sure], probability)
    left = near & (stretches[tuple(voxels.T)] == 0)
    stretches[tuple(voxels[left].T)] = stretch[left] + 1
    distance = np.full(probability.shape, np.inf, np.float32)
    distance[tuple(voxels[near].T)] = beside[near] / pitch[near]
    count = 0
    for number, box in enumerate(ndimage.find_objects(stretches), start=1):
        if box is None:
            continue
        body = _parts_near_curve(stretches[box] == number, distance[box])
        height = float(np.median(pitch[stretch == number - 1]))
        if body.sum() * spacing_mm**3 < _LEAST_VOLUME * height**3:
            continue
        count += 1
        filled = ndimage.binary_fill_holes(body) & (labels[box] == 0)
        labels[box][filled] = count
    return Bodies(labels, count, curve if count else None)


@dataclass(frozen=True)
class _Cut:
    along_mm: float
    front_slant: float  # mm along per mm to the front
    side_slant: float


def _stretches(coordinates: np.ndarray, cuts: list[_Cut], pitch_mm: np.ndarray) -> tuple[np.ndarray, ...]:
    """Of points (N, 3) along, front, side: what is known of their place.

    Returns: how many cuts lie above; the pitch; the distance to the curve; whether no cut is so near that the disc,
    which is no plane, may lie on the other side.
    """
    along, front, side = coordinates.T
    above = np.zeros(len(along), np.int64)
    sure = np.ones(len(along), bool)
    places = np.array([cut.along_mm for cut in cuts])
    for number, cut in enumerate(cuts):
        below = along - (cut.along_mm + cut.front_slant * front + cut.side_slant * side)
        above += below > 0
        to_next = np.abs(np.delete(places, number) - cut.along_mm).min(initial=np.inf)
        sure &= np.abs(below) > min(_DISC_REACH * pitch_mm[round(cut.along_mm / STEP_MM)], _OF_THIN_BODY * to_next)
    place = np.clip(np.rint(along / STEP_MM).astype(int), 0, len(pitch_mm) - 1)
    return above, pitch_mm[place], np.hypot(front, side), sure


def _cuts(straight: np.ndarray) -> tuple[np.ndarray, list[_Cut]]:
    """Pitch in mm (S,) and the cuts between bodies, of the straightened probability (S, front, side)."""
    pitch_mm = _pitch_mm(straight)
    bone, slants = _emptiest_cuts(straight, pitch_mm)
    full = ndimage.maximum_filter1d(bone, int(_PITCH_WINDOW_MM / STEP_MM), mode="nearest")
    share = bone / np.maximum(full, 1e-3)
    inside = np.flatnonzero(bone > 0.2 * full)
    if not inside.size:
        return pitch_mm, []
    dips = find_peaks(-share, prominence=_LEAST_DIP)[0]
    dips = np.union1d(dips, _ends_of_gaps(share, pitch_mm))
    dips = dips[(dips > inside[0]) & (dips < inside[-1])]
    places = np.concatenate([[inside[0]], dips, [inside[-1]]])
    chosen = _best_cuts(places, share, pitch_mm)
    return pitch_mm, [_Cut(STEP_MM * place, *slants[place]) for place in chosen]


def _pitch_mm(straight: np.ndarray) -> np.ndarray:
    """What the cross-section of the bodies around each place lets expect."""
    reach = np.arange(straight.shape[1]) - straight.shape[1] // 2
    near = reach[:, None] ** 2 + reach[None, :] ** 2 <= (25.0 / _ACROSS_MM) ** 2
    area = (straight * near).sum(axis=(1, 2)) * _ACROSS_MM**2
    window = min(int(_PITCH_WINDOW_MM / STEP_MM), len(area))
    typical = ndimage.percentile_filter(area, 75, size=window, mode="nearest")
    smooth = ndimage.gaussian_filter1d(typical, 20.0 / STEP_MM, mode="nearest")
    return np.maximum(_PITCH_OF_ROOT * np.sqrt(smooth), _LEAST_PITCH_MM)


def _emptiest_cuts(straight: np.ndarray, pitch_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean bone (S,) of the emptiest cut at each place, and its slants (S, 2)."""
    across = (np.arange(straight.shape[1]) - straight.shape[1] // 2) * _ACROSS_MM
    front, side = (grid.ravel() for grid in np.meshgrid(across, across, indexing="ij"))
    centre = np.arange(len(straight))
    least = np.full(len(straight), np.inf)
    slants = np.zeros((len(straight), 2))
    flat = straight.reshape(len(straight), -1)
    radius = _INNER_RADIUS * pitch_mm
    weight = (np.hypot(front, side)[None] <= radius[:, None]).astype(np.float32)
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1)
    used = np.flatnonzero(weight.any(axis=0))
    for front_slant, side_slant in product(_FRONT_SLANTS, _SIDE_SLANTS):
        bone = np.zeros(len(straight))
        for column in used:
            shift = (front_slant * front[column] + side_slant * side[column]) / STEP_MM
            bone += weight[:, column] * np.interp(centre + shift, centre, flat[:, column])
        # of equally empty cuts the straighter one
        bone += 0.01 * (front_slant**2 + side_slant**2)
        better = bone < least
        least[better] = bone[better]
        slants[better] = front_slant, side_slant
    return least, slants


def _ends_of_gaps(share: np.ndarray, pitch_mm: np.ndarray) -> np.ndarray:
    """Where stretches without bone begin and end that are longer than a disc: a body is missing there."""
    empty = np.concatenate([[False], share < _EMPTY, [False]]).astype(np.int8)
    first, beyond = (np.flatnonzero(np.diff(empty) == step) for step in (1, -1))
    long = (beyond - first) * STEP_MM > _DISC * pitch_mm[first]
    return np.concatenate([first[long], beyond[long] - 1])


def _best_cuts(places: np.ndarray, share: np.ndarray, pitch_mm: np.ndarray) -> list[int]:
    """The cuts among the places that make bodies of believable length, by dynamic programming.

    The first and the last place are the ends of the bone. A stretch with hardly any bone has no length to be believed.
    """
    filled = np.concatenate([[0.0], np.cumsum(share)])
    length = np.concatenate([[0.0], np.cumsum(STEP_MM / pitch_mm)])  # in pitches
    cost = np.full(len(places), np.inf)
    cost[0] = 0.0
    before = np.zeros(len(places), int)
    for last in range(1, len(places)):
        end = last == len(places) - 1
        cut = 0.0 if end else _CUT_COST * (share[places[last]] - _NEUTRAL_CUT)
        for first in range(last):
            a, b = places[first], places[last]
            bone = (filled[b] - filled[a]) / (b - a)
            ratio = np.log(max(length[b] - length[a], 0.05))
            per_square = _LONG_COST if ratio > 0 else _SHORT_COST * (_END_SHARE if end or first == 0 else 1.0)
            total = cost[first] + cut + (0.0 if bone < _GAP_BELOW else per_square * ratio**2)
            if total < cost[last]:
                cost[last], before[last] = total, first
    chosen = []
    at = before[len(places) - 1]
    while at > 0:
        chosen.append(int(places[at]))
        at = before[at]
    return chosen[::-1]


def _parts_near_curve(stretch: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """The largest part that reaches the curve, and the others there: a hole may have cut the body in two."""
    parts, count = ndimage.label(stretch)
    if count == 0:
        return stretch
    nearest = ndimage.minimum(distance, parts, range(1, count + 1))
    middle = ndimage.median(distance, parts, range(1, count + 1))
    keep = (np.asarray(nearest) < 0.3) & (np.asarray(middle) < _NEAR_CURVE)
    return np.concatenate([[False], keep])[parts]
