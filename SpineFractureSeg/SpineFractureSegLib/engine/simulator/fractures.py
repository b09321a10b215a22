"""One fracture of one vertebra, drawn at random: its maps, its age, and its heights re-measured on the label map.

Types after Genant (wedge, biconcave, crush) and Magerl (split, pincer, burst, flexion-distraction, here "chance"), and
"lateral", a wedge towards one side. Acute ones have clefts, steps and uneven endplates; healed ones are smooth.
"""

from dataclasses import replace

import numpy as np

from SpineFractureSegLib.engine.simulator.compression import draw_squeezes
from SpineFractureSegLib.engine.simulator.config import Range, SimulationConfig
from SpineFractureSegLib.engine.simulator.deformation import Deformation
from SpineFractureSegLib.engine.simulator.fragment import Region
from SpineFractureSegLib.engine.simulator.heights import measure_heights_mm
from SpineFractureSegLib.engine.simulator.opening import Cleft, draw_distraction, draw_waves
from SpineFractureSegLib.engine.simulator.shapes import Spine
from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame
from SpineFractureSegLib.engine.simulator.walls import CanalFragment, FrontStep, Widening
from SpineFractureSegLib.engine.vertebrae.heights import height_ratios

COMPRESSIONS = ("wedge", "lateral", "biconcave", "crush")
BURSTS = ("burst", "split", "pincer")
KINDS = (*COMPRESSIONS, *BURSTS, "chance")
HEALING = (*COMPRESSIONS, "burst", "pincer")  # a healed split or distraction leaves nothing to be seen
_SQUEEZED_AS = {"burst": "crush", "pincer": "biconcave"}
_REACH_MM = 70
_BONE_FROM_HU = 150
_TORN_MM = 8.0  # arch so far from a distraction's plane is neither called fractured nor intact
_ATTEMPTS = 6
_TOLERANCE = 0.08  # between the planned and the re-measured largest loss


def draw_fracture(
    rng: np.random.Generator,
    spine: Spine,
    frame: VertebraFrame,
    kind: str,
    height_loss: Range,
    config: SimulationConfig,
) -> Deformation | None:
    """A fracture whose re-measured heights are those planned; None when some draws all fail.

    Args: kind: one of ``KINDS``; height_loss: range of the largest of the three losses, for compression and burst.
    """
    acute = rng.random() < config.acute or kind not in HEALING
    if kind == "chance":
        return _draw_chance(rng, spine, frame)
    for _ in range(_ATTEMPTS):
        maps, planned = [], None
        if kind != "split":
            drawn = draw_squeezes(
                rng,
                frame,
                _squeezed_as(rng, kind, config),
                height_loss,
                config.lateral_tilt,
                intact=False,
                rough=1.0 if acute else 0.25,
            )
            if drawn is None:
                return None
            maps, losses = drawn
            planned = max(losses.values())
        maps = [*maps, *_lines_and_walls(rng, frame, kind, acute, config)]
        deformation = _measured(spine, frame, maps, kind, "acute" if acute else "healed")
        largest = max(deformation.height_loss.values())
        if planned is None or (abs(largest - planned) < _TOLERANCE and height_loss[0] <= largest <= height_loss[1]):
            return deformation
    return None


def _squeezed_as(rng: np.random.Generator, kind: str, config: SimulationConfig) -> str:
    """The kind of loss over the endplates, as ``draw_profile`` names it."""
    if kind == "wedge" and rng.random() < config.flat_wedges:
        return "flat wedge"
    return _SQUEEZED_AS.get(kind, kind)


def draw_intact(
    rng: np.random.Generator,
    spine: Spine,
    frame: VertebraFrame,
    kind: str,
    height_loss: Range,
    config: SimulationConfig,
    rough: float = 0.3,
) -> Deformation | None:
    """The natural variation of an intact body, by the same kind of map as a fracture."""
    drawn = draw_squeezes(rng, frame, kind, height_loss, config.lateral_tilt, intact=True, rough=rough)
    if drawn is None:
        return None
    deformation = _measured(spine, frame, drawn[0], "intact", "none")
    return deformation if max(deformation.height_loss.values()) <= config.dead_zone[0] else None


def _measured(spine: Spine, frame: VertebraFrame, maps: list, kind: str, age: str) -> Deformation:
    before, after = measure_heights_mm(spine, frame), measure_heights_mm(spine, frame, maps)
    loss = {place: round(1 - after[place] / max(before[place], 1e-6), 3) for place in before}
    return Deformation(maps, loss, kind, age, height_ratios(after))


