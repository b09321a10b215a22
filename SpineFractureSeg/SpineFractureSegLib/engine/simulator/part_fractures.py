"""Fractures of a part of a vertebra, labelled voxel by voxel while the body beside it stays intact; and of S1's body.

Odontoid types after Anderson and D'Alonzo: II through the base of the dens, III through the body below it.
"""

import numpy as np

from SpineFractureSegLib.engine.simulator.config import SimulationConfig
from SpineFractureSegLib.engine.simulator.deformation import Deformation
from SpineFractureSegLib.engine.simulator.fragment import Fragment, Region, weight_round
from SpineFractureSegLib.engine.simulator.opening import Cleft, draw_waves
from SpineFractureSegLib.engine.simulator.sacrum import SACRUM
from SpineFractureSegLib.engine.simulator.shapes import Spine
from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame
from SpineFractureSegLib.engine.simulator.vertebra_parts import (
    AXIS,
    Part,
    dens,
    lamina,
    pars,
    sacral_wing,
    spinous_process,
    transverse_process,
)
from SpineFractureSegLib.engine.simulator.walls import FrontStep
from SpineFractureSegLib.engine.vertebrae.vertebra import PLACES

ODONTOID, SPINOUS, TRANSVERSE, ARCH, WING, SACRAL_BODY = PART_KINDS = (
    "odontoid",
    "spinous",
    "transverse",
    "arch",
    "sacral_wing",
    "sacral_body",
)
_C5, _T4, _T12, _L5 = 5, 11, 19, 24
LEVELS = {  # where the part can be broken: the processes that stand alone, not those under ribs
    ODONTOID: (AXIS,),
    SPINOUS: (*range(_C5, _T4), *range(_T12, _L5 + 1)),
    TRANSVERSE: tuple(range(_T12 + 1, _L5 + 1)),
    ARCH: (*range(3, _C5 + 3), *range(_T12, _L5 + 1)),
    WING: (SACRUM,),
    SACRAL_BODY: (SACRUM,),
}
_PART = {ODONTOID: "dens", SPINOUS: "spinous process", TRANSVERSE: "transverse process", ARCH: "arch", WING: "ala"}
_ZONE_MM = {ODONTOID: 3.0, SPINOUS: 4.0, TRANSVERSE: 4.0, ARCH: 6.0, WING: 8.0}  # labelled beside the plane


def draw_part_fracture(
    rng: np.random.Generator,
    spine: Spine,
    frames: dict[int, VertebraFrame],
    vertebra: int,
    kind: str,
    config: SimulationConfig,
) -> Deformation | None:
    """A fracture of one part of one vertebra; None where its label has no such part.

    Args: frames: of the spine, that of S1 included; vertebra: has a frame; kind: one of ``PART_KINDS``.
    """
    if kind == SACRAL_BODY:
        return _sacral_body(rng, frames[SACRUM], config, narrowest_mm=max(1.5, 0.6 * spine.slice_step_mm))
    side = int(rng.choice((-1, 1)))
    if kind == ODONTOID:
        broken = [_odontoid(rng, dens(spine, frames), config)]
    elif kind == SPINOUS:
        broken = [_process(rng, spinous_process(spine, frames[vertebra]), kind, (0.3, 0.7), config)]
    elif kind == TRANSVERSE:
        broken = [_process(rng, transverse_process(spine, frames[vertebra], side), kind, (0.1, 0.5), config)]
    elif kind == ARCH:
        find = pars if rng.random() < 0.6 else lamina
        sides = (-1, 1) if rng.random() < 0.35 else (side,)
        broken = [_broken_across(rng, find(spine, frames[vertebra], s), kind, (-2.0, 2.0), config) for s in sides]
    else:
        broken = [_broken_across(rng, sacral_wing(spine, frames[SACRUM], side), kind, (3.0, 11.0), config)]
    found = [pair for pair in broken if pair is not None]
    if not found:
        return None
    return Deformation(
        maps=[fragment for fragment, _ in found],
        height_loss=dict.fromkeys(PLACES, 0.0),
        kind=kind,
        age="acute",
        part=_PART[kind],
        label=tuple(region for _, region in found),
    )


