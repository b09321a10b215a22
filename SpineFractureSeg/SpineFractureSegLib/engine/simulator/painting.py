"""What is drawn into a case's image after its shape: fracture lines, mimics, blood, osteophytes, cement, metal."""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from SpineFractureSegLib.engine.simulator.beside_body import add_osteophytes, add_swelling
from SpineFractureSegLib.engine.simulator.body_coordinates import body_coordinates
from SpineFractureSegLib.engine.simulator.config import SimulationConfig
from SpineFractureSegLib.engine.simulator.deformation import Deformation, Origin
from SpineFractureSegLib.engine.simulator.fracture_lines import fill_gaps, fracture_hu
from SpineFractureSegLib.engine.simulator.implants import add_screws, add_streaks, cement_hu
from SpineFractureSegLib.engine.simulator.mimics import degenerate_hu
from SpineFractureSegLib.engine.simulator.sacrum import SACRUM
from SpineFractureSegLib.engine.simulator.shapes import Spine
from SpineFractureSegLib.engine.simulator.stretched_texture import renew_grain
from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame
from SpineFractureSegLib.engine.simulator.worn_discs import paint_worn_disc

_SMALLEST_PAINTED = 500  # mm3
_DENSE_HU = 1200


@dataclass
class Painted:
    """What was drawn: dense voxels that make streaks, and the vertebrae with screws."""

    dense: list[np.ndarray] = field(default_factory=list)  # flat indices
    screws: list[int] = field(default_factory=list)


def paint(
    hu: np.ndarray,
    body_ids: np.ndarray,
    spine: Spine,
    frames: dict[int, VertebraFrame],
    plan: dict[int, Deformation],
    worn: Collection[int],
    origin: Origin,
    config: SimulationConfig,
    seed: int,
) -> Painted:
    """Draws into hu float32 (Z, Y, X) and body_ids uint8 (Z, Y, X), in place.

    Args: worn: the vertebrae below worn discs.
    """
    renew_grain(hu, origin.compression, spine.slice_step_mm, np.random.default_rng((seed, 9)))
    painted, before = Painted(), hu.copy()
    voxels = voxels_of(body_ids)
    for vertebra in sorted(set(frames) & set(voxels)):
        if len(voxels[vertebra]) < _SMALLEST_PAINTED:
            continue
        rng = np.random.default_rng((seed, 3, vertebra))
        _paint_body(hu, body_ids, voxels[vertebra], frames[vertebra], spine, plan.get(vertebra), origin, config, rng)
        if rng.random() < config.cement:
            body = body_coordinates(frames[vertebra], voxels[vertebra], origin.points, origin.compression)
            hu.ravel()[body.voxels] = cement_hu(hu.ravel()[body.voxels], body, rng)
            painted.dense.append(body.voxels[hu.ravel()[body.voxels] > _DENSE_HU])
    for vertebra in (i for i in worn if i in voxels or i - 1 in voxels):
        paint_worn_disc(hu, body_ids, voxels, frames, vertebra, origin, np.random.default_rng((seed, 16, vertebra)))
    for vertebra in (i for i, deformation in plan.items() if deformation.fractured and not deformation.of_body):
        fill_gaps(hu, body_ids, vertebra, origin.gaps.get(vertebra, []), np.random.default_rng((seed, 11, vertebra)))
    rng = np.random.default_rng((seed, 4))
    if rng.random() < config.implants:
        painted.screws = _screwed_levels(rng, [i for i in frames if i in voxels and 8 < i < SACRUM])
        if painted.screws:
            painted.dense.append(add_screws(hu, frames, painted.screws, origin.points, rng))
    _blur_changes(hu, before, spine)
    dense = np.concatenate(painted.dense) if painted.dense else np.zeros(0, np.intp)
    if dense.size:
        add_streaks(hu, dense, rng.uniform(60, 400), rng)
    return painted


def _paint_body(
    hu: np.ndarray,
    body_ids: np.ndarray,
    voxels: np.ndarray,
    frame: VertebraFrame,
    spine: Spine,
    deformation: Deformation | None,
    origin: Origin,
    config: SimulationConfig,
    rng: np.random.Generator,
) -> None:
    fractured = deformation is not None and deformation.of_body
    osteophytes = rng.random() < 0.6 * config.mimics  # drawn first: the same with and without the fracture
    body = body_coordinates(frame, voxels, origin.points, origin.compression)
    flat = hu.ravel()
    if fractured:
        flat[voxels] = fracture_hu(flat[voxels], body, deformation.age, config, rng)
        fill_gaps(hu, body_ids, frame.vertebra, origin.gaps.get(frame.vertebra, []), rng)
        if deformation.age == "acute" and rng.random() < config.swelling:
            add_swelling(hu, body_ids, frame, origin, rng)
    elif frame.vertebra not in spine.genant and rng.random() < config.mimics:
        flat[voxels] = degenerate_hu(flat[voxels], body, rng)
    if osteophytes:
        add_osteophytes(hu, body_ids, frame, origin, rng)


def _blur_changes(hu: np.ndarray, before: np.ndarray, spine: Spine) -> None:
    """Gives what was drawn the resolution of the scan that it was drawn into, in place."""
    changed = hu - before
    box = ndimage.find_objects((changed != 0).view(np.uint8))
    if not box:
        return
    box = tuple(slice(max(0, edge.start - 6), edge.stop + 6) for edge in box[0])
    in_plane = 0.45 if spine.hu is None else 0.65
    sigma = (max(in_plane, 0.4 * spine.slice_step_mm), in_plane, in_plane)
    hu[box] = before[box] + ndimage.gaussian_filter(changed[box], sigma)


def _screwed_levels(rng: np.random.Generator, visible: list[int]) -> list[int]:
    """Two to four neighbouring thoracic or lumbar levels."""
    count = int(rng.integers(2, 5))
    runs = [i for i in visible if {*range(i, i + count)} <= set(visible)]
    if not runs:
        return []
    first = int(rng.choice(runs))
    return list(range(first, first + count))


def voxels_of(body_ids: np.ndarray) -> dict[int, np.ndarray]:
    """Flat indices of each body's voxels, by id."""
    flat = np.flatnonzero(body_ids)
    values = body_ids.ravel()[flat]
    return {int(i): flat[values == i] for i in np.unique(values)}
