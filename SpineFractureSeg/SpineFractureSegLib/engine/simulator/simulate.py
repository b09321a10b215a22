"""One simulated case: a spine is placed, some vertebrae are fractured, the image is made, a scanner looks at it.

Intact vertebrae are deformed mildly by the same maps, and every case is resampled the same way, so that neither the
interpolation nor the place in the volume tells which vertebra is fractured. Its twin is the same case without the
fractures: same spine, pose, texture and scan.
"""

from dataclasses import replace

import numpy as np

from SpineFractureSegLib.engine.case import Case
from SpineFractureSegLib.engine.simulator.acquisition import acquire
from SpineFractureSegLib.engine.simulator.config import SimulationConfig
from SpineFractureSegLib.engine.simulator.deformation import deform
from SpineFractureSegLib.engine.simulator.painting import paint
from SpineFractureSegLib.engine.simulator.plan import choose_centre, plan_deformations
from SpineFractureSegLib.engine.simulator.pose import posed_points
from SpineFractureSegLib.engine.simulator.sacrum import with_sacrum
from SpineFractureSegLib.engine.simulator.sampling import sample_spine
from SpineFractureSegLib.engine.simulator.shapes import Spine
from SpineFractureSegLib.engine.simulator.truth import truth_of
from SpineFractureSegLib.engine.simulator.vertebra_frame import frames_of


def simulate_case(
    spine: Spine,
    seed: int,
    config: SimulationConfig = SimulationConfig(),  # noqa: B008
    fractured: bool = True,
) -> Case:
    """Simulates one case; the same arguments give the same case.

    Args: fractured: False gives the twin without simulated fractures; true ones of the spine stay.

    Raises: ValueError, when the spine has no vertebra that could be fractured.
    """
    rng = np.random.default_rng((seed, 0))
    spine = with_sacrum(spine, rng)
    frames = frames_of(spine)
    centre = choose_centre(rng, spine, frames, config)
    plan = plan_deformations(spine, frames, centre, config, seed, fractured)

    origin = deform(posed_points(rng, centre, config), plan)
    hu, body_ids = sample_spine(spine, origin.points, config.shape, rng)
    painted = paint(hu, body_ids, spine, frames, plan, origin, config, seed)
    hu, scan = acquire(hu, spine.hu is not None, config, np.random.default_rng((seed, 5)))

    known = truth_of(spine, plan, body_ids)
    known["truth"] |= {"scan": scan, "screws": painted.screws}
    case = Case(
        name=f"{spine.name}-{seed}{'' if fractured else '-intact'}",
        patient=spine.patient,
        hu=hu,
        bodies=body_ids,
        **known,
    )
    return _mirrored(case) if np.random.default_rng((seed, 6)).random() < 0.5 else case


def _mirrored(case: Case) -> Case:
    return replace(
        case, hu=np.ascontiguousarray(case.hu[:, :, ::-1]), bodies=np.ascontiguousarray(case.bodies[:, :, ::-1])
    )
