"""What the pictures of a result share: the gray of bone, the colors, smooth outlines, and text that stays readable."""

from bisect import bisect_right

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

WINDOW_HU = (-300.0, 1200.0)  # bone
RESULT_COLOR = (255, 140, 26)
REFERENCE_COLOR = (64, 214, 242)
INK, PAPER, FAINT = (235, 238, 242), (16, 20, 28), (150, 160, 172)
FULL, HALF = 255, 127.5  # of a mask whose values are 0 to 255

_SUPERSAMPLING = 2  # outlines are drawn this much larger and averaged down, which smooths their steps


def gray_levels(hu: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Hounsfield units in the bone window, 0 to 255, enlarged to ``size`` (width, height); float32 (height, width)."""
    low, high = WINDOW_HU
    shares = np.clip((hu - low) / (high - low), 0.0, 1.0)
    return np.asarray(_resized(shares, size, Image.Resampling.BICUBIC)).clip(0.0, 1.0) * 255.0


def painted(gray: np.ndarray, outlines: list[tuple[np.ndarray, tuple[int, int, int]]]) -> Image.Image:
    """The gray picture (height, width) with the borders of masks (any size, 0 to 255) in their colors, last on top."""
    rgb = np.repeat(gray[:, :, None], 3, axis=2)
    for mask, color in outlines:
        alpha = _outline(mask, gray.shape[::-1])[:, :, None]
        rgb = rgb * (1.0 - alpha) + np.asarray(color, dtype=np.float32) * alpha
    return Image.fromarray(rgb.round().astype(np.uint8))


def draw_text(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    anchor: str,
    size: int,
    color: tuple[int, int, int] = INK,
) -> None:
    """Text with a dark rim, readable over bone and air."""
    draw.text(place, text, fill=color, font=font(size), anchor=anchor, stroke_width=2, stroke_fill=PAPER)


def fitted(text: str, width: float, size: int = 14) -> str:
    """``text`` on one line, cut with an ellipsis where it is wider than ``width`` pixels."""
    text, length = " ".join(text.split()), font(size).getlength
    if length(text) <= width:
        return text
    too_long = bisect_right(range(len(text)), width, key=lambda count: length(text[:count] + "..."))
    return text[: max(too_long - 1, 0)].rstrip() + "..."


def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font, which every computer has."""
    return ImageFont.load_default(size)


def _outline(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Opacity of a smooth line of about two pixels along the border of the mask; float32 (height, width)."""
    width, height = size
    enlarged = _resized(mask, (width * _SUPERSAMPLING, height * _SUPERSAMPLING), Image.Resampling.BICUBIC)
    large = np.asarray(enlarged) >= HALF
    if not large.any():
        return np.zeros((height, width), dtype=np.float32)
    distance = np.where(large, ndimage.distance_transform_edt(large), ndimage.distance_transform_edt(~large))
    line = np.clip(1.0 * _SUPERSAMPLING + 0.5 - distance, 0.0, 1.0)
    return np.asarray(_resized(line, size, Image.Resampling.BOX))


def _resized(values: np.ndarray, size: tuple[int, int], method: Image.Resampling) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(values, dtype=np.float32)).resize(size, method)
