"""Do simulated fractures have the heights of real ones? A figure and its numbers. Needs pillow.

Words: a point is one vertebral body: its anterior over its posterior height against its middle over its posterior one.
Real fractured bodies are those of the library, and of single shapes beside it, with a grade; real intact ones are all
other bodies of known state.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from SpineFractureSegLib.engine.simulator.config import SimulationConfig
from SpineFractureSegLib.engine.simulator.fractures import COMPRESSIONS, draw_fracture
from SpineFractureSegLib.engine.simulator.heights import measure_heights_mm
from SpineFractureSegLib.engine.simulator.plan import candidates_of
from SpineFractureSegLib.engine.simulator.shapes import Spine
from SpineFractureSegLib.engine.simulator.vertebra_frame import frames_of
from SpineFractureSegLib.engine.vertebrae.heights import height_ratios

_KINDS = (*COMPRESSIONS, "burst")
_COLORS = {
    "intact": (150, 150, 150),
    "wedge": (70, 130, 230),
    "lateral": (60, 190, 190),
    "biconcave": (70, 180, 80),
    "crush": (230, 150, 40),
    "burst": (170, 90, 200),
    "real fracture": (220, 30, 30),
}
_SIDE, _MARGIN = 640, 60
_RANGE = (0.3, 1.3)


def collect_ratios(
    spines: Sequence[Spine],
    per_vertebra: int = 1,
    seed: int = 0,
    config: SimulationConfig = SimulationConfig(),  # noqa: B008
    shapes: Sequence[tuple[Spine, Mapping[int, int]]] = (),
) -> dict[str, list[dict[str, float]]]:
    """Height ratios by group: simulated ones by type, real intact and real fractured bodies.

    Args:
        per_vertebra: fractures of each type drawn for each intact thoracic or lumbar body.
        shapes: further real bodies, as spines and the grades of the vertebrae that are meant; 0 is an intact one.
    """
    groups = {name: [] for name in _COLORS}
    for spine, grades in [*((spine, spine.genant) for spine in spines), *shapes]:
        frames = frames_of(spine)
        for vertebra in sorted(set(frames) & set(grades)):
            heights = measure_heights_mm(spine, frames[vertebra])
            about = {"vertebra": vertebra, "genant": grades[vertebra], "spine": spine.name}
            groups["real fracture" if grades[vertebra] else "intact"].append(height_ratios(heights) | about)
    for spine in spines:
        frames = frames_of(spine)
        for vertebra in candidates_of(spine, frames):
            if vertebra < 12:  # above T5 three places along the depth are hardly told apart
                continue
            groups["intact"].append(height_ratios(measure_heights_mm(spine, frames[vertebra])))
            for number, kind in enumerate(_KINDS * per_vertebra):
                rng = np.random.default_rng((seed, vertebra, number))
                drawn = draw_fracture(rng, spine, frames[vertebra], kind, config.height_loss, config)
                if drawn is not None:
                    groups[kind].append(drawn.height_ratio)
    return groups


def summarize_ratios(groups: dict[str, list[dict[str, float]]]) -> dict[str, dict]:
    """Count, median and 5th to 95th percentile of each ratio of each group."""
    summary = {}
    for name, rows in groups.items():
        summary[name] = {"count": len(rows)}
        for ratio in ("anterior_posterior", "middle_posterior", "lowest_highest"):
            values = [row[ratio] for row in rows]
            if values:
                low, middle, high = np.percentile(values, (5, 50, 95)).round(2).tolist()
                summary[name][ratio] = {"median": middle, "range": [low, high]}
    return summary


def write_height_figure(groups: dict[str, list[dict[str, float]]], folder: str | Path) -> list[Path]:
    """Writes ``height_ratios.png`` and ``height_ratios.json`` into a folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    numbers = folder / "height_ratios.json"
    numbers.write_text(json.dumps(summarize_ratios(groups) | {"real": groups["real fracture"]}, indent=1) + "\n")
    picture = folder / "height_ratios.png"
    _figure(groups).save(picture)
    return [picture, numbers]


def _figure(groups: dict[str, list[dict[str, float]]]) -> Image.Image:
    figure = Image.new("RGB", (_SIDE + 2 * _MARGIN + 90, _SIDE + 2 * _MARGIN), (255, 255, 255))
    draw = ImageDraw.Draw(figure)
    draw.rectangle((_MARGIN, _MARGIN, _MARGIN + _SIDE, _MARGIN + _SIDE), outline=(0, 0, 0))
    for tick in np.arange(0.4, 1.3, 0.2):
        x, y = _place(tick, tick)
        draw.text((x - 8, _MARGIN + _SIDE + 6), f"{tick:.1f}", fill=(0, 0, 0))
        draw.text((_MARGIN - 26, y - 6), f"{tick:.1f}", fill=(0, 0, 0))
    draw.text((_MARGIN + _SIDE // 2 - 90, _MARGIN + _SIDE + 28), "anterior / posterior height", fill=(0, 0, 0))
    draw.text((_MARGIN - 50, _MARGIN - 24), "middle / posterior height", fill=(0, 0, 0))
    for row, (name, points) in enumerate(groups.items()):
        size = 6 if name == "real fracture" else 2
        for point in points:
            x, y = _place(point["anterior_posterior"], point["middle_posterior"])
            draw.ellipse((x - size, y - size, x + size, y + size), fill=_COLORS[name])
        draw.ellipse(
            (_SIDE + _MARGIN + 14, _MARGIN + 22 * row, _SIDE + _MARGIN + 24, _MARGIN + 22 * row + 10), _COLORS[name]
        )
        draw.text((_SIDE + _MARGIN + 30, _MARGIN + 22 * row - 1), f"{name} ({len(points)})", fill=(0, 0, 0))
    return figure


def _place(anterior: float, middle: float) -> tuple[float, float]:
    """Pixel of a point; what lies outside the figure is drawn on its edge."""
    across, up = ((np.clip(v, *_RANGE) - _RANGE[0]) / (_RANGE[1] - _RANGE[0]) * _SIDE for v in (anterior, middle))
    return float(_MARGIN + across), float(_MARGIN + _SIDE - up)
