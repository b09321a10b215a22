"""Figures like the paper's 10 to 13: slices in rows, the ground truth and each network's answer in columns."""

import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from SpineFractureSegLib.engine.drawing import (
    FULL,
    PAPER,
    REFERENCE_COLOR,
    RESULT_COLOR,
    draw_text,
    fitted,
    gray_levels,
    painted,
)
from SpineFractureSegLib.engine.paper_benchmark.slice_scores import Example

_SIDE = 176  # pixels of a picture
_FIELD_MM = 110.0  # that it shows, around the fracture
_LETTERS = 22  # of a line
_LINE = 18  # of a title, two at most
_HEADER = 2 * _LINE + 6


def comparison_figure(answers: dict[str, Sequence[Example]], spacing_mm: float) -> Image.Image:
    """One figure.

    Args:
        answers: column title -> the same slices in the same order, all of one plane.
        spacing_mm: of their pixels.
    """
    columns = [("ground truth", None), *answers.items()]
    slices = next(iter(answers.values()))
    figure = Image.new("RGB", (len(columns) * _SIDE, _HEADER + len(slices) * _SIDE), PAPER)
    draw = ImageDraw.Draw(figure)
    for column, (title, examples) in enumerate(columns):
        lines = textwrap.wrap(title, _LETTERS)[:2]
        for number, line in enumerate(lines):
            height = _HEADER / 2 + (number - (len(lines) - 1) / 2) * _LINE
            draw_text(draw, ((column + 0.5) * _SIDE, height), fitted(line, _SIDE - 8), "mm", 14)
        for row, example in enumerate(examples or slices):
            picture = _picture(example, spacing_mm, with_answer=examples is not None)
            figure.paste(picture, (column * _SIDE, _HEADER + row * _SIDE))
    return figure


def _picture(example: Example, spacing_mm: float, *, with_answer: bool) -> Image.Image:
    """The truth in blue; the answer in orange on top of it."""
    part = _field(example.truth, spacing_mm)
    images = [image[part] for image in (example.hu, example.truth, example.answer)]
    if example.plane != "axial":
        images = [image[::-1] for image in images]  # rows count upwards: the head belongs on top
    hu, truth, answer = images
    outlines = [(np.where(truth, FULL, 0), REFERENCE_COLOR)]
    if with_answer:
        outlines.append((np.where(answer, FULL, 0), RESULT_COLOR))
    scale = _SIDE / max(hu.shape)
    size = (max(round(hu.shape[1] * scale), 1), max(round(hu.shape[0] * scale), 1))
    picture = Image.new("RGB", (_SIDE, _SIDE), PAPER)
    picture.paste(painted(gray_levels(hu, size), outlines), ((_SIDE - size[0]) // 2, (_SIDE - size[1]) // 2))
    return picture


def _field(truth: np.ndarray, spacing_mm: float) -> tuple[slice, slice]:
    """A square around the fracture, moved into the slice."""
    center = np.argwhere(truth).mean(0)
    side = round(_FIELD_MM / spacing_mm)
    field = []
    for middle, length in zip(center, truth.shape, strict=True):
        start = int(np.clip(round(middle - side / 2), 0, max(length - side, 0)))
        field.append(slice(start, start + side))
    return field[0], field[1]
