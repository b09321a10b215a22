"""One sagittal slice with the probability of fracture over the CT: the picture that shows at once what went wrong."""

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

_SCALE = 2  # pixels per mm
_WINDOW_HU = (-300.0, 1200.0)
_REFERENCE_COLOR = (0, 220, 255)


def sagittal_picture(
    hu: np.ndarray, probability: np.ndarray, reference: np.ndarray | None, vertebrae: np.ndarray | None, title: str
) -> Image.Image:
    """The slice with most of the true fracture, or else through the middle of the spine.

    Args: all (Z, Y, X) on the 1 mm working grid; reference is bool, vertebrae the probability of a vertebral body.
    Returns: the CT in a bone window with the probability in red to yellow and the reference outlined.
    """
    x = _slice_to_show(probability, reference, vertebrae)
    gray = np.clip((hu[:, :, x] - _WINDOW_HU[0]) / (_WINDOW_HU[1] - _WINDOW_HU[0]), 0, 1)
    picture = np.repeat(_enlarged(gray)[..., None], 3, axis=2)
    heat = _enlarged(probability[:, :, x])
    color = np.stack([np.ones_like(heat), np.clip(2 * heat - 1, 0, 1), np.zeros_like(heat)], axis=2)
    opacity = (0.6 * np.clip((heat - 0.1) / 0.4, 0, 1))[..., None]
    picture = picture * (1 - opacity) + color * opacity
    if reference is not None:
        mask = np.kron(reference[:, :, x], np.ones((_SCALE, _SCALE), bool))
        picture[mask & ~ndimage.binary_erosion(mask)] = np.array(_REFERENCE_COLOR) / 255
    image = Image.fromarray((255 * picture[::-1]).astype(np.uint8))
    ImageDraw.Draw(image).text((4, 2), title, fill=(255, 255, 255))
    return image


def _slice_to_show(probability: np.ndarray, reference: np.ndarray | None, vertebrae: np.ndarray | None) -> int:
    if reference is not None and reference.any():
        return int(np.argmax(reference.sum(axis=(0, 1))))
    if vertebrae is not None and (vertebrae >= 0.5).any():
        across = ndimage.gaussian_filter1d((vertebrae >= 0.5).sum(axis=(0, 1)).astype(float), 8)
        return int(np.argmax(across))
    return (
        int(np.argmax((probability >= 0.5).sum(axis=(0, 1)))) if probability.max() >= 0.5 else probability.shape[2] // 2
    )


def _enlarged(values: np.ndarray) -> np.ndarray:
    return np.clip(ndimage.zoom(values.astype(np.float32), _SCALE, order=1, grid_mode=True, mode="nearest"), 0, 1)
