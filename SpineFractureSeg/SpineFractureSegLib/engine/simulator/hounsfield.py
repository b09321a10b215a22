"""Synthesized Hounsfield units for a label map without CT: bone, discs, canal and believable surroundings.

Ranges are those of adult CT at 100-140 kV. The surroundings matter as much as the bone: where they are empty or always
alike, a network learns the background instead of the fracture.
"""

import numpy as np
from scipy import ndimage

from SpineFractureSegLib.engine.simulator.noise import smooth_noise


def synthesize_hu(vertebrae: np.ndarray, bodies: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Hounsfield units of one label map.

    Args: vertebrae: uint8 (Z, Y, X) VerSe ids at 1 mm; bodies: bool (Z, Y, X).
    Returns: float32 (Z, Y, X).
    """
    bone = vertebrae > 0
    behind, beside, along = _spine_coordinates(bodies)
    hu = _muscle_and_fat(bone.shape, rng)
    _add_vessels(hu, behind, beside, along, rng)
    thoracic = bool(bodies.any()) and float((vertebrae[bodies] < 18).mean()) > 0.4
    _add_lung_and_gas(hu, behind, beside, thoracic, rng)
    hu[behind > rng.uniform(85, 110)] = -1000.0  # air behind the back
    _add_discs_and_canal(hu, bone, bodies, behind, rng)
    if bone.any():
        box = ndimage.find_objects(bone.astype(np.uint8))[0]
        hu[box] = np.where(bone[box], _bone(vertebrae[box], bodies[box], bone[box], rng), hu[box])
    return ndimage.gaussian_filter(hu, rng.uniform(0.45, 0.8))


def _spine_coordinates(bodies: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """mm behind the front wall of the bodies (follows the curve), mm left of the middle, mm along the spine."""
    occupied = bodies.any(axis=2)
    known = np.nonzero(occupied.any(axis=1))[0]
    front = np.interp(np.arange(len(bodies)), known, occupied[known].argmax(axis=1)) if len(known) else 0.0
    front = ndimage.gaussian_filter1d(np.broadcast_to(front, len(bodies)).astype(np.float32), 6)
    middle = np.nonzero(bodies.any(axis=(0, 1)))[0].mean() if len(known) else bodies.shape[2] / 2
    z, y, x = (np.arange(n, dtype=np.float32) for n in bodies.shape)
    return (
        np.broadcast_to(y[None, :, None] - front[:, None, None], bodies.shape),
        np.broadcast_to((x - np.float32(middle))[None, None, :], bodies.shape),
        np.broadcast_to(z[:, None, None], bodies.shape),
    )


def _muscle_and_fat(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    pattern = smooth_noise(rng, shape, 9) + 0.5 * smooth_noise(rng, shape, 3)
    fat, muscle = rng.uniform(-120, -80), rng.uniform(30, 70)
    hu = np.where(pattern > rng.uniform(-0.2, 0.9), np.float32(fat), np.float32(muscle))
    return ndimage.gaussian_filter(hu, 1.0)


def _add_vessels(
    hu: np.ndarray, behind: np.ndarray, beside: np.ndarray, along: np.ndarray, rng: np.random.Generator
) -> None:
    """Aorta and vena cava in front of the spine, with or without contrast medium."""
    if rng.random() > 0.6:
        return
    for offset, radius in ((rng.uniform(5, 18), rng.uniform(8, 13)), (-rng.uniform(8, 20), rng.uniform(7, 12))):
        curve = 4 * np.sin(along / 50 + rng.uniform(0, 6))
        distance = np.hypot(behind + radius + rng.uniform(1, 6), beside - offset - curve)
        hu[distance < radius] = rng.choice((45, 150, 300), p=(0.6, 0.2, 0.2))
        if rng.random() < 0.2:  # calcified wall
            wall = np.abs(distance - radius) < 1.2
            hu[wall & (smooth_noise(rng, hu.shape, 6) > 1)] = rng.uniform(300, 900)


def _add_lung_and_gas(
    hu: np.ndarray, behind: np.ndarray, beside: np.ndarray, thoracic: bool, rng: np.random.Generator
) -> None:
    if rng.random() < 0.5:  # bowel gas
        gas = smooth_noise(rng, hu.shape, 12) > rng.uniform(0.6, 1.4)
        hu[gas & (behind < -rng.uniform(25, 45))] = rng.uniform(-950, -600)
    if thoracic and rng.random() < 0.8:
        lung = np.abs(beside) > rng.uniform(20, 32) + 3 * smooth_noise(rng, hu.shape, 9)
        lung &= behind < rng.uniform(10, 25)
        hu[lung] = -850 + 60 * smooth_noise(rng, hu.shape, 3)[lung]


def _add_discs_and_canal(
    hu: np.ndarray, bone: np.ndarray, bodies: np.ndarray, behind: np.ndarray, rng: np.random.Generator
) -> None:
    closed = ndimage.minimum_filter1d(ndimage.maximum_filter1d(bodies, 17, axis=0), 17, axis=0)
    disc = closed & ~bone
    texture = smooth_noise(rng, hu.shape, 3)
    hu[disc] = rng.uniform(60, 115) + 12 * texture[disc]
    near_bone = ndimage.binary_dilation(bone, iterations=2) & ~bone & ~disc & (behind > 12)
    hu[near_bone] = 0.5 * hu[near_bone] + rng.uniform(-20, 20)


def _bone(vertebrae: np.ndarray, bodies: np.ndarray, bone: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Trabecular bone with texture inside a cortical shell of uneven thickness; the arch is denser than the body."""
    trabecular, cortical = rng.uniform(50, 230), rng.uniform(350, 950)
    shell_mm = rng.uniform(0.9, 1.7)
    per_vertebra = (1 + rng.normal(0, 0.08, 256)).astype(np.float32)[vertebrae]
    inner = bone & (ndimage.maximum_filter(vertebrae, 3) == ndimage.minimum_filter(vertebrae, 3))  # neighbors touch
    depth = ndimage.distance_transform_edt(np.pad(inner, 1))[1:-1, 1:-1, 1:-1].astype(np.float32) + 1
    shell = np.exp(-(((depth - 0.7) / shell_mm) ** 2))
    texture = ndimage.gaussian_filter(rng.standard_normal(bone.shape, dtype=np.float32), (1.2, 0.7, 0.7))
    texture /= texture.std()
    uneven = np.clip(1 + 0.35 * smooth_noise(rng, bone.shape, 5), 0.3, 2)
    inside = trabecular * per_vertebra * np.where(bodies, 1.0, 1.6) + 0.22 * trabecular * texture
    inside += 25 * smooth_noise(rng, bone.shape, 6)
    return (inside + (cortical * uneven * np.where(bodies, 1.0, 0.9) - trabecular) * shell).astype(np.float32)
