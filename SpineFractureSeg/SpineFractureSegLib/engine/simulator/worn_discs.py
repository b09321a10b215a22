"""Worn discs (osteochondrosis): the space narrows, both endplates turn dense and grow spurs, gas may gather in between.

The commonest finding in an older spine, and no fracture: the column above comes down by some millimetres, and two
bright bands with hardly a gap between them look like one pressed-in endplate.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from SpineFractureSegLib.engine.simulator.beside_body import add_osteophytes
from SpineFractureSegLib.engine.simulator.body_coordinates import body_coordinates
from SpineFractureSegLib.engine.simulator.compression import SOFT_DISC, THINNEST_DISC_MM, Squeeze
from SpineFractureSegLib.engine.simulator.deformation import Deformation, Origin
from SpineFractureSegLib.engine.simulator.loss_profile import STEEPEST, Descent, LossProfile
from SpineFractureSegLib.engine.simulator.mimics import dense_endplate
from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame
from SpineFractureSegLib.engine.vertebrae.vertebra import PLACES

_THINNEST_MM = 3.0  # a disc that is lower already stays
_WORN = (0.3, 1.0)  # share of the height that a disc can lose
_SCLEROSIS_MM = (2.0, 9.0)
_SCLEROSIS, _SPURS, _GAS = 0.7, 0.5, 0.25  # probability of each endplate, of each body, of the disc
_REACH_MM = 45.0


def draw_worn_discs(frames: Mapping[int, VertebraFrame], chance: float, seed: int) -> dict[int, Descent]:
    """How the column comes down onto the body below a worn disc, by that body. Every disc has a random stream.

    Args: frames: of the bodies beside the discs that may be worn.
    """
    worn = {}
    for vertebra, frame in frames.items():
        rng = np.random.default_rng((seed, 15, vertebra))
        if vertebra - 1 in frames and frame.disc_above_mm >= _THINNEST_MM and rng.random() < chance:
            share = rng.uniform(*_WORN)
            forward = np.clip(share * _opening(frame, frames[vertebra - 1]), -STEEPEST, STEEPEST)
            worn[vertebra] = Descent(
                float(share * (SOFT_DISC * frame.disc_above_mm - THINNEST_DISC_MM)), float(forward)
            )
    return worn


def _opening(below: VertebraFrame, above: VertebraFrame) -> float:
    """By how many mm the gap between two bodies grows with each mm to the front; wear makes endplates parallel."""
    depth = np.array(above.depth_range)
    height = above.lower_plane[0] + above.lower_plane[1] * depth
    plate = above.centre[:, None] + above.up[:, None] * height + above.front[:, None] * depth
    height, depth, _ = below.coordinates(plate)
    gap = height - below.upper_plane[0] - below.upper_plane[1] * depth
    return float((gap[1] - gap[0]) / (depth[1] - depth[0]))


def with_worn_discs(frames: Mapping[int, VertebraFrame], worn: Mapping[int, Descent]) -> dict[int, VertebraFrame]:
    """The frames as they are once the discs have narrowed: what a fracture has to stretch or squeeze."""
    lost_mm = {i: descent.centre_mm / SOFT_DISC for i, descent in worn.items()}
    return {
        i: replace(
            frame,
            disc_above_mm=frame.disc_above_mm - lost_mm.get(i, 0.0),
            disc_below_mm=frame.disc_below_mm - lost_mm.get(i + 1, 0.0),
        )
        for i, frame in frames.items()
    }


def narrowed(
    plan: Mapping[int, Deformation], frames: Mapping[int, VertebraFrame], worn: Mapping[int, Descent]
) -> dict[int, Deformation]:
    """The plan with the narrowing behind each vertebra's own maps: the disc wore before the body broke."""
    result = dict(plan)
    for vertebra, descent in worn.items():
        nothing_lost = LossProfile(np.zeros((1, 1), np.float32), descent, (0.0, 0.0), (0.0, 1.0))
        own = result.get(vertebra, Deformation([], dict.fromkeys(PLACES, 0.0)))
        result[vertebra] = replace(own, maps=[*own.maps, Squeeze(frames[vertebra], nothing_lost)])
    return result


def paint_worn_disc(
    hu: np.ndarray,
    body_ids: np.ndarray,
    voxels: Mapping[int, np.ndarray],
    frames: Mapping[int, VertebraFrame],
    vertebra: int,
    origin: Origin,
    rng: np.random.Generator,
) -> None:
    """Draws one worn disc's endplates, spurs and gas into hu float32 and body_ids uint8, both (Z, Y, X), in place.

    Args: voxels: flat indices of each body, by id; vertebra: below the disc.
    """
    flat = hu.ravel()
    for neighbor, endplate in ((vertebra, 1.0), (vertebra - 1, 0.0)):
        if neighbor not in voxels:
            continue
        inside, frame = voxels[neighbor], frames[neighbor]
        if rng.random() < _SCLEROSIS:
            body = body_coordinates(frame, inside, origin.points, origin.compression)
            flat[inside] = dense_endplate(flat[inside], body, endplate, rng.uniform(*_SCLEROSIS_MM), rng)
        if rng.random() < _SPURS:
            add_osteophytes(hu, body_ids, frame, origin, rng)
    if rng.random() < _GAS:
        _add_gas(flat, body_ids, frames[vertebra - 1], frames[vertebra], origin, rng)


def _add_gas(
    flat: np.ndarray,
    body_ids: np.ndarray,
    above: VertebraFrame,
    below: VertebraFrame,
    origin: Origin,
    rng: np.random.Generator,
) -> None:
    """A flat lens of gas between the endplates, in place."""
    near = below.near(origin.points, _REACH_MM)
    near = near[body_ids.ravel()[near] == 0]
    height, depth, width = below.coordinates(origin.points[:, near])
    over = height - below.endplates(depth, width)[1]
    up, forward, sideward = above.coordinates(origin.points[:, near])
    under = above.endplates(forward, sideward)[0] - up
    middle = np.mean(below.depth_range) + rng.normal(0, 4), np.mean(below.width_range) + rng.normal(0, 4)
    size = (rng.uniform(0.4, 0.9) * np.ptp(reach) / 2 for reach in (below.depth_range, below.width_range))
    radius = np.sqrt(sum(((at - m) / s) ** 2 for at, m, s in zip((depth, width), middle, size, strict=True)))
    lens = np.clip(1.2 - radius, 0, 1) * ((over > 0) & (under > 0))
    lens *= np.exp(-((5 * (over / np.maximum(over + under, 1e-3) - rng.uniform(0.35, 0.65))) ** 2))
    share = np.clip(1.6 * lens, 0, 1)
    flat[near] += share * (rng.uniform(-850, -150) - flat[near])