def _lines_and_walls(
    rng: np.random.Generator, frame: VertebraFrame, kind: str, acute: bool, config: SimulationConfig
) -> list:
    maps = []
    if kind == "burst":
        maps += _burst(rng, frame, acute, config)
    if kind in ("split", "pincer"):
        maps += _split(rng, frame, config)
    if kind != "split" and rng.random() < config.cortical_step:
        maps.append(
            FrontStep(
                frame,
                rng.uniform(*config.step_mm) * (1 if acute else 0.6),
                frame.lower_plane[0] + rng.uniform(0.3, 0.95) * frame.height_mm,
                rng.uniform(3, 6),
                sharp=acute and rng.random() < 0.5,
            )
        )
    if kind in COMPRESSIONS:
        if rng.random() < 0.2:
            maps.append(_fragment(rng, frame, 0.4, config))
        if acute and rng.random() < config.cleft:
            maps.append(_cleft(rng, frame, _tilted(rng, (1, 0, 0), 0.2), rng.uniform(0.1, 0.42), 0.75, config))
    return maps


def _burst(rng: np.random.Generator, frame: VertebraFrame, acute: bool, config: SimulationConfig) -> list:
    maps = [_fragment(rng, frame, 1.0, config), Widening(frame, rng.uniform(1, 3.5))]
    if acute:
        maps.append(
            _cleft(rng, frame, _tilted(rng, (0, 0, 1), 0.25), rng.normal(0, 0.1), 1.0, config, gas_allowed=False)
        )  # sagittal, through the middle, as burst bodies break
        for _ in range(rng.integers(1, 4)):
            normal = _tilted(rng, rng.normal(0, 1, 3), 0.0)
            maps.append(_cleft(rng, frame, normal, rng.uniform(-0.25, 0.35), 0.8, config, gas_allowed=False))
    return maps


def _fragment(
    rng: np.random.Generator, frame: VertebraFrame, strength: float, config: SimulationConfig
) -> CanalFragment:
    return CanalFragment(
        frame,
        push_mm=strength * rng.uniform(*config.retropulsion_mm),
        below_plate_mm=rng.uniform(0.4, 0.75) * frame.height_mm,
        half_width_mm=rng.uniform(0.35, 0.6) * frame.width_range[1],
    )


def _split(rng: np.random.Generator, frame: VertebraFrame, config: SimulationConfig) -> list:
    """A gap from endplate to endplate: coronal most often, else sagittal."""
    normal = _tilted(rng, (0, 1, 0) if rng.random() < 0.7 else (0, 0, 1), 0.2)
    return [_cleft(rng, frame, normal, rng.normal(0, 0.08), 1.0, config, narrowest_mm=1.8, gas_allowed=False)]


def _draw_chance(rng: np.random.Generator, spine: Spine, frame: VertebraFrame) -> Deformation:
    """Through body and arch; the arch is broken, too, but the body is what is labelled."""
    start = np.maximum(np.floor(frame.centre - _REACH_MM), 0).astype(int)
    near = tuple(slice(low, int(at + _REACH_MM)) for low, at in zip(start, frame.centre, strict=True))
    bone = spine.vertebrae[near] == frame.vertebra
    if spine.hu is not None and not spine.has_arches:
        bone |= spine.hu[near] > _BONE_FROM_HU
    points = (np.argwhere(bone) + start).T.astype(np.float32)
    distraction = draw_distraction(rng, points, frame, rng.uniform(20, 60))
    height, depth, width = frame.coordinates(points)
    torn = (np.abs(height - distraction.height_mm) < _TORN_MM) & (depth < frame.depth_range[0] + 2)
    arch = np.zeros(bone.shape, bool)
    arch[tuple((points[:, torn & (np.abs(width) < 40)] - start[:, None]).astype(int))] = True
    deformation = _measured(spine, frame, [distraction], "chance", "acute")
    return replace(deformation, label=(Region(tuple(start.tolist()), arch),))


def _cleft(
    rng: np.random.Generator,
    frame: VertebraFrame,
    normal: tuple[float, float, float],
    offset_share: float,
    extent: float,
    config: SimulationConfig,
    narrowest_mm: float = 0.0,
    gas_allowed: bool = True,
) -> Cleft:
    """A cleft at a share of the body's size along its normal; fluid or blood fills it, gas now and then."""
    gas = gas_allowed and rng.random() < config.gas
    size = (frame.height_mm, *(high - low for low, high in (frame.depth_range, frame.width_range)))
    along = float(np.abs(normal) @ size)
    place = tuple(offset_share * along * n + rng.normal(0, 0.08) * s for n, s in zip(normal, size, strict=True))
    return Cleft(
        frame,
        normal,
        offset_mm=offset_share * along,
        gap_mm=max(narrowest_mm, rng.uniform(*config.cleft_mm)),
        waves=draw_waves(rng, rng.uniform(0.25, 0.7)),
        extent=extent,
        place=place,
        filling_hu=rng.uniform(-900, -350) if gas else rng.uniform(-20, 60),
    )


def _tilted(
    rng: np.random.Generator, direction: tuple[float, float, float] | np.ndarray, by: float
) -> tuple[float, float, float]:
    vector = np.asarray(direction, float) / np.linalg.norm(direction) + rng.normal(0, by, 3)
    return tuple((vector / np.linalg.norm(vector)).tolist())
