"""The spine seen through points: Hounsfield units, vertebra ids and bodies of a case."""

import numpy as np
from scipy import ndimage

from SpineFractureSegLib.engine.simulator.hounsfield import synthesize_hu
from SpineFractureSegLib.engine.simulator.shapes import Spine

AIR_HU = -1000


def sample_spine(
    spine: Spine, origin: np.ndarray, shape: tuple[int, int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Hounsfield units float32 and body ids uint8, both of ``shape``; units are synthesized where there is no CT.

    Args: origin: float32 (3, Z*Y*X).
    """
    low = np.floor(origin.min(axis=1)).astype(int) - 2
    high = np.ceil(origin.max(axis=1)).astype(int) + 3
    points = origin - low.astype(np.float32)[:, None]
    vertebrae, bodies = _box(spine.vertebrae, low, high), _box(spine.bodies, low, high)
    if spine.hu is None:
        hu = ndimage.map_coordinates(synthesize_hu(vertebrae, bodies, rng), points, order=1, mode="nearest")
    else:
        volume = _box(spine.hu, low, high, AIR_HU).astype(np.float32)
        hu = ndimage.map_coordinates(volume, points, order=1, cval=AIR_HU)
    return hu.reshape(shape), _body_ids(vertebrae, bodies, points).reshape(shape)


def _body_ids(vertebrae: np.ndarray, bodies: np.ndarray, points: np.ndarray) -> np.ndarray:
    """uint8 (N,): the nearest body's id where the interpolated mask of bodies is more than one half."""
    inside = np.flatnonzero(ndimage.map_coordinates(bodies.astype(np.float32), points, order=1) > 0.5)
    result = np.zeros(points.shape[1], np.uint8)
    result[inside] = ndimage.map_coordinates(vertebrae, points[:, inside], order=0)
    return result


def _box(volume: np.ndarray, low: np.ndarray, high: np.ndarray, outside: int = 0) -> np.ndarray:
    """The box [low, high) of a volume, which may reach beyond it."""
    inner_low, inner_high = np.clip(low, 0, volume.shape), np.clip(high, 0, volume.shape)
    inner_high = np.maximum(inner_high, inner_low)
    inner = volume[tuple(slice(a, b) for a, b in zip(inner_low, inner_high, strict=True))]
    before, after = inner_low - low, high - inner_high
    return np.pad(inner, list(zip(before, after, strict=True)), constant_values=outside)
