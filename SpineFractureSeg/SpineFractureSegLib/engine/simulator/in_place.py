"""A simulated fracture in a CT that otherwise stays as it is: same grid, same pose, same scanner."""

import numpy as np

from SpineFractureSegLib.engine.case import Case
from SpineFractureSegLib.engine.simulator.compression import draw_squeezes
from SpineFractureSegLib.engine.simulator.config import SimulationConfig
from SpineFractureSegLib.engine.simulator.shapes import Spine
from SpineFractureSegLib.engine.simulator.simulate import Deformation, deform, paint_bodies, sample_spine, truth_of
from SpineFractureSegLib.engine.simulator.vertebra_frame import frames_of


def fracture_in_place(
    spine: Spine,
    vertebra: int,
    kind: str,
    height_loss: tuple[float, float],
    seed: int,
    config: SimulationConfig = SimulationConfig(mimics=0.0),  # noqa: B008
) -> Case:
    """Fractures one vertebra of a spine with a CT; what lies above comes down with it, all else stays.

    Args:
        vertebra: VerSe id; kind: "wedge", "biconcave" or "crush"; height_loss: (low, high) of the largest loss.

    Raises: ValueError, when the spine has no CT or the vertebra cannot be fractured as asked.
    """
    if spine.hu is None:
        raise ValueError(f"spine {spine.name} has no CT")
    rng = np.random.default_rng(seed)
    frames = frames_of(spine)
    if vertebra not in frames:
        raise ValueError(f"spine {spine.name} has no complete vertebra {vertebra}, only {sorted(frames)}")
    drawn = draw_squeezes(rng, frames[vertebra], kind, height_loss, config.lateral_tilt, False)
    if drawn is None:
        raise ValueError(f"no {kind} with a height loss of {height_loss} was found for vertebra {vertebra}")
    deformations = {vertebra: Deformation(*drawn, kind)}
    points = np.indices(spine.hu.shape, dtype=np.float32).reshape(3, -1)
    origin, compression = deform(points, frames, deformations, config, rng)
    hu, vertebrae, bodies = sample_spine(spine, origin, spine.hu.shape, rng)
    body_ids = np.where(bodies, vertebrae, 0).astype(np.uint8)
    voxels = paint_bodies(hu, body_ids, spine, frames, deformations, origin, compression, config, rng)
    return Case(
        name=f"{spine.name}-{kind}-{vertebra}",
        patient=spine.patient,
        hu=np.clip(np.round(hu), -1024, 3071).astype(np.int16),
        bodies=body_ids,
        **truth_of(spine, deformations, voxels),
    )
