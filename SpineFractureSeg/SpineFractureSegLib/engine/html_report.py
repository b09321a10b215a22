"""Reports as one HTML file that needs nothing beside it: no script, no style sheet, no font, nothing from a network.

A report is a list of sections, a section a heading and what stands below it. ``Html`` marks text that is markup
already; every other text is escaped, so that a case's or a file's name never breaks a page.

>>> sections = [("Cases", table([["a<b", 0.5]], header=["case", "Dice"])), ("Note", "Three cases & one CT.")]
>>> report = page("Scores", sections)
>>> "a&lt;b" in report and "Three cases &amp; one CT." in report
True
"""

import base64
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from PIL import Image


class Html(str):
    """Markup, which goes into a page as it is."""

    __slots__ = ()


@dataclass(frozen=True)
class Curve:
    """One line of ``svg_curves``. A value that is not finite leaves a gap.

    Raises: ValueError, when x and y differ in length.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False  # for what the others are compared with
    points: bool = False  # a dot at each value

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise ValueError(f"curve {self.name!r}: {len(self.x)} x and {len(self.y)} y")


def page(title: str, sections: Iterable[tuple[str, str | Sequence[str]]]) -> str:
    """The whole file.

    Args:
        title: of the page.
        sections: heading and content; content is one text or several, ``Html`` or plain (a paragraph each).

    Returns: HTML, to be written as UTF-8.
    """
    parts = []
    for heading, content in sections:
        blocks = [content] if isinstance(content, str) else content
        parts.append(f"<section><h2>{escape(heading)}</h2>{''.join(_block(block) for block in blocks)}</section>")
    return _PAGE.format(title=escape(title), style=_STYLE, body="\n".join(parts))


def table(rows: Iterable[Sequence[object]], header: Sequence[str] = ()) -> Html:
    """Rows of texts, numbers (four significant digits, to the right), None (a dash) or ``Html``."""
    head = "".join(f"<th>{_text(name)}</th>" for name in header)
    lines = [f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows]
    return Html(
        f'<div class="wide"><table>{f"<thead><tr>{head}</tr></thead>" if head else ""}{"".join(lines)}</table></div>'
    )


def image_tag(image: Image.Image, caption: str = "") -> Html:
    """The image within the page, as PNG; the caption below it is its text for those who do not see it, too."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    below = f"<figcaption>{_text(caption)}</figcaption>" if caption else ""
    size = f'width="{image.width}" height="{image.height}"'
    tag = f'<img src="data:image/png;base64,{data}" {size} alt="{escape(caption)}">'
    return Html(f"<figure>{tag}{below}</figure>")


def gallery(pictures: Iterable[Html]) -> Html:
    """What ``image_tag`` or ``svg_curves`` made, side by side where the page is wide enough."""
    return Html(f'<div class="gallery">{"".join(pictures)}</div>')


