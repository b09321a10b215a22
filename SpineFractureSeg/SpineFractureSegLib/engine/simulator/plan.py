"""Which vertebrae of a case are fractured or vary, and how. Every vertebra draws from a random stream of its own.

So the same seed without fractures gives the same case in all else: the twin of the fractured one.
"""

import numpy as np

from SpineFractureSegLib.engine.simulator.config import SimulationConfig
from SpineFractureSegLib.engine.simulator.deformation import Deformation
from SpineFractureSegLib.engine.simulator.fractures import draw_fracture, draw_intact
from SpineFractureSegLib.engine.simulator.part_fractures import LEVELS, SACRAL_BODY, draw_part_fracture
from SpineFractureSegLib.engine.simulator.sacrum import SACRUM
from SpineFractureSegLib.engine.simulator.shapes import Spine
from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame

T11, L1 = 18, 20
T5, HIGHEST = 12, 3  # above C3 a body has no upper endplate


def candidates_of(spine: Spine, frames: dict[int, VertebraFrame]) -> list[int]:
    """Vertebrae that may be deformed: complete, of known state, and not truly fractured."""
    return [i for i in frames if HIGHEST <= i != SACRUM and i not in spine.genant and i not in spine.uncertain]


def choose_centre(
    rng: np.random.Generator, spine: Spine, frames: dict[int, VertebraFrame], config: SimulationConfig
) -> np.ndarray:
    """Middle (z, y, x) of the case on the spine's grid: some vertebra, far off the middle.

    Raises: ValueError, when the spine has no vertebra that could be fractured.
    """
    candidates, real = candidates_of(spine, frames), sorted(set(spine.genant) & set(frames))
    if not candidates and not real:
        raise ValueError(f"spine {spine.name} has no complete vertebra with a body")
    focus = int(rng.choice(real or candidates))
    if rng.random() > 0.75 and candidates:
        focus = int(rng.choice(candidates))
    return frames[focus].centre + (
        rng.uniform(-1, 1) * config.off_centre_mm[0],
        rng.uniform(-1, 1) * config.off_centre_mm[1],
        rng.normal(0, config.off_centre_mm[2]),
    )


def plan_deformations(
    spine: Spine,
    frames: dict[int, VertebraFrame],
    centre: np.ndarray,
    config: SimulationConfig,
    seed: int,
    fractured: bool = True,
) -> dict[int, Deformation]:
    """Fractures near the centre of the case, mild natural deformations elsewhere.

    Args: frames: of the spine's bodies, and of S1's.
    """
    rng = np.random.default_rng((seed, 1))
    reach = 0.42 * config.shape[0]
    near = [i for i in candidates_of(spine, frames) if abs(frames[i].centre[0] - centre[0]) < reach]
    chosen = _choose_fractured(rng, spine, frames, near, centre, config)
    bent = _scheuermann(rng, near, config)
    plan = _fractured_parts(spine, frames, centre, len(chosen), config, seed)
    chosen = chosen[len(plan) :]
    plan = plan if fractured else {}
    for vertebra in near:
        if vertebra in plan:
            continue
        own = np.random.default_rng((seed, 2, vertebra))
        frame = frames[vertebra]
        if vertebra in chosen and fractured:
            kind = str(own.choice(config.types, p=np.array(config.type_weights) / sum(config.type_weights)))
            deformation = draw_fracture(own, spine, frame, kind, config.height_loss, config)
        else:
            deformation = _natural(own, spine, frame, vertebra in bent, config)
        if deformation is not None:
            plan[vertebra] = deformation
    return plan


def _choose_fractured(
    rng: np.random.Generator,
    spine: Spine,
    frames: dict[int, VertebraFrame],
    near: list[int],
    centre: np.ndarray,
    config: SimulationConfig,
) -> list[int]:
    count = int(rng.choice(len(config.fracture_count), p=config.fracture_count))
    if spine.genant:  # a real fracture is there already
        count = min(count, 1) if rng.random() < 0.4 else 0
    count = min(count, len(near))
    if not count:
        return []
    weight = np.array([_nearness(frames[i], centre) for i in near])
    return rng.choice(near, count, replace=False, p=weight / weight.sum()).tolist()


def _fractured_parts(
    spine: Spine,
    frames: dict[int, VertebraFrame],
    centre: np.ndarray,
    fractures: int,
    config: SimulationConfig,
    seed: int,
) -> dict[int, Deformation]:
    """Those of the case's fractures that are of parts: what the label map has and lies near the centre."""
    rng = np.random.default_rng((seed, 10))
    count = int(rng.binomial(fractures, config.part_fractures))
    if not count:
        return {}
    places, weights = [], []
    for kind, weight in zip(config.part_types, config.part_weights, strict=True):
        levels = [i for i in LEVELS[kind] if i in frames and i not in spine.genant and i not in spine.uncertain]
        for vertebra in levels if kind == SACRAL_BODY or spine.has_arches else ():
            places.append((vertebra, kind))
            weights.append(weight * _nearness(frames[vertebra], centre) / len(levels))
    plan = {}
    while places and len(plan) < count and sum(weights) > 1e-3:
        drawn = int(rng.choice(len(places), p=np.array(weights) / sum(weights)))
        (vertebra, kind), _ = places.pop(drawn), weights.pop(drawn)
        if vertebra not in plan:
            deformation = draw_part_fracture(rng, spine, frames, vertebra, kind, config)
            plan |= {} if deformation is None else {vertebra: deformation}
    return plan


def _nearness(frame: VertebraFrame, centre: np.ndarray) -> float:
    return float(np.exp(-(((frame.centre[0] - centre[0]) / 50) ** 2)))


def _scheuermann(rng: np.random.Generator, near: list[int], config: SimulationConfig) -> set[int]:
    """Three or four neighbours of the middle and lower thoracic spine, or none."""
    starts = [i for i in near if T5 <= i <= T11 and {i + 1, i + 2} <= set(near)]
    if rng.random() >= config.scheuermann or not starts:
        return set()
    first = int(rng.choice(starts))
    return set(range(first, first + int(rng.integers(3, 5))))


def _natural(
    rng: np.random.Generator, spine: Spine, frame: VertebraFrame, scheuermann: bool, config: SimulationConfig
) -> Deformation | None:
    highest = config.intact_height_loss[1]
    if scheuermann:
        return draw_intact(rng, spine, frame, "wedge", (0.6 * highest, highest), config, rough=1.0)
    if T11 <= frame.vertebra <= L1 and rng.random() < config.physiological_wedge:
        return draw_intact(rng, spine, frame, "wedge", (0.3 * highest, highest), config)
    if rng.random() < config.intact_deformed:
        kind = str(rng.choice(("wedge", "biconcave", "lateral"), p=(0.55, 0.3, 0.15)))
        return draw_intact(rng, spine, frame, kind, config.intact_height_loss, config)
    return None
