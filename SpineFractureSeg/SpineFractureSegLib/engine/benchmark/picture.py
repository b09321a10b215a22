"""One sagittal slice with the probability of fracture over the CT: the picture that shows at once what went wrong."""

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from SpineFractureSegLib.engine.postprocess import bounding_box

_SCALE = 2  # pixels per voxel
_WINDOW_HU = (-300.0, 1200.0)
_REFERENCE_COLOR = (0, 220, 255)
_AROUND_MM = 50.0  # what a picture of a finding shows around it


def sagittal_picture(
    hu: np.ndarray, probability: np.ndarray, reference: np.ndarray | None, vertebrae: np.ndarray | None, title: str
) -> Image.Image:
    """The slice with most of the true fracture, or else of what was found, or else through the middle of the spine.

    Args: all (Z, Y, X) on one grid; reference and vertebrae (where the bodies are) bool, where they are known.
    Returns: the CT in a bone window with the probability in red to yellow and the reference outlined.
    """
    x = _slice_to_show(probability, reference, vertebrae)
    return _painted(hu[:, :, x], probability[:, :, x], None if reference is None else reference[:, :, x], title)


def finding_picture(
    hu: np.ndarray, probability: np.ndarray, finding: np.ndarray, spacing_mm: float, title: str
) -> Image.Image:
    """The slice with most of one finding (bool, not empty), cut out around it; otherwise as ``sagittal_picture``."""
    x = int(np.argmax(finding.sum(axis=(0, 1))))
    around = round(_AROUND_MM / spacing_mm)
    z, y, _ = (slice(max(axis.start - around, 0), axis.stop + around) for axis in bounding_box(finding))
    return _painted(hu[z, y, x], probability[z, y, x], None, title)


def _painted(hu: np.ndarray, probability: np.ndarray, reference: np.ndarray | None, title: str) -> Image.Image:
    """One slice (z, y) of each."""
    gray = np.clip((hu - _WINDOW_HU[0]) / (_WINDOW_HU[1] - _WINDOW_HU[0]), 0, 1)
    picture = np.repeat(_enlarged(gray)[..., None], 3, axis=2)
    heat = _enlarged(probability)
    color = np.stack([np.ones_like(heat), np.clip(2 * heat - 1, 0, 1), np.zeros_like(heat)], axis=2)
    opacity = (0.6 * np.clip((heat - 0.1) / 0.4, 0, 1))[..., None]
    picture = picture * (1 - opacity) + color * opacity
    if reference is not None:
        mask = np.kron(reference, np.ones((_SCALE, _SCALE), bool))
        picture[mask & ~ndimage.binary_erosion(mask)] = np.array(_REFERENCE_COLOR) / 255
    image = Image.fromarray((255 * picture[::-1]).astype(np.uint8))
    ImageDraw.Draw(image).text((4, 2), title, fill=(255, 255, 255), stroke_width=1, stroke_fill=(0, 0, 0))
    return image


def _slice_to_show(probability: np.ndarray, reference: np.ndarray | None, vertebrae: np.ndarray | None) -> int:
    found = probability >= 0.5
    for mask in (reference, found):
        if mask is not None and mask.any():
            return int(np.argmax(mask.sum(axis=(0, 1))))
    if vertebrae is not None and vertebrae.any():
        across = ndimage.gaussian_filter1d(vertebrae.sum(axis=(0, 1)).astype(float), 8)
        return int(np.argmax(across))
    return probability.shape[2] // 2


def _enlarged(values: np.ndarray) -> np.ndarray:
    return np.clip(ndimage.zoom(values.astype(np.float32), _SCALE, order=1, grid_mode=True, mode="nearest"), 0, 1)
