"""What a fracture does to the bone besides its shape: impacted bands, cortical gaps, sclerosis, opened lines."""

import numpy as np

from SpineFractureSegLib.engine.simulator.body_coordinates import BodyCoordinates
from SpineFractureSegLib.engine.simulator.config import SimulationConfig
from SpineFractureSegLib.engine.simulator.deformation import Gap

_BONE_FROM_HU = 120


def fracture_hu(
    hu: np.ndarray, body: BodyCoordinates, age: str, config: SimulationConfig, rng: np.random.Generator
) -> np.ndarray:
    """Hounsfield units of a fractured body.

    Args: hu: float32 (N,), the body's voxels before; age: "acute" or "healed".
    Returns: float32 (N,).
    """
    hu = hu + rng.uniform(0, 1) * np.clip(body.compression - 1, 0, 1.5) * np.clip(hu, 30, 250)  # the same bone, denser
    if age == "healed":
        return _sclerosis(hu, body, rng)
    if rng.random() < config.impaction_band:
        hu = hu + _impaction_band(body, rng)
    if rng.random() < config.cortical_gap:
        for _ in range(rng.integers(1, 4)):
            hu = _cortical_gap(hu, body, rng)
    return hu


def fill_gaps(hu: np.ndarray, body_ids: np.ndarray, vertebra: int, gaps: list[Gap], rng: np.random.Generator) -> None:
    """Draws opened fracture lines into the bone of one vertebra, in place: blood, fluid or gas, unevenly."""
    hu, body_ids = hu.ravel(), body_ids.ravel()
    for gap in gaps:
        bone = gap.in_bone | (body_ids[gap.voxels] == vertebra) | (hu[gap.voxels] > _BONE_FROM_HU)
        voxels, share = gap.voxels[bone], gap.share[bone]
        filling = gap.filling_hu + rng.normal(0, 15, len(voxels))
        hu[voxels] = hu[voxels] * (1 - share) + filling * share


def _impaction_band(body: BodyCoordinates, rng: np.random.Generator) -> np.ndarray:
    at = rng.uniform(0.55, 0.92) if rng.random() < 0.75 else rng.uniform(0.08, 0.5)
    frame, width = body.frame, rng.uniform(0.03, 0.09)
    off_centre = np.hypot(
        (body.depth - rng.normal(0, 6)) / frame.depth_range[1], (body.width - rng.normal(0, 6)) / frame.width_range[1]
    )
    extent = np.clip(1.3 - off_centre * rng.uniform(0.4, 1.1), 0, 1)
    line = np.exp(-(((body.share - at - body.wavy(rng, 0.05)) / width) ** 2))
    patchy = np.clip(0.8 + body.wavy(rng, 0.3), 0.15, 1.4)
    return rng.uniform(60, 280) * line * extent * patchy


def _sclerosis(hu: np.ndarray, body: BodyCoordinates, rng: np.random.Generator) -> np.ndarray:
    """Healed bone: denser towards the endplate that gave way, and under it a thicker plate."""
    plate = 1.0 if rng.random() < 0.75 else 0.0
    distance_mm = np.abs(body.share - plate) * body.frame.height_mm
    patchy = np.clip(1 + body.wavy(rng, 0.25), 0.3, 1.8)
    dense = rng.uniform(0, 160) * np.exp(-distance_mm / rng.uniform(4, 12)) * patchy
    return hu + dense + rng.uniform(0, 220) * np.exp(-((distance_mm / rng.uniform(1.2, 2.2)) ** 2))


def _cortical_gap(hu: np.ndarray, body: BodyCoordinates, rng: np.random.Generator) -> np.ndarray:
    at = rng.integers(len(hu))
    distance = np.sqrt(
        (body.height - body.height[at]) ** 2 + (body.depth - body.depth[at]) ** 2 + (body.width - body.width[at]) ** 2
    )
    gap = 0.8 * np.exp(-((distance / rng.uniform(1.5, 3.5)) ** 2))
    return hu * (1 - gap) + 60 * gap
