"""The picture of the straightened spine: every body through its middle, named, the suspicious ones flagged.

The front is on the left, as in the sagittal slice of the preview. On the left stands the level, or the number from the
top where nobody has named one; on the right, of flagged vertebrae, the probability of a fracture and the Genant grade.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from PIL import Image, ImageDraw

from SpineFractureSegLib.engine.drawing import (
    FAINT,
    FULL,
    INK,
    PAPER,
    RESULT_COLOR,
    draw_text,
    font,
    gray_levels,
    painted,
)
from SpineFractureSegLib.engine.preprocessing import AIR_HU
from SpineFractureSegLib.engine.spine_report.straightened import STEP_MM, SpineCurve, spine_curve
from SpineFractureSegLib.engine.vertebrae.vertebra import Vertebra

_LARGEST_SCALE = 3.0  # pixels per mm
_NAMES_WIDTH, _MARKS_WIDTH = 36, 112  # pixels beside the spine
_TEXT, _SMALLEST_TEXT = 13, 8  # pixels; smaller where the vertebrae stand close


@dataclass(frozen=True)
class SpinePicture:
    """The picture, and where in the patient its pixels lie."""

    image: Image.Image  # RGB
    curve: SpineCurve
    pixels_per_mm: float
    left: int  # pixel column at which the spine begins

    def position(self, x: float, y: float) -> tuple[float, float, float]:
        """RAS in mm of a pixel; beside the spine, of the nearest body's center line."""
        scale = self.pixels_per_mm * STEP_MM
        width = self.image.width - self.left - _MARKS_WIDTH
        column = (x - self.left) / scale if 0 <= x - self.left < width else self.curve.center_column
        return self.curve.position(y / scale, column)


def render_spine(ct: sitk.Image, mask: sitk.Image, spine: Sequence[Vertebra], *, height: int) -> SpinePicture | None:
    """Draws the spine.

    Args:
        ct: in Hounsfield units, any grid.
        mask: nonzero where fractured, outlined; any grid.
        spine: from the top down.
        height: pixels, at most; a short spine is smaller, so that it is not blurred.

    Returns: None without a vertebra.
    """
    curve = spine_curve([vertebra.centroid_ras_mm for vertebra in spine])
    if curve is None:
        return None
    hu = curve.straighten(ct, outside=AIR_HU)
    fracture = curve.straighten(sitk.Cast(mask != 0, sitk.sitkUInt8), outside=0.0) * FULL
    scale = min(_LARGEST_SCALE * STEP_MM, height / hu.shape[0])
    size = max(1, round(hu.shape[1] * scale)), max(1, round(hu.shape[0] * scale))
    strip = painted(gray_levels(hu, size), [(fracture, RESULT_COLOR)])

    image = Image.new("RGB", (_NAMES_WIDTH + size[0] + _MARKS_WIDTH, size[1]), PAPER)
    image.paste(strip, (_NAMES_WIDTH, 0))
    picture = SpinePicture(image, curve, scale / STEP_MM, _NAMES_WIDTH)
    _annotate(ImageDraw.Draw(image), picture, spine)
    return picture


def _annotate(draw: ImageDraw.ImageDraw, picture: SpinePicture, spine: Sequence[Vertebra]) -> None:
    scale = picture.pixels_per_mm * STEP_MM
    rows = [picture.curve.place(vertebra.centroid_ras_mm)[0] * scale for vertebra in spine]
    closest = min(np.diff(rows), default=np.inf)
    size = int(np.clip(closest, _SMALLEST_TEXT, _TEXT))
    right = picture.image.width - _MARKS_WIDTH
    for vertebra, y in zip(spine, rows, strict=True):
        color = RESULT_COLOR if vertebra.flagged else INK
        name = vertebra.level or str(vertebra.number)
        draw.text((_NAMES_WIDTH - 6, y), name, fill=color, font=font(size), anchor="rm")
        if vertebra.flagged:
            half = size * 0.4
            draw.polygon(
                [(right + 4, y), (right + 4 + 2 * half, y - half), (right + 4 + 2 * half, y + half)], fill=color
            )
            draw.text((right + 8 + 2 * half, y), _mark(vertebra), fill=color, font=font(size), anchor="lm")
    bar_mm = 50 if picture.image.height / picture.pixels_per_mm >= 120 else 10
    x, y = right - 8, picture.image.height - 8
    draw.line([(x - bar_mm * picture.pixels_per_mm, y), (x, y)], fill=INK, width=2)
    draw_text(draw, (x - bar_mm * picture.pixels_per_mm / 2, y - 4), f"{bar_mm} mm", "mb", 11)
    draw_text(draw, (_NAMES_WIDTH + 4, 4), "A", "lt", 13, FAINT)
    draw_text(draw, (right - 4, 4), "P", "rt", 13, FAINT)


def _mark(vertebra: Vertebra) -> str:
    """For example "82 %, grade 2"."""
    grade = "" if vertebra.genant is None else f", grade {vertebra.genant}"
    return f"{100 * vertebra.fracture_probability:.0f} %{grade}"
