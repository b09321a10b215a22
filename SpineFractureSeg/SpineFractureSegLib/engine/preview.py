"""A picture of a result: one axial, sagittal and coronal slice of the CT with outlines.

The slices go through the largest finding, each where the finding is widest; without a finding through the reference's
largest component, else through the middle of the vertebrae, else of the CT. They are shown as radiologists read them:
axial and coronal with the patient's left on the right of the image, sagittal facing left, superior up. The three share
one scale in pixels per mm, drawn in the picture. Beside them stands the straightened spine where the vertebrae are
known, in its own scale. Arrays are (slice z up, row y to the back, column x left).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import Image, ImageDraw
from scipy import ndimage

from SpineFractureSegLib.engine.atomic_file import written_whole
from SpineFractureSegLib.engine.drawing import (
    FAINT,
    FULL,
    HALF,
    INK,
    PAPER,
    REFERENCE_COLOR,
    RESULT_COLOR,
    draw_text,
    fitted,
    font,
    gray_levels,
    painted,
)
from SpineFractureSegLib.engine.orientation import WorkingVolume, to_working_grid
from SpineFractureSegLib.engine.preprocessing import AIR_HU
from SpineFractureSegLib.engine.report import NOTICE
from SpineFractureSegLib.engine.spine_report.picture import render_spine
from SpineFractureSegLib.engine.vertebrae.vertebra import Vertebra

_PANEL = 420  # pixels, height and width of a panel
_FIELD_MM = 180.0  # widest field shown in a panel: about five lumbar vertebrae
_SMALLEST_FIELD_MM = 40.0
_SPACING_MM = 1.0
_GAP, _MARGIN, _LINE = 8, 12, 20
_WITHIN_26 = np.ones((3, 3, 3))


@dataclass(frozen=True)
class _View:
    """How one plane of a (Z, Y, X) volume becomes an image."""

    name: str
    axis: int  # that the slices are counted along
    rows: int  # volume axis that runs down the image
    columns: int
    upside_down: bool  # z grows to superior, image rows grow downwards
    letters: tuple[str, str, str, str]  # left, right, top, bottom


_VIEWS = (
    _View("Axial", 0, 1, 2, False, ("R", "L", "A", "P")),
    _View("Sagittal", 2, 0, 1, True, ("A", "P", "S", "I")),
    _View("Coronal", 1, 0, 2, True, ("R", "L", "S", "I")),
)


def render_preview(
    ct: sitk.Image,
    mask: sitk.Image,
    *,
    reference: sitk.Image | None = None,
    vertebrae: sitk.Image | None = None,
    spine: Sequence[Vertebra] = (),
    title: str = "",
    caption: tuple[str, ...] = (),
) -> Image.Image:
    """The picture as an RGB image of three panels and the spine, with a title, a legend and lines of caption.

    Args:
        ct: in Hounsfield units. This and the images below are in physical space, their grids may differ.
        mask: nonzero where a fracture was found.
        reference: nonzero where a fracture is.
        vertebrae: probability of vertebra, only to choose a slice when nothing was found.
        spine: from the top down; the straightened spine is drawn where there is a vertebra.
        title: on the left above the panels.
        caption: lines below them.
    """
    working = to_working_grid(ct, _SPACING_MM)
    result = _on_grid(mask != 0, working)
    truth = None if reference is None else _on_grid(reference != 0, working)
    point = _point_of_interest(result, truth, None if vertebrae is None else _on_grid(vertebrae, working))
    field_mm = max(_SMALLEST_FIELD_MM, min(_FIELD_MM, max(working.hu.shape) * _SPACING_MM))

    straightened = render_spine(ct, mask, spine, height=_PANEL)
    beside = 0 if straightened is None else _GAP + straightened.image.width
    width = 3 * _PANEL + 2 * _GAP + beside + 2 * _MARGIN
    lines = [*caption, NOTICE]
    header, footer = _MARGIN + _LINE + 10, 10 + _LINE * len(lines) + _MARGIN
    picture = Image.new("RGB", (width, header + _PANEL + footer), PAPER)
    draw = ImageDraw.Draw(picture)
    _draw_header(draw, width, title, has_reference=truth is not None)
    for number, view in enumerate(_VIEWS):
        panel = _render_panel(view, point, field_mm, working.hu, result, truth)
        picture.paste(panel, (_MARGIN + number * (_PANEL + _GAP), header))
    if straightened is not None:
        picture.paste(straightened.image, (_MARGIN + 3 * (_PANEL + _GAP), header))
    for number, line in enumerate(lines):
        color = FAINT if line == NOTICE else INK
        y = header + _PANEL + 10 + number * _LINE
        draw.text((_MARGIN, y), fitted(line, width - 2 * _MARGIN), fill=color, font=font(14))
    return picture


def write_preview(path: str | Path, picture: Image.Image) -> None:
    """Writes the picture as PNG beside ``path`` and renames it.

    Raises: UserError, when it cannot be written.
    """
    with written_whole(path) as partial:
        picture.save(partial, format="PNG")


def _on_grid(image: sitk.Image, working: WorkingVolume) -> np.ndarray:
    """uint8 (Z, Y, X) on the working grid, 255 for 1: a quarter of float32's memory. Linear, so that outlines of thick
    slices are smooth."""
    size = [int(length) for length in working.hu.shape[::-1]]
    axes = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    spacing = [working.spacing_mm] * 3
    scaled = sitk.Cast(image * FULL, sitk.sitkUInt8)
    return sitk.GetArrayFromImage(
        sitk.Resample(scaled, size, sitk.Transform(), sitk.sitkLinear, working.origin_mm, spacing, axes, 0.0)
    )


def _point_of_interest(
    result: np.ndarray, truth: np.ndarray | None, vertebrae: np.ndarray | None
) -> tuple[int, int, int]:
    """(z, y, x) of the three slices."""
    for volume in (result, truth):
        if volume is not None and volume.max() >= HALF:
            return _widest_slices(volume >= HALF)
    if vertebrae is not None and vertebrae.max() >= HALF:
        z, y, x = (int(np.median(indices)) for indices in np.nonzero(vertebrae >= HALF))
        return z, y, x
    z, y, x = (length // 2 for length in result.shape)
    return z, y, x


def _widest_slices(mask: np.ndarray) -> tuple[int, int, int]:
    """(z, y, x) of the slices in which the largest component has most voxels."""
    labels, _ = ndimage.label(mask, _WITHIN_26, output=np.int32)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    component = labels == np.argmax(sizes)
    areas = (component.sum(axis=others) for others in ((1, 2), (0, 2), (0, 1)))
    # the middle one of several equal ones: a box is cut through its center
    z, y, x = (int(np.median(np.flatnonzero(area == area.max()))) for area in areas)
    return z, y, x


def _render_panel(
    view: _View,
    point: tuple[int, int, int],
    field_mm: float,
    hu: np.ndarray,
    result: np.ndarray,
    truth: np.ndarray | None,
) -> Image.Image:
    """One square panel of ``field_mm`` around the point, moved inside the CT where that is larger."""
    size = (_PANEL, _PANEL)
    # the reference first, so that the result lies on top where they agree
    outlines = [
        (_cut(volume, view, point, field_mm, outside=0.0), color)
        for volume, color in ((truth, REFERENCE_COLOR), (result, RESULT_COLOR))
        if volume is not None
    ]
    image = painted(gray_levels(_cut(hu, view, point, field_mm, outside=AIR_HU), size), outlines)
    _annotate(ImageDraw.Draw(image), view, field_mm)
    return image


def _cut(volume: np.ndarray, view: _View, point: tuple[int, int, int], field_mm: float, outside: float) -> np.ndarray:
    """The square of the slice that a panel shows, as the image is oriented; float32 (side, side)."""
    section = volume.take(point[view.axis], axis=view.axis)
    side = round(field_mm / _SPACING_MM)
    square = np.full((side, side), outside, dtype=np.float32)
    inside, shown = [], []
    for length, center in zip(section.shape, (point[view.rows], point[view.columns]), strict=True):
        start = max(0, min(center - side // 2, length - side))
        count = min(side, length)
        offset = (side - count) // 2
        inside.append(slice(start, start + count))
        shown.append(slice(offset, offset + count))
    square[tuple(shown)] = section[tuple(inside)]
    return square[::-1] if view.upside_down else square


def _annotate(draw: ImageDraw.ImageDraw, view: _View, field_mm: float) -> None:
    """Name, orientation letters and scale bar."""
    middle, edge = _PANEL // 2, 6
    left, right, top, bottom = view.letters
    for letter, place, anchor in (
        (left, (edge, middle), "lm"),
        (right, (_PANEL - edge, middle), "rm"),
        (top, (middle, edge), "mt"),
        (bottom, (middle, _PANEL - edge), "mb"),
    ):
        draw_text(draw, place, letter, anchor, 16)
    draw_text(draw, (edge, edge), view.name, "lt", 13)
    bar_mm = 50 if field_mm >= 120 else 10
    length, y = bar_mm / field_mm * _PANEL, _PANEL - 10
    draw.line([(_PANEL - edge - length, y), (_PANEL - edge, y)], fill=INK, width=2)
    draw_text(draw, (_PANEL - edge - length / 2, y - 5), f"{bar_mm} mm", "mb", 12)


def _draw_header(draw: ImageDraw.ImageDraw, width: int, title: str, *, has_reference: bool) -> None:
    """The title on the left, what the colors mean on the right."""
    x = width - _MARGIN
    entries = [("result", RESULT_COLOR)] + ([("reference", REFERENCE_COLOR)] if has_reference else [])
    for text, color in reversed(entries):
        x -= draw.textlength(text, font=font(14))
        draw.text((x, _MARGIN + _LINE / 2), text, fill=INK, font=font(14), anchor="lm")
        draw.line([(x - 30, _MARGIN + _LINE / 2), (x - 8, _MARGIN + _LINE / 2)], fill=color, width=3)
        x -= 48
    draw.text((_MARGIN, _MARGIN + _LINE / 2), fitted(title, x - 2 * _MARGIN, 17), fill=INK, font=font(17), anchor="lm")
