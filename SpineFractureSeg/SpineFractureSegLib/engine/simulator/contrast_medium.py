"""Contrast medium in a real CT that had none: bright vessels and gut in front of the spine, brighter organs and marrow.

Which of the patient's tissues are vessels is not known. What is as thick as a large vessel and lies in front of the
spine is brightened to its edge: aorta and vena cava, also gut, as oral contrast medium does it.
"""

import numpy as np
from scipy import ndimage

from SpineFractureSegLib.engine.simulator.hounsfield import spine_coordinates
from SpineFractureSegLib.engine.simulator.noise import smooth_noise

_SOFT_HU = (0.0, 110.0)
_VESSEL_RADIUS_MM = (4.0, 14.0)
_VESSEL_HU = (60.0, 300.0)  # above what is there; venous to arterial phase
_ORGAN_HU = (5.0, 60.0)
_MARROW_HU = (0.0, 20.0)
_DISC_MM = 17  # the highest disc
_BESIDE_MM = 50.0  # from the middle; further out are kidneys and muscle
_EVENED_MM = 7


def add_contrast_medium(hu: np.ndarray, bodies: np.ndarray, rng: np.random.Generator) -> None:
    """Adds it in place.

    Args: hu: float32 (Z, Y, X) at 1 mm, a real CT; bodies: bool (Z, Y, X), vertebral bodies.
    """
    behind, beside, _ = spine_coordinates(bodies)
    smooth = ndimage.gaussian_filter(hu, 1.0)
    column = ndimage.binary_dilation(ndimage.grey_closing(bodies.view(np.uint8), (_DISC_MM, 1, 1)) > 0, iterations=2)
    soft = (smooth > _SOFT_HU[0]) & (smooth < _SOFT_HU[1]) & ~column
    in_front = np.broadcast_to((behind < -2) & (np.abs(beside) < _BESIDE_MM), hu.shape)
    uneven = np.clip(1 + 0.3 * smooth_noise(rng, hu.shape, 24), 0.3, 1.7)
    brighter = np.float32(rng.uniform(*_ORGAN_HU)) * soft
    brighter[_vessels(soft, in_front)] = rng.uniform(*_VESSEL_HU)
    hu += ndimage.gaussian_filter(brighter, 0.7) * uneven
    hu[bodies] += np.float32(rng.uniform(*_MARROW_HU))


def _vessels(soft: np.ndarray, in_front: np.ndarray) -> np.ndarray:
    """Tissue in front of the spine as thick as a large vessel in the axial slices, evened out along the spine."""
    found = np.zeros(soft.shape, np.float32)
    for tissue, before, kept in zip(soft, in_front, found, strict=True):
        kept[...] = _opened(tissue & before, _VESSEL_RADIUS_MM[0]) & ~_opened(tissue, _VESSEL_RADIUS_MM[1])
    return ndimage.uniform_filter1d(found, _EVENED_MM, axis=0) > 0.5


def _opened(mask: np.ndarray, radius: float) -> np.ndarray:
    """What a disc of this radius (pixels) reaches within the mask (Y, X)."""
    core = ndimage.distance_transform_edt(mask) > radius
    return ndimage.distance_transform_edt(~core) <= radius if core.any() else core
