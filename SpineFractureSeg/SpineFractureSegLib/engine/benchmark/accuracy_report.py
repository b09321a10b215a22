"""The accuracy report as one HTML file: figures, tables, curves, and pictures of what went well and what did not."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from SpineFractureSegLib.engine.benchmark.case_score import CaseScore
from SpineFractureSegLib.engine.benchmark.reliability import Reliability
from SpineFractureSegLib.engine.html_report import Curve, Html, gallery, image_tag, page, svg_curves, table

_PICTURES = 3  # of the best, the median and the worst cases each
_METHOD = (
    "Whole volumes are scored, at 1 mm, intact vertebrae and cases without fracture included. A lesion is the body of "
    "one fractured vertebra, or a connected part of what was drawn as fracture; it is found when at least 10 % of it "
    "is covered. A false positive is a 26-connected part of the mask that touches no fractured and no uncertain voxel. "
    "A vertebra is called fractured when its mean probability reaches the threshold. Clear: without fractures of "
    "Genant grade 1. Intervals: 95 %, bootstrap over {over}."
)


def accuracy_page(
    report: dict,
    simulated: Sequence[CaseScore],
    reliability: dict[str, Reliability],
    pictures: dict[str, Path],
    finding_pictures: dict[str, Sequence[Path]],
) -> str:
    """The page.

    Args:
        report: as it is written to accuracy.json.
        simulated: scores of the simulated cases.
        reliability: name of a calibration curve -> what it shows.
        pictures: name of a case -> its picture.
        finding_pictures: name of a real CT -> pictures of what was found in it.
    """
    sections: list[tuple[str, str | Sequence[str]]] = [("Model", _model(report))]
    if simulated:
        summary = report["simulated"]["summary"]
        over = summary["intervals_over"]
        sections.append(("Simulated fractures, held out", [_METHOD.format(over=over), _figures(summary)]))
        for name, rows in report["simulated"]["tables"].items():
            sections.append((name.replace("_", " ").capitalize(), _rows(rows)))
        sections.append(("Lesions found against false positives", _froc(report["simulated"]["froc"])))
        sections.append(("Calibration", _calibration(reliability)))
        sections += _case_pictures(simulated, pictures)
    if report["real"]:
        note = "None has a known fracture: every finding is counted as a false alarm."
        tags = [image_tag(_opened(path), name) for name, paths in finding_pictures.items() for path in paths]
        sections.append(("Real CTs without known fracture", [note, _rows(report["real"]), gallery(tags)]))
    if report.get("shapes"):
        found = [{"group": name.replace("_", " ")} | part for name, part in report["shapes"]["found"].items()]
        groups = [table([row.values()], header=[key.replace("_", " ") for key in row]) for row in found]
        tags = [image_tag(_opened(pictures[name]), name) for name in report["shapes"]["cases"] if name in pictures]
        rows = _rows(report["shapes"]["vertebrae"])
        sections.append(("Real fractured shapes, synthesized surroundings", [*groups, rows, gallery(tags)]))
    return page(f"Accuracy of {report['model']}", sections)


def _model(report: dict) -> Html:
    keys = ("model", "version", "sha256", "threshold", "min_volume_mm3", "by_body")
    return table([[key, report[key]] for key in keys])


def _figures(summary: dict) -> Html:
    rows = []
    for name, value in summary.items():
        if name.endswith("_interval") or name == "intervals_over":
            continue
        ends = summary.get(f"{name}_interval")
        interval = f"{ends[0]:.3f} to {ends[1]:.3f}" if ends and None not in ends else ""
        rows.append([name.replace("_", " "), value, interval])
    return table(rows, header=["figure", "value", "95 % interval"])


def _rows(rows: Sequence[dict]) -> Html:
    names = list(rows[0]) if rows else []
    shown = [[", ".join(map(str, v)) if isinstance(v, list) else v for v in (row[n] for n in names)] for row in rows]
    return table(shown, header=[name.replace("_", " ") for name in names])


def _froc(points: Sequence[dict]) -> Html:
    x = [point["false_positives_per_scan"] for point in points]
    curves = [
        Curve(name, x, [np.nan if point[key] is None else point[key] for point in points], points=True)
        for name, key in (("clear lesions", "sensitivity"), ("Genant 1", "sensitivity_grade_1"))
    ]
    return svg_curves(
        curves, x_label="false positives per scan", y_label="lesions found", x_range=(0, 4), y_range=(0, 1)
    )


def _calibration(reliability: dict[str, Reliability]) -> list[Html]:
    curves = [Curve("perfect", [0, 1], [0, 1], dashed=True)]
    for name, of_voxels in reliability.items():
        rows = of_voxels.rows()
        x, y = [row["probability"] for row in rows], [row["true_share"] for row in rows]
        curves.append(Curve(f"{name}, ECE {of_voxels.error:.3f}", x, y, points=True))
    return [svg_curves(curves, x_label="probability", y_label="share that is true", x_range=(0, 1), y_range=(0, 1))]


def _case_pictures(scores: Sequence[CaseScore], pictures: dict[str, Path]) -> list[tuple[str, Html]]:
    """Best, median and worst cases with a fracture by Dice, each."""
    ranked = sorted((score for score in scores if score.reference), key=lambda score: (-score.dice, score.name))
    count = max(min(_PICTURES, len(ranked) // 3), 1)
    middle = max((len(ranked) - count) // 2, 0)
    parts = {"Best": ranked[:count], "Median": ranked[middle : middle + count], "Worst": ranked[-count:]}
    return [
        (
            f"{name} cases by Dice",
            gallery(image_tag(_opened(pictures[score.name]), f"{score.name}: Dice {score.dice:.3f}") for score in part),
        )
        for name, part in parts.items()
        if part
    ]


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image
