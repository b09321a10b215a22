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
    result = np.zeros(points.shape[1], np.uint8)
    box = ndimage.find_objects(bodies.view(np.uint8))
    if not box:
        return result
    first, last = ([getattr(edge, end) for edge in box[0]] for end in ("start", "stop"))
    near = np.ones(points.shape[1], bool)
    for at, low, high in zip(points, first, last, strict=True):
        near &= (at > low - 1) & (at < high)
    near = np.flatnonzero(near)
    # the body or its surface: most points are neither, and are looked up no further
    grown = ndimage.maximum_filter(bodies[box[0]].view(np.uint8), 3, mode="constant")
    index = np.rint(points[:, near]).astype(np.intp) - np.array(first)[:, None]
    for axis, size in enumerate(grown.shape):
        np.clip(index[axis], 0, size - 1, out=index[axis])
    near = near[grown[tuple(index)] > 0]
    near = near[ndimage.map_coordinates(bodies.astype(np.float32), points[:, near], order=1) > 0.5]
    result[near] = ndimage.map_coordinates(vertebrae, points[:, near], order=0)
    return result


def _box(volume: np.ndarray, low: np.ndarray, high: np.ndarray, outside: int = 0) -> np.ndarray:
    """The box [low, high) of a volume, which may reach beyond it."""
    inner_low, inner_high = np.clip(low, 0, volume.shape), np.clip(high, 0, volume.shape)
    inner_high = np.maximum(inner_high, inner_low)
    inner = volume[tuple(slice(a, b) for a, b in zip(inner_low, inner_high, strict=True))]
    before, after = inner_low - low, high - inner_high
    return np.pad(inner, list(zip(before, after, strict=True)), constant_values=outside)