def _sacral_body(
    rng: np.random.Generator, frame: VertebraFrame, config: SimulationConfig, narrowest_mm: float
) -> Deformation:
    """A line across the body of S1, with a step of its front wall; the whole body is the fracture."""
    normal = _tilted(rng, np.array([1.0, 0, 0]), 0.15)
    height_mm = rng.uniform(-0.3, 0.25) * frame.height_mm
    cleft = Cleft(
        frame,
        tuple(normal.tolist()),
        offset_mm=height_mm,
        gap_mm=max(narrowest_mm, rng.uniform(*config.cleft_mm)),
        waves=draw_waves(rng, rng.uniform(0.25, 0.7)),
        extent=1.0,
        place=(height_mm, rng.normal(0, 3), rng.normal(0, 5)),
        filling_hu=rng.uniform(-20, 60),
    )
    step = FrontStep(frame, rng.uniform(*config.step_mm), height_mm, rng.uniform(4, 7), sharp=rng.random() < 0.6)
    return Deformation([step, cleft], dict.fromkeys(PLACES, 0.0), SACRAL_BODY, "acute")


def _odontoid(rng: np.random.Generator, part: Part | None, config: SimulationConfig) -> tuple[Fragment, Region] | None:
    if part is None:
        return None
    at_mm = rng.uniform(-0.5, 2.5) if rng.random() < 0.65 else rng.uniform(-5, -2)  # type II, or III
    normal = _tilted(rng, part.axis, 0.18)
    slide = _across(normal, np.array([0, rng.choice((-1, 1)) * rng.uniform(0.3, 4.5), rng.normal(0, 0.6)]))
    lean = _across(normal, np.array([0, np.sign(slide[1]) * rng.uniform(0, 0.25), rng.normal(0, 0.05)]))
    return _fragment(rng, part, ODONTOID, part.root + at_mm * part.axis, normal, slide, lean, config, reach_mm=14)


def _process(
    rng: np.random.Generator,
    part: Part | None,
    kind: str,
    along: tuple[float, float],
    config: SimulationConfig,
) -> tuple[Fragment, Region] | None:
    """The tip of a process broken off, most often pulled down by the muscles."""
    if part is None:
        return None
    normal = _tilted(rng, part.axis, 0.25)
    down = np.array([-rng.uniform(*config.part_slide_mm), rng.normal(0, 1), rng.normal(0, 1)])
    lean = _across(normal, np.array([-rng.uniform(0, 0.15), 0, rng.normal(0, 0.05)]))
    point = part.root + rng.uniform(*along) * part.length_mm * part.axis
    return _fragment(rng, part, kind, point, normal, _across(normal, down), lean, config, reach_mm=7)


def _broken_across(
    rng: np.random.Generator,
    part: Part | None,
    kind: str,
    along_mm: tuple[float, float],
    config: SimulationConfig,
) -> tuple[Fragment, Region] | None:
    """A line across a part that stays joined at other places: it gapes and steps a little."""
    if part is None:
        return None
    normal = _tilted(rng, part.axis, 0.2)
    slide = _across(normal, rng.normal(0, 0.25 * config.part_slide_mm[1], 3))
    point = part.root + rng.uniform(*along_mm) * part.axis
    return _fragment(rng, part, kind, point, normal, slide, np.zeros(3), config, reach_mm=9, deep_mm=12.0)


def _fragment(
    rng: np.random.Generator,
    part: Part,
    kind: str,
    point: np.ndarray,
    normal: np.ndarray,
    slide: np.ndarray,
    lean: np.ndarray,
    config: SimulationConfig,
    reach_mm: float,
    deep_mm: float = np.inf,
) -> tuple[Fragment, Region] | None:
    """The map, and what is labelled: the fragment, or where it is joined beyond ``deep_mm`` its zone; both sides."""
    grid = np.indices(part.mask.shape, dtype=np.float32) + np.array(part.corner, np.float32)[:, None, None, None]
    beyond = np.tensordot(normal.astype(np.float32), grid - point.astype(np.float32)[:, None, None, None], 1)
    fragment = part.mask & (beyond > 0) & (beyond < deep_mm)
    zone = _ZONE_MM[kind]
    labelled = part.mask & (beyond > -zone) & (beyond < (zone if np.isfinite(deep_mm) else np.inf))
    if not fragment.any() or not (part.mask & (beyond < 0)).any():
        return None
    # wide enough to be seen in the scan that it is made in
    gap_mm = max(rng.uniform(*config.part_gap_mm), part.slice_step_mm) * (0.7 if np.isfinite(deep_mm) else 1.0)
    moved = Fragment(
        point,
        normal,
        weight_round(fragment, part.corner, reach_mm),
        gap_mm,
        slide,
        lean,
        draw_waves(rng, rng.uniform(0.15, 0.45)),
        rng.uniform(15, 60),
    )
    return moved, Region(part.corner, labelled)


def _tilted(rng: np.random.Generator, direction: np.ndarray, by: float) -> np.ndarray:
    vector = direction + rng.normal(0, by, 3)
    return vector / np.linalg.norm(vector)


def _across(normal: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """The share of a vector that lies in the plane."""
    return vector - normal * (normal @ vector)
