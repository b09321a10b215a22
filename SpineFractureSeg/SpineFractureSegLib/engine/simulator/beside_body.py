"""What grows or gathers beside a body: osteophytes of an intact or healed one, blood round an acute fracture."""

import numpy as np
from scipy import ndimage

from SpineFractureSegLib.engine.simulator.body_coordinates import body_coordinates
from SpineFractureSegLib.engine.simulator.deformation import Origin
from SpineFractureSegLib.engine.simulator.noise import smooth_noise
from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame

_MARGIN = 12  # voxels


def add_osteophytes(
    hu: np.ndarray, body_ids: np.ndarray, frame: VertebraFrame, origin: Origin, rng: np.random.Generator
) -> None:
    """Beaks at the front and side of one or both endplates, in place; they are part of the body.

    Args: hu: float32 (Z, Y, X); body_ids: uint8 (Z, Y, X); origin: of every voxel.
    """
    box, flat, beyond = _shell(body_ids, frame.vertebra)
    body = body_coordinates(frame, flat, origin.points, origin.compression, own_endplates=False)
    around = np.arctan2(body.width, np.maximum(body.depth, -5) + 5)
    size = np.zeros(len(flat))
    for endplate in rng.choice((0.0, 1.0), rng.integers(1, 3), replace=False):
        height = np.abs(body.share - endplate) * frame.height_mm
        place = np.exp(-(((around - rng.normal(0, 0.9)) / rng.uniform(0.25, 0.8)) ** 2))
        size = np.maximum(size, rng.uniform(2.5, 7) * np.exp(-((height / rng.uniform(1.8, 3.5)) ** 2)) * place)
    size = size * (body.depth > -0.3 * frame.depth_range[1])
    grown = (beyond < size) & (body_ids[box].ravel() == 0) & (hu[box].ravel() > -300)
    if not grown.any():
        return
    cortex = 1 - np.clip((size - beyond) / 2.5, 0, 1)
    bone = rng.uniform(180, 300) + rng.uniform(150, 400) * cortex
    values, ids = hu[box].ravel(), body_ids[box].ravel()
    values[grown] = np.maximum(values[grown], bone[grown])
    ids[grown] = frame.vertebra
    hu[box], body_ids[box] = values.reshape(hu[box].shape), ids.reshape(hu[box].shape)


def add_swelling(
    hu: np.ndarray, body_ids: np.ndarray, frame: VertebraFrame, origin: Origin, rng: np.random.Generator
) -> None:
    """Blood in the fat in front of and beside a fresh fracture, in place. Arguments as ``add_osteophytes``."""
    box, flat, beyond = _shell(body_ids, frame.vertebra)
    body = body_coordinates(frame, flat, origin.points, origin.compression, own_endplates=False)
    thick = rng.uniform(2.5, 8) * np.exp(-((body.height / (0.8 * frame.height_mm)) ** 2))
    thick = thick * (1 + 0.35 * smooth_noise(rng, hu[box].shape, 6).ravel()) * (body.depth > 0.6 * frame.depth_range[0])
    blood = 1 / (1 + np.exp(np.clip((beyond - thick) / 0.8, -30, 30)))
    values = hu[box].ravel()
    fat = (values > -180) & (values < 20) & (beyond > 0)
    values[fat] += (blood * (rng.uniform(35, 60) - values))[fat]
    hu[box] = values.reshape(hu[box].shape)


def _shell(body_ids: np.ndarray, vertebra: int) -> tuple[tuple[slice, ...], np.ndarray, np.ndarray]:
    """The box round a body, its voxels' flat indices in the volume, and their mm beyond the body (0 inside)."""
    inside = ndimage.find_objects(body_ids, max_label=vertebra)[vertebra - 1]
    box = tuple(
        slice(max(0, e.start - _MARGIN), min(n, e.stop + _MARGIN)) for e, n in zip(inside, body_ids.shape, strict=True)
    )
    axes = (np.arange(edge.start, edge.stop) for edge in box)
    flat = np.ravel_multi_index(np.ix_(*axes), body_ids.shape).ravel()
    beyond = ndimage.distance_transform_edt(body_ids[box] != vertebra).ravel()
    return box, flat, beyond
