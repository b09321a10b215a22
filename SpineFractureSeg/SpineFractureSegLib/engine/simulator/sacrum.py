"""The sacrum as an explicit negative: the body of S1, which is wedged by nature, belongs to every lumbar case.

Where a label map holds the sacrum, S1's body is found in it; a label map without CT that ends at L5 gets a made sacrum.
"""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from SpineFractureSegLib.engine.simulator.shapes import Spine, once_per_spine
from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame, frames_of

SACRUM = 26
LUMBARIZED, SACRALIZED, NONE = "lumbarized", "sacralized", "none"
_LAST_LUMBAR = (24, 25)
_ROOM_MM = (75, 40, 25)  # added below, behind and to both sides for a made sacrum
_SMALLEST_BODY = 6000  # mm3
_SEGMENTS_MM = np.cumsum((28.0, 24.0, 20.0, 17.0, 14.0))


def draw_transition(rng: np.random.Generator, chance: float) -> str:
    """ "lumbarized", "sacralized" or "none": how the last lumbar vertebra and a made sacrum pass into each other."""
    return str(rng.choice((LUMBARIZED, SACRALIZED))) if rng.random() < chance else NONE


def with_sacrum(spine: Spine, rng: np.random.Generator, transition: str = NONE) -> Spine:
    """The spine with S1's body: as labelled, else found in its sacrum, else made; a CT without it stays as it is.

    Args: transition: of a made sacrum, from ``draw_transition``.
    """
    bodies = spine.vertebrae[spine.bodies]
    if (bodies == SACRUM).any():
        return spine
    if (spine.vertebrae == SACRUM).any():
        return replace(spine, bodies=spine.bodies | first_sacral_body(spine.vertebrae == SACRUM))
    if spine.hu is not None or not np.isin(bodies, _LAST_LUMBAR).any():
        return spine
    below, behind, beside = _ROOM_MM
    room = ((below, 0), (0, behind), (beside, beside))
    grown = replace(spine, vertebrae=np.pad(spine.vertebrae, room), bodies=np.pad(spine.bodies, room))
    frames = frames_of(grown)
    last = next((frames[i] for i in reversed(_LAST_LUMBAR) if i in frames), None)
    return spine if last is None else _with_made_sacrum(grown, last, rng, transition)


def first_sacral_body(sacrum: np.ndarray) -> np.ndarray:
    """S1's body in a label of the whole sacrum: the block below its upper, forward endplate.

    Args: sacrum: bool (Z, Y, X) at 1 mm, y to the back. Returns: bool (Z, Y, X).
    """
    z, y, x = np.nonzero(sacrum)
    upper = z > z.max() - 25
    middle = np.median(x[upper])
    central = np.abs(x - middle) < 12
    edge = z * 0.6 - y * 0.8  # the promontory is where this is largest
    promontory = np.argmax(np.where(central, edge, -np.inf))
    below = -0.77 * (z - z[promontory]) + 0.64 * (y - y[promontory])  # mm down S1's axis, tilted by 40 degrees
    behind = 0.64 * (z - z[promontory]) + 0.77 * (y - y[promontory])
    inside = (below < 27) & (np.abs(x - middle) < 25) & (behind < 33 - 0.4 * np.maximum(below, 0))
    body = np.zeros_like(sacrum)
    body[z[inside], y[inside], x[inside]] = True
    body = ndimage.binary_opening(body, iterations=2)
    parts, count = ndimage.label(body)
    return body if count == 0 else parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])


@once_per_spine
def first_sacral_frame(spine: Spine) -> VertebraFrame | None:
    """The frame of S1's body, its axis tilted by 40 degrees; None where the spine has none or too little of it."""
    first = spine.bodies & (spine.vertebrae == SACRUM)
    if np.count_nonzero(first) < _SMALLEST_BODY:
        return None
    points = np.argwhere(first).T.astype(np.float32)
    centre = points.mean(axis=1)
    up, front = np.array([0.77, -0.64, 0], np.float32), np.array([-0.64, -0.77, 0], np.float32)
    side = np.cross(up, front)
    height, depth, width = (np.percentile(axis @ (points - centre[:, None]), (2, 98)) for axis in (up, front, side))
    upper, lower = (np.array([edge, 0, 0], np.float32) for edge in height[::-1])
    return VertebraFrame(
        SACRUM, centre, up, front, side, upper, lower, tuple(depth.tolist()), tuple(width.tolist()), 6.0, 2.0
    )


