"""Metal and cement with their streaks: in fractured and in intact bodies alike, so that they tell nothing."""

from itertools import pairwise

import numpy as np
from scipy import ndimage

from SpineFractureSegLib.engine.simulator.body_coordinates import BodyCoordinates
from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame

METAL_HU = 3071
_NEAR_MM = 70.0


def cement_hu(hu: np.ndarray, body: BodyCoordinates, rng: np.random.Generator) -> np.ndarray:
    """A body (N,) with some lumps of cement that run into each other, unevenly dense."""
    beyond = np.full(len(hu), np.inf)
    side = rng.choice((-1, 1)) * rng.uniform(0, 7)
    for _ in range(rng.integers(4, 9)):
        place = rng.normal((0, 3, side), (4, 5, 5))
        offset = body.height - place[0], body.depth - place[1], body.width - place[2]
        beyond = np.minimum(beyond, np.sqrt(sum(o**2 for o in offset)) - rng.uniform(2, 5.5))
    filled = 1 / (1 + np.exp(np.clip((beyond + body.wavy(rng, 0.8)) / 0.5, -30, 30)))
    dense = rng.uniform(900, 2300) * np.clip(0.85 + body.wavy(rng, 0.25), 0.4, 1.2)
    return hu * (1 - filled) + dense * filled


def add_screws(
    hu: np.ndarray, frames: dict[int, VertebraFrame], levels: list[int], origin: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Two screws a level through the pedicles, joined by rods, in place.

    Args: hu: float32 (Z, Y, X); origin: (3, Z*Y*X).
    Returns: flat indices of the metal.
    """
    radius, rod_radius = rng.uniform(2.2, 3.2), rng.uniform(2.3, 3.0)
    flat = hu.ravel()
    metal = np.zeros(flat.shape, bool)
    heads = {-1: [], 1: []}
    for vertebra in levels:
        frame = frames[vertebra]
        near = np.flatnonzero((np.abs(origin - frame.centre[:, None]) < _NEAR_MM).all(axis=0))
        height, depth, width = frame.coordinates(origin[:, near])
        for side in (-1, 1):
            entry = side * 0.68 * frame.width_range[1], frame.depth_range[0] - rng.uniform(24, 30)
            tip = (
                side * 0.3 * frame.width_range[1],
                frame.depth_range[0] + rng.uniform(0.5, 0.8) * np.ptp(frame.depth_range),
            )
            along = np.clip((depth - entry[1]) / (tip[1] - entry[1]), 0, 1)
            off = np.hypot(width - (entry[0] + along * (tip[0] - entry[0])), height - 0.22 * frame.height_mm)
            inside = (off < radius) & (depth > entry[1]) & (depth < tip[1])
            metal[near[inside]] = True
            heads[side].append(
                frame.centre + frame.front * entry[1] + frame.side * entry[0] + frame.up * 0.22 * frame.height_mm
            )
    for ends in heads.values():
        for start, end in pairwise(ends):
            near = np.flatnonzero((np.abs(origin - ((start + end) / 2)[:, None]) < _NEAR_MM).all(axis=0))
            line = (end - start).astype(np.float32)
            offset = origin[:, near] - start.astype(np.float32)[:, None]
            along = np.clip(line @ offset / (line @ line), 0, 1)
            metal[near[np.linalg.norm(offset - line[:, None] * along, axis=0) < rod_radius]] = True
    flat[metal] = METAL_HU
    return np.flatnonzero(metal)


def add_streaks(hu: np.ndarray, metal: np.ndarray, strength: float, rng: np.random.Generator) -> None:
    """Bright and dark rays from dense material in each axial slice, in place.

    Args: hu: float32 (Z, Y, X); metal: flat indices; strength: about the HU close to the metal.
    """
    mask = np.zeros(hu.shape, bool)
    mask.ravel()[metal] = True
    y, x = np.indices(hu.shape[1:], dtype=np.float32)
    phase, pitch = rng.uniform(0, 6.28, 5), rng.integers(2, 11, 5)
    for z in np.flatnonzero(mask.any(axis=(1, 2))):
        parts, count = ndimage.label(mask[z])
        weight = np.bincount(parts.ravel())[1:]
        for row, column in ndimage.center_of_mass(mask[z], parts, range(1, min(count, 6) + 1)):
            angle, distance = np.arctan2(y - row, x - column), np.hypot(y - row, x - column)
            rays = sum(np.cos(2 * k * angle + p + 0.15 * z) for k, p in zip(pitch, phase, strict=True)) / 2
            rays -= 1.2 * np.exp(-((np.sin(angle) / 0.12) ** 2))  # dark bands towards the other side's metal
            fade = strength * min(1, weight.max() / 80) / (1 + distance / 9)
            hu[z] += np.where(mask[z], 0, rays * fade)
