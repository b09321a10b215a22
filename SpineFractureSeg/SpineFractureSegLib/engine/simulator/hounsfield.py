"""Synthesized Hounsfield units for a label map without CT: bone, discs, canal and believable surroundings.

Ranges are those of adult CT at 100-140 kV. The surroundings matter as much as the bone: where they are empty or always
alike, a network learns the background instead of the fracture.
"""

import numpy as np
from scipy import ndimage
from scipy.special import ndtri

from SpineFractureSegLib.engine.simulator.noise import smooth_noise
from SpineFractureSegLib.engine.simulator.outside import add_outside
from SpineFractureSegLib.engine.simulator.shapes import crop_box

_T2, _T12 = 9, 19
_DEPTH_SIGMA_MM = 1.7


def synthesize_hu(vertebrae: np.ndarray, bodies: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Hounsfield units of one label map.

    Args: vertebrae: uint8 (Z, Y, X) VerSe ids at 1 mm; bodies: bool (Z, Y, X).
    Returns: float32 (Z, Y, X).
    """
    behind, beside, along = spine_coordinates(bodies)
    hu = _muscle_and_fat(vertebrae.shape, rng)
    _add_vessels(hu, behind, beside, along, rng)
    _add_lung_and_gas(hu, behind, beside, _thorax(vertebrae, bodies), rng)
    add_outside(hu, behind, beside, rng)
    if vertebrae.any():
        box = crop_box(vertebrae > 0, (12, 12, 12))
        _add_discs_and_canal(hu[box], vertebrae[box], bodies[box], behind[box[0], :, 0][:, box[1]], rng)
        _add_bone(hu[box], vertebrae[box], bodies[box], rng)
    return ndimage.gaussian_filter(hu, rng.uniform(0.45, 0.8), truncate=3)


def spine_coordinates(bodies: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """mm behind the front wall of the bodies (Z, Y, 1), left of the middle (1, 1, X), along the spine (Z, 1, 1)."""
    occupied = bodies.any(axis=2)
    known = np.nonzero(occupied.any(axis=1))[0]
    front = np.interp(np.arange(len(bodies)), known, occupied[known].argmax(axis=1)) if len(known) else 0.0
    front = ndimage.gaussian_filter1d(np.broadcast_to(front, len(bodies)).astype(np.float32), 6)  # follows the curve
    middle = np.nonzero(bodies.any(axis=(0, 1)))[0].mean() if len(known) else bodies.shape[2] / 2
    z, y, x = (np.arange(n, dtype=np.float32) for n in bodies.shape)
    return y[None, :, None] - front[:, None, None], (x - np.float32(middle))[None, None, :], z[:, None, None]


def _muscle_and_fat(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    pattern = smooth_noise(rng, shape, 9)
    pattern += np.float32(0.5) * smooth_noise(rng, shape, 3)
    fat, muscle = np.float32(rng.uniform(-120, -80)), np.float32(rng.uniform(30, 70))
    # a slope over the noise's zero crossing instead of a step that would have to be smoothed
    share = np.clip((pattern - np.float32(rng.uniform(-0.2, 0.9))) * np.float32(2) + np.float32(0.5), 0, 1)
    return muscle + (fat - muscle) * share


def _add_vessels(
    hu: np.ndarray, behind: np.ndarray, beside: np.ndarray, along: np.ndarray, rng: np.random.Generator
) -> None:
    """Aorta and vena cava in front of the spine, with or without contrast medium."""
    if rng.random() > 0.6:
        return
    for offset, radius in ((rng.uniform(5, 18), rng.uniform(8, 13)), (-rng.uniform(8, 20), rng.uniform(7, 12))):
        curve = 4 * np.sin(along / 50 + rng.uniform(0, 6), dtype=np.float32)
        distance = np.sqrt((behind + np.float32(radius + rng.uniform(1, 6))) ** 2 + (beside - offset - curve) ** 2)
        hu[distance < radius] = rng.choice((45, 150, 300), p=(0.6, 0.2, 0.2))
        if rng.random() < 0.2:  # calcified wall
            wall = np.abs(distance - radius) < 1.2
            hu[wall & (smooth_noise(rng, hu.shape, 6) > 1)] = rng.uniform(300, 900)


def _add_lung_and_gas(
    hu: np.ndarray, behind: np.ndarray, beside: np.ndarray, thorax: slice, rng: np.random.Generator
) -> None:
    if rng.random() < 0.5:  # bowel gas
        gas = smooth_noise(rng, hu.shape, 12) > rng.uniform(0.6, 1.4)
        hu[gas & (behind < -rng.uniform(25, 45))] = rng.uniform(-950, -600)
    if thorax.stop > thorax.start and rng.random() < 0.8:
        chest, behind = hu[thorax], behind[thorax]
        from_top = np.arange(len(chest), dtype=np.float32)[::-1, None, None]
        apex = 25 * np.clip(1 - from_top / 40, 0, 1) ** 2  # the lungs end in a dome beside the uppermost ribs
        wall_mm = np.float32(rng.uniform(20, 32)) + 3 * smooth_noise(rng, chest.shape, 9)
        lung = (np.abs(beside) > wall_mm + apex) & (behind < rng.uniform(10, 25) - apex)
        chest[lung] = -850 + 60 * smooth_noise(rng, chest.shape, 3)[lung]


def _thorax(vertebrae: np.ndarray, bodies: np.ndarray) -> slice:
    """The slices from T12's body up to T2's."""
    there = np.flatnonzero((bodies & (vertebrae >= _T2) & (vertebrae <= _T12)).any(axis=(1, 2)))
    return slice(int(there[0]), int(there[-1]) + 1) if len(there) else slice(0, 0)


def _add_discs_and_canal(
    hu: np.ndarray, vertebrae: np.ndarray, bodies: np.ndarray, behind: np.ndarray, rng: np.random.Generator
) -> None:
    """Between the bodies, and in a rim of 2 mm round the arches, in place. behind: mm (Z, Y)."""
    bone = vertebrae > 0
    closed = ndimage.minimum_filter1d(ndimage.maximum_filter1d(bodies.view(np.uint8), 17, axis=0), 17, axis=0)
    disc = np.flatnonzero((closed > 0) & ~bone)
    hu.flat[disc] = rng.uniform(60, 115) + 12 * smooth_noise(rng, hu.shape, 3).ravel()[disc]
    rim = (ndimage.maximum_filter(bone.view(np.uint8), 5) > 0) & ~bone & (closed == 0) & (behind > 12)[:, :, None]
    hu[rim] = 0.5 * hu[rim] + rng.uniform(-20, 20)


def _add_bone(hu: np.ndarray, vertebrae: np.ndarray, bodies: np.ndarray, rng: np.random.Generator) -> None:
    """Trabecular bone with texture inside a cortical shell of uneven thickness; the arch is denser than the body."""
    trabecular, cortical = rng.uniform(50, 230), rng.uniform(350, 950)
    shell_mm = rng.uniform(0.9, 1.7)
    bone = np.flatnonzero(vertebrae)
    body = bodies.ravel()[bone]
    per_vertebra = (1 + rng.normal(0, 0.08, 256)).astype(np.float32)[vertebrae.ravel()[bone]]
    # neighbors touch: a shell lies between them, too
    inner = ndimage.minimum_filter(vertebrae, 3) == ndimage.maximum_filter(vertebrae, 3)
    inner &= vertebrae > 0
    depth = _depth_mm(inner, bone)
    shell = np.exp(-(((depth - 0.7) / shell_mm) ** 2))
    texture = ndimage.gaussian_filter(rng.standard_normal(hu.shape, dtype=np.float32), (1.2, 0.7, 0.7), truncate=3)
    texture = texture.ravel()[bone]
    texture /= texture.std()
    uneven = np.clip(1 + 0.35 * smooth_noise(rng, hu.shape, 5).ravel()[bone], 0.3, 2)
    inside = trabecular * per_vertebra * np.where(body, np.float32(1), np.float32(1.6)) + 0.22 * trabecular * texture
    inside += 25 * smooth_noise(rng, hu.shape, 6).ravel()[bone]
    hu.flat[bone] = inside + (cortical * uneven * np.where(body, np.float32(1), np.float32(0.9)) - trabecular) * shell


def _depth_mm(inner: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    """About how deep in the bone voxels (N,) lie, from 1 mm at its surface to 5 mm; float32.

    From a blurred mask, which takes a tenth of the time of a distance transform.

    Args: inner: bool (Z, Y, X), bone but for its outermost voxel; voxels: flat indices.
    """
    blurred = ndimage.gaussian_filter(inner.astype(np.float32), _DEPTH_SIGMA_MM, truncate=2.5).ravel()[voxels]
    return 1.5 + _DEPTH_SIGMA_MM * ndtri(np.clip(blurred, 1e-3, 0.98))
