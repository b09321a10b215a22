"""One simulated case: a spine is placed, some vertebrae are fractured, the image is made, a scanner looks at it.

Intact vertebrae are deformed mildly by the same maps, and every case is resampled the same way, so that neither the
interpolation nor the place in the volume tells which vertebra is fractured. Its twin is the same case without the
fractures: same spine, pose, texture and scan.
"""

from dataclasses import dataclass, replace

import numpy as np

from SpineFractureSegLib.engine.case import Case
from SpineFractureSegLib.engine.simulator.acquisition import acquire
from SpineFractureSegLib.engine.simulator.config import SimulationConfig
from SpineFractureSegLib.engine.simulator.contrast_medium import add_contrast_medium
from SpineFractureSegLib.engine.simulator.deformation import Deformation, deform
from SpineFractureSegLib.engine.simulator.loss_profile import Descent
from SpineFractureSegLib.engine.simulator.painting import paint
from SpineFractureSegLib.engine.simulator.plan import candidates_of, choose_centre, plan_deformations
from SpineFractureSegLib.engine.simulator.pose import posed_points
from SpineFractureSegLib.engine.simulator.sacrum import SACRUM, draw_transition, first_sacral_frame, with_sacrum
from SpineFractureSegLib.engine.simulator.sampling import sample_spine
from SpineFractureSegLib.engine.simulator.shapes import Spine
from SpineFractureSegLib.engine.simulator.truth import drawn_map, truth_of
from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame, frames_of
from SpineFractureSegLib.engine.simulator.worn_discs import draw_worn_discs, narrowed, with_worn_discs


@dataclass(frozen=True)
class Layout:
    """What of a case is decided before there is an image."""

    spine: Spine  # with its sacrum
    frames: dict[int, VertebraFrame]  # of S1, too
    centre: np.ndarray  # (3,) z, y, x of the spine's grid: the middle of the case
    plan: dict[int, Deformation]
    worn: dict[int, Descent]  # of the column onto the body below a worn disc, by that body
    rng: np.random.Generator  # of what is decided next


def lay_out(spine: Spine, seed: int, config: SimulationConfig, fractured: bool = True) -> Layout:
    """Chooses place and deformations of a case. Arguments and errors as ``simulate_case``."""
    rng = np.random.default_rng((seed, 0))
    spine = with_sacrum(spine, rng, draw_transition(rng, config.transitional))
    frames = frames_of(spine)
    centre = choose_centre(rng, spine, frames, config)
    first_sacral = first_sacral_frame(spine)
    if first_sacral is not None:
        frames = frames | {SACRUM: first_sacral}
    worn = draw_worn_discs({i: frames[i] for i in candidates_of(spine, frames)}, config.worn_discs, seed)
    plan = plan_deformations(spine, with_worn_discs(frames, worn), centre, config, seed, fractured)
    return Layout(spine, frames, centre, narrowed(plan, frames, worn), worn, rng)


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
    layout = lay_out(spine, seed, config, fractured)
    spine, frames, plan, rng = layout.spine, layout.frames, layout.plan, layout.rng
    origin = deform(posed_points(rng, layout.centre, config), plan)
    hu, body_ids = sample_spine(spine, origin.points, config.shape, rng)
    painted = paint(hu, body_ids, spine, frames, plan, layout.worn, origin, config, seed)
    contrast = spine.hu is not None and np.random.default_rng((seed, 13)).random() < config.contrast_medium
    if contrast:
        add_contrast_medium(hu, body_ids > 0, np.random.default_rng((seed, 14)))
    hu, scan = acquire(hu, spine.hu is not None, config, np.random.default_rng((seed, 5)))

    known = truth_of(spine, plan, body_ids)
    known["truth"] |= {"scan": scan | {"added_contrast_medium": bool(contrast)}, "screws": painted.screws}
    visible = set(np.unique(body_ids).tolist())
    known["truth"]["worn_discs"] = {
        str(i): round(descent.centre_mm, 2) for i, descent in layout.worn.items() if {i, i - 1} & visible
    }
    case = Case(
        name=f"{spine.name}-{seed}{'' if fractured else '-intact'}",
        patient=spine.patient,
        hu=hu,
        bodies=body_ids,
        fracture_map=drawn_map(plan, origin.points, config.shape),
        **known,
    )
    return _mirrored(case) if np.random.default_rng((seed, 6)).random() < 0.5 else case


def _mirrored(case: Case) -> Case:
    names = ("hu", "bodies") if case.fracture_map is None else ("hu", "bodies", "fracture_map")
    return replace(case, **{name: np.ascontiguousarray(getattr(case, name)[:, :, ::-1]) for name in names})
