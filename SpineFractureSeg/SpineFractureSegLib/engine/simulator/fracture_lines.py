"""What a fracture does to the bone besides its shape: dense impacted bands, clefts, gaps and steps of the cortex."""

import numpy as np

from SpineFractureSegLib.engine.simulator.body_coordinates import BodyCoordinates
from SpineFractureSegLib.engine.simulator.config import SimulationConfig
from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame


def fracture_hu(
    hu: np.ndarray, body: BodyCoordinates, config: SimulationConfig, rng: np.random.Generator
) -> np.ndarray:
    """Hounsfield units of a fractured body.

    Args: hu: float32 (N,), the body's voxels before.
    Returns: float32 (N,).
    """
    hu = hu + rng.uniform(0, 1) * np.clip(body.compression - 1, 0, 1.5) * np.clip(hu, 30, 250)  # the same bone, denser
    if rng.random() < config.impaction_band:
        hu = hu + _impaction_band(body, rng)
    if rng.random() < config.cleft:
        hu = _cleft(hu, body, rng)
    if rng.random() < config.cortical_gap:
        for _ in range(rng.integers(1, 4)):
            hu = _cortical_gap(hu, body, rng)
    return hu


def _impaction_band(body: BodyCoordinates, rng: np.random.Generator) -> np.ndarray:
    at = rng.uniform(0.45, 0.92) if rng.random() < 0.7 else rng.uniform(0.08, 0.5)
    frame, width = body.frame, rng.uniform(0.04, 0.13)
    off_centre = np.hypot(
        (body.depth - rng.normal(0, 6)) / frame.depth_range[1], (body.width - rng.normal(0, 6)) / frame.width_range[1]
    )
    extent = np.clip(1.3 - off_centre * rng.uniform(0.4, 1.1), 0, 1)
    line = np.exp(-(((body.share - at - body.wavy(rng, 0.05)) / width) ** 2))
    return rng.uniform(60, 350) * line * extent


def _cleft(hu: np.ndarray, body: BodyCoordinates, rng: np.random.Generator) -> np.ndarray:
    filling = rng.uniform(-120, 40) if rng.random() < 0.6 else rng.uniform(-900, -250)  # fluid or gas
    at, width = rng.uniform(0.55, 0.95), rng.uniform(0.02, 0.07)
    reach = rng.uniform(6, max(7.0, 1.1 * body.frame.depth_range[1]))
    inside = np.hypot(body.depth - rng.normal(3, 6), body.width - rng.normal(0, 5)) < reach
    line = np.exp(-(((body.share - at - body.wavy(rng, 0.05)) / width) ** 4)) * inside
    return hu * (1 - line) + filling * line


def _cortical_gap(hu: np.ndarray, body: BodyCoordinates, rng: np.random.Generator) -> np.ndarray:
    at = rng.integers(len(hu))
    distance = np.sqrt(
        (body.height - body.height[at]) ** 2 + (body.depth - body.depth[at]) ** 2 + (body.width - body.width[at]) ** 2
    )
    gap = 0.8 * np.exp(-((distance / rng.uniform(1.5, 3.5)) ** 2))
    return hu * (1 - gap) + 60 * gap


def displace_walls(
    points: np.ndarray, frame: VertebraFrame, config: SimulationConfig, rng: np.random.Generator
) -> np.ndarray:
    """Backward map of a step-off or bulge of the front wall and of a fragment pushed back into the canal.

    Args: points: float32 (3, N) of the fractured image; returns: points of the image before.
    """
    height, depth, width = frame.coordinates(points)
    near = np.clip(1.2 - np.abs(width) / frame.width_range[1], 0, 1)
    at = frame.lower_plane[0] + rng.uniform(0.3, 0.9) * frame.height_mm
    bulge = rng.uniform(*config.step_mm) * np.exp(-(((height - at) / rng.uniform(2, 5)) ** 2))
    if rng.random() < 0.4:  # a step, not a bulge: the wall above the line stands forward, the wall below does not
        bulge *= height > at
    forward = bulge * np.exp(-(((depth - frame.depth_range[1]) / 6) ** 2)) * near
    if rng.random() < 0.4:
        top = frame.upper_plane[0] - 3
        backward = rng.uniform(0.5, 0.8 * config.step_mm[1]) * np.exp(-(((height - top) / 5) ** 2))
        forward -= backward * np.exp(-(((depth - frame.depth_range[0]) / 5) ** 2)) * near
    return points - frame.front[:, None] * forward.astype(np.float32)
