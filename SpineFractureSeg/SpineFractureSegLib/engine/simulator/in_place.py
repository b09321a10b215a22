"""A simulated fracture in a CT that otherwise stays as it is: same grid, same pose, same scanner."""

import numpy as np

from SpineFractureSegLib.engine.case import Case
from SpineFractureSegLib.engine.simulator.config import SimulationConfig
from SpineFractureSegLib.engine.simulator.deformation import deform
from SpineFractureSegLib.engine.simulator.fractures import draw_fracture
from SpineFractureSegLib.engine.simulator.painting import paint
from SpineFractureSegLib.engine.simulator.part_fractures import LEVELS, PART_KINDS, draw_part_fracture
from SpineFractureSegLib.engine.simulator.sacrum import SACRUM, first_sacral_frame, with_sacrum
from SpineFractureSegLib.engine.simulator.sampling import sample_spine
from SpineFractureSegLib.engine.simulator.shapes import Spine
from SpineFractureSegLib.engine.simulator.truth import drawn_map, truth_of
from SpineFractureSegLib.engine.simulator.vertebra_frame import frames_of

UNTOUCHED = SimulationConfig(mimics=0.0, cement=0.0, implants=0.0)
_DRAWS = 8  # a narrow range of losses is missed by every third draw


def fracture_in_place(
    spine: Spine,
    vertebra: int,
    kind: str,
    height_loss: tuple[float, float],
    seed: int,
    config: SimulationConfig = UNTOUCHED,
) -> Case:
    """Fractures one vertebra of a spine with a CT; what lies above comes down with it, all else stays.

    Args:
        vertebra: VerSe id; kind: one of ``fractures.KINDS`` or ``part_fractures.PART_KINDS``.
        height_loss: (low, high) of the largest loss, for compression and burst.

    Raises: ValueError, when the spine has no CT or the vertebra cannot be fractured as asked.
    """
    if spine.hu is None:
        raise ValueError(f"spine {spine.name} has no CT")
    rng = np.random.default_rng(seed)
    spine = with_sacrum(spine, rng)
    frames, first_sacral = frames_of(spine), first_sacral_frame(spine)
    if first_sacral is not None:
        frames = frames | {SACRUM: first_sacral}
    if vertebra not in frames:
        raise ValueError(f"spine {spine.name} has no complete vertebra {vertebra}, only {sorted(frames)}")
    if kind in PART_KINDS:
        if vertebra not in LEVELS[kind]:
            raise ValueError(f"{kind} fractures are made at {LEVELS[kind]}, not at {vertebra}")
        deformation = draw_part_fracture(rng, spine, frames, vertebra, kind, config)
    elif vertebra == SACRUM:
        raise ValueError(f"{kind} fractures are not made of the sacrum")
    else:
        drawn = (draw_fracture(rng, spine, frames[vertebra], kind, height_loss, config) for _ in range(_DRAWS))
        deformation = next((fracture for fracture in drawn if fracture is not None), None)
    if deformation is None and kind in PART_KINDS:
        raise ValueError(f"the label map holds no part of vertebra {vertebra} for a {kind} fracture")
    if deformation is None:
        raise ValueError(f"no {kind} with a height loss of {height_loss} was found for vertebra {vertebra}")
    plan = {vertebra: deformation}
    origin = deform(np.indices(spine.hu.shape, dtype=np.float32).reshape(3, -1), plan)
    hu, body_ids = sample_spine(spine, origin.points, spine.hu.shape, rng)
    paint(hu, body_ids, spine, frames, plan, (), origin, config, seed)
    return Case(
        name=f"{spine.name}-{kind}-{vertebra}",
        patient=spine.patient,
        hu=np.clip(np.round(hu), -1024, 3071).astype(np.int16),
        bodies=body_ids,
        fracture_map=drawn_map(plan, origin.points, spine.hu.shape),
        **truth_of(spine, plan, body_ids),
    )