def _with_made_sacrum(spine: Spine, last: VertebraFrame, rng: np.random.Generator, transition: str) -> Spine:
    """A curved, tapering row of fused bodies with wings, canal and back plate below the last lumbar vertebra.

    Lumbarized: S1 has a real disc below and short wings. Sacralized: the last lumbar vertebra sits on a thin disc and
    its transverse processes grow onto the wings.
    """
    line, angle = _curve(last, rng, disc_mm=rng.uniform(2.5, 4.5) if transition == SACRALIZED else rng.uniform(7, 12))
    box = tuple(
        slice(max(0, int(at.min()) - 35), min(size, int(at.max()) + 35))
        for at, size in zip(line, spine.vertebrae.shape[:2], strict=True)
    )
    z, y = np.mgrid[box].astype(np.float32)
    distance = (z[..., None] - line[0]) ** 2 + (y[..., None] - line[1]) ** 2
    along = distance.argmin(axis=-1)  # mm down the curve
    behind = (y - line[1][along]) * np.cos(angle[along]) + (z - line[0][along]) * np.sin(angle[along])
    past = (y - line[1][along]) * np.sin(angle[along]) - (z - line[0][along]) * np.cos(angle[along])
    on_curve = np.abs(past) < 1.5
    taper = 1 - along / (_SEGMENTS_MM[-1] + 12)
    x = np.arange(spine.vertebrae.shape[2], dtype=np.float32) - last.centre[2]
    width = 0.5 * np.ptp(last.width_range) * rng.uniform(0.9, 1.05)
    deep = 0.5 * np.ptp(last.depth_range) * rng.uniform(0.85, 1.0)
    half_depth, half_width = deep * (0.25 + 0.75 * taper), width * (0.35 + 0.65 * taper)
    waist = 1 - 0.08 * np.sin(np.pi * _within_segment(along))
    body = ((behind / (half_depth * waist))[..., None] ** 2 + (x / (half_width * waist)[..., None]) ** 2) < 1
    wing_reach = rng.uniform(46, 56) * np.clip(1.05 - along / 85, 0, 1) + 0.6 * half_width
    if transition == LUMBARIZED:
        wing_reach = np.where(along < 26, rng.uniform(0.5, 0.7) * wing_reach, wing_reach)
    wing_half = 0.75 * half_depth[..., None] * np.clip(1.15 - np.abs(x) / np.maximum(wing_reach, 1)[..., None], 0, 1)
    wing = np.abs(behind[..., None] - 0.2 * np.abs(x) + 2) < wing_half
    foramen = np.hypot(np.abs(x) - (half_width + 4)[..., None], (_within_segment(along) - 1)[..., None] * 12) < 5
    plate = np.abs(behind - half_depth - 12 * taper - 4)[..., None] < 2.5 * (np.abs(x) < 1.1 * half_width[..., None])
    # the remnant of the disc S1/S2, or that disc
    disc = (along > 27) & (along < (rng.uniform(32, 34) if transition == LUMBARIZED else 29.5))
    sacrum = (body | (wing & ~foramen) | plate) & (on_curve & ~disc)[..., None] & (spine.vertebrae[box] == 0)
    vertebrae, bodies = spine.vertebrae.copy(), spine.bodies.copy()
    vertebrae[box][sacrum] = SACRUM
    bodies[box] |= sacrum & body & (along < 28)[..., None]
    if transition == SACRALIZED:
        _join_processes(vertebrae[box], last, x, rng)
    return replace(spine, vertebrae=vertebrae, bodies=bodies)


def _join_processes(vertebrae: np.ndarray, last: VertebraFrame, x: np.ndarray, rng: np.random.Generator) -> None:
    """Fills what is between the last lumbar transverse processes and the wings, on one side or both, in place."""
    sides = (-1, 1) if rng.random() < 0.5 else (int(rng.choice((-1, 1))),)
    beside = np.any([side * x > last.width_range[1] for side in sides], axis=0)
    bone = ((vertebrae == SACRUM) | (vertebrae == last.vertebra)).view(np.uint8)
    reach = 2 * int(rng.integers(8, 13)) + 1
    joined = ndimage.minimum_filter1d(ndimage.maximum_filter1d(bone, reach, axis=0), reach, axis=0)
    vertebrae[(joined > 0) & (vertebrae == 0) & beside] = last.vertebra


def _curve(last: VertebraFrame, rng: np.random.Generator, disc_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """The middle line (2, T) in z and y, one point a mm, and its angle backwards from straight down."""
    down = np.arctan2(-last.up[1], last.up[0])
    plate = last.centre - last.up * (disc_mm - last.lower_plane[0])
    along = np.arange(int(_SEGMENTS_MM[-1]))
    start = np.clip(down + rng.uniform(0.1, 0.35), 0.35, 0.85)
    angle = start + 0.35 * np.sin(np.pi * along / 75) - rng.uniform(0.6, 1.0) * np.clip(along / 60 - 0.75, 0, None)
    line = np.stack([plate[0] - np.cumsum(np.cos(angle)), plate[1] + np.cumsum(np.sin(angle))])
    return line.astype(np.float32), angle.astype(np.float32)


def _within_segment(along: np.ndarray) -> np.ndarray:
    """0 at the upper end of a segment, 1 at its lower end."""
    ends = np.concatenate([[0.0], _SEGMENTS_MM])
    segment = np.clip(np.searchsorted(ends, along, side="right") - 1, 0, len(ends) - 2)
    return (along - ends[segment]) / (ends[segment + 1] - ends[segment])