def svg_curves(
    curves: Sequence[Curve],
    *,
    x_label: str = "",
    y_label: str = "",
    caption: str = "",
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    size: tuple[int, int] = (460, 300),
) -> Html:
    """Lines over common axes.

    Args:
        curves: what is drawn; none, or none with a finite value, leaves empty axes.
        x_label: below the axis.
        y_label: beside the axis.
        caption: below the picture.
        x_range: lowest and highest value shown; all values, when None. Lines are clipped to it.
        y_range: likewise.
        size: width and height in pixels.
    """
    width, height = size
    left, right, top, bottom = 68, width - 12, 12, height - 44
    x_low, x_high = x_range or _range([value for curve in curves for value in curve.x])
    y_low, y_high = y_range or _range([value for curve in curves for value in curve.y])

    def place(x: float, y: float) -> tuple[float, float]:
        across = left + (x - x_low) / (x_high - x_low) * (right - left)
        return across, bottom - (y - y_low) / (y_high - y_low) * (bottom - top)

    parts = []
    whole = all(float(value).is_integer() for curve in curves for value in curve.x)  # epochs, counts
    for tick in _ticks(x_low, x_high, least=1.0 if whole else 0.0):
        x, _ = place(tick, y_low)
        parts.append(f'<path class="grid" d="M{x:.1f} {top}V{bottom}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick:.6g}</text>')
    for tick in _ticks(y_low, y_high):
        _, y = place(x_low, tick)
        parts.append(f'<path class="grid" d="M{left} {y:.1f}H{right}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:.6g}</text>')
    middle = (top + bottom) / 2
    parts.append(f'<text x="{(left + right) / 2}" y="{height - 8}" text-anchor="middle">{_text(x_label)}</text>')
    parts.append(
        f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">{_text(y_label)}</text>'
    )
    # a nested svg clips to the axes without an id, which several pictures of one page would share
    parts.append(
        f'<svg x="{left}" y="{top}" width="{right - left}" height="{bottom - top}"'
        f' viewBox="{left} {top} {right - left} {bottom - top}">'
    )
    parts += [_line(curve, color, place) for curve, color in zip(curves, _colors(len(curves)), strict=True)]
    parts.append("</svg>")
    legend = "".join(
        f'<span><i style="border-top: 3px {"dashed" if c.dashed else "solid"} {color}"></i>{_text(c.name)}</span>'
        for c, color in zip(curves, _colors(len(curves)), strict=True)
    )
    drawing = f'<svg class="chart" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">'
    below = f'<div class="legend">{legend}</div>' + (_text(caption) if caption else "")
    return Html(f"<figure>{drawing}{''.join(parts)}</svg><figcaption>{below}</figcaption></figure>")


def _line(curve: Curve, color: str, place) -> str:
    values = [(float(x), float(y)) for x, y in zip(curve.x, curve.y, strict=True)]
    runs = [
        [place(*value) for value in run]
        for finite, run in groupby(values, lambda value: math.isfinite(value[0]) and math.isfinite(value[1]))
        if finite
    ]
    path = "".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in run) for run in runs)
    dash = ' stroke-dasharray="5 4"' if curve.dashed else ""
    drawn = f'<path d="{path}" fill="none" stroke="{color}" stroke-width="1.8"{dash}/>' if path else ""
    # a value alone between gaps has no line: it is shown as a dot
    dots = [point for run in runs for point in run if curve.points or len(run) == 1]
    return drawn + "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.8" fill="{color}"/>' for x, y in dots)


def _range(values: Sequence[float]) -> tuple[float, float]:
    finite = [float(value) for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float, least: float = 0.0) -> list[float]:
    """Some three to seven round values between low and high, at least ``least`` apart.

    >>> [round(tick, 3) for tick in _ticks(0.0, 1.0)], _ticks(1, 3, least=1.0)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [1.0, 2.0, 3.0])
    """
    power = 10.0 ** math.floor(math.log10((high - low) / 5))
    step = next(step * power for step in (1, 2, 5, 10) if (high - low) / (step * power) <= 6)
    step = max(step, least)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _colors(count: int) -> list[str]:
    """Distinct to color-blind readers, too (Okabe and Ito 2008); they repeat after seven."""
    colors = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
    return [colors[index % len(colors)] for index in range(count)]


def _block(content: str) -> str:
    return content if isinstance(content, Html) else f"<p>{escape(content)}</p>"


def _text(content: str) -> str:
    return content if isinstance(content, Html) else escape(content)


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return '<td class="number">&ndash;</td>'
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"<td>{_text(value if isinstance(value, str) else str(value))}</td>"
    return f'<td class="number">{value if isinstance(value, int) else f"{value:.4g}"}</td>'


_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; }
body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid #ccc; }
.wide { overflow-x: auto; } table { border-collapse: collapse; margin: .7rem 0; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
figure { margin: .5rem 0; } figcaption { font-size: .85rem; color: #444; } img { max-width: 100%; height: auto; }
.gallery { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
.chart { max-width: 100%; height: auto; } .chart text { font-size: 11px; fill: #444; }
.grid { stroke: #e2e2e2; fill: none; }
.legend span { margin-right: 1rem; white-space: nowrap; }
.legend i { display: inline-block; width: 1.4rem; vertical-align: middle; margin-right: .35rem; }
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""
