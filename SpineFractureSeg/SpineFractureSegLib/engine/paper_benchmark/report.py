"""Writes what the benchmark found: Markdown, CSV, JSON, one HTML file, and the figures as PNG."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from SpineFractureSegLib.engine.html_report import image_tag, page, table
from SpineFractureSegLib.engine.output_set import OutputSet
from SpineFractureSegLib.engine.paper_benchmark.entries import Entry
from SpineFractureSegLib.engine.paper_benchmark.figures import comparison_figure
from SpineFractureSegLib.engine.paper_benchmark.presets import Preset
from SpineFractureSegLib.engine.paper_benchmark.run import NetworkResult, load_examples, run_folder
from SpineFractureSegLib.engine.paper_benchmark.tables import (
    HEADER,
    TITLES,
    Row,
    csv_text,
    markdown,
    rows_of,
    table_rows,
    verdict,
)

_MEANING = (
    "Simulated fractures on the test spines of the shape library, not the paper's patients: the two must not be "
    "compared number by number, only the order of the networks. Scores are of slices with a fracture, as the paper's "
    "images are taken to be; the DSC of all slices, the last one, counts intact vertebrae that are painted elsewhere, "
    "too. DSC and IoU are means over the cases, with the 95 % interval of cases drawn again; pooled ones count the "
    "pixels of all cases; two-class IoU is the mean of foreground and background. The paper's IoU lies above its DSC "
    "in most rows, which no mask can have: for one mask IoU = DSC / (2 - DSC). All networks start from random weights."
)


def write_report(
    folder: str | Path, runs: str | Path, preset: Preset, entries: Sequence[Entry], results: Sequence[NetworkResult]
) -> list[Row]:
    """Writes all or none of ``paper.md``, ``.csv``, ``.html``, ``.json`` (configurations), ``<table>_<plane>.png``.

    Args:
        folder: gets the files.
        runs: where the networks' folders are.
        preset: that they were made with.
        entries: which networks.
        results: what there is of them; some may be missing.

    Returns: the rows of all tables.
    """
    folder, rows = Path(folder), table_rows(entries, results)
    figures = _figures(runs, preset, rows)
    text, sections = [f"# The paper's tables, preset {preset.name}\n\n{_MEANING}\n\n{_protocol(preset)}\n"], []
    for name, title in TITLES.items():
        own = rows_of(rows, name)
        if not own:
            continue
        text.append(f"\n## {title}\n\n{verdict(own)}\n\n{markdown(own)}")
        pictures = []
        for (of, plane), figure in figures.items():
            if of == name:
                text.append(f"\n![{plane} slices]({of}_{plane}.png)\n")
                pictures.append(image_tag(figure, f"{plane} slices; blue: the truth, orange: the answer"))
        sections.append((title, [verdict(own), table([row.cells() for row in own], HEADER), *pictures]))
    html = page(f"The paper's tables, preset {preset.name}", [("Protocol", [_MEANING, _protocol(preset)]), *sections])
    with OutputSet() as outputs:
        outputs.place(folder / "paper.md").write_text("".join(text), encoding="utf-8")
        outputs.place(folder / "paper.csv").write_text(csv_text(rows), encoding="utf-8")
        outputs.place(folder / "paper.html").write_text(html, encoding="utf-8")
        runs_told = json.dumps(
            [_told(row, result) for row in rows for result in row.results], indent=1, allow_nan=False
        )
        outputs.place(folder / "paper.json").write_text(runs_told + "\n", encoding="utf-8")
        for (name, plane), figure in figures.items():
            figure.save(outputs.place(folder / f"{name}_{plane}.png"))
    return rows


def _told(row: Row, result: NetworkResult) -> dict:
    """A training's configuration and outcome, without its counts; the scores are of all seeds of the network."""
    fields = {name: value for name, value in asdict(result).items() if name != "counts"}
    scores = {"slices_with_fracture": row.all_planes, "all_slices": row.all_slices, **row.planes}
    return _without_nan({"title": row.entry.title, **fields, "scores": scores})


def _without_nan(value: Any) -> Any:
    """None for what is not defined: JSON has no nan."""
    if isinstance(value, dict):
        return {name: _without_nan(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _protocol(preset: Preset) -> str:
    training, preprocessing = preset.training, preset.preprocessing
    rows, columns = preprocessing.window_size
    limit = "no time limit" if training.max_minutes is None else f"at most {training.max_minutes:g} minutes"
    return (
        f"All networks alike: {preset.cases[0]} training, {preset.cases[1]} validation and {preset.cases[2]} test "
        f"cases of different patients, single {' and '.join(preprocessing.planes)} slices with a fracture, windows of "
        f"{rows}x{columns} at {preprocessing.spacing_mm:g} mm, Adam at {training.learning_rate:g}, batches of "
        f"{training.batch_size}, up to {training.max_epochs} epochs of {training.slices_per_epoch} slices and {limit}, "
        f"learning rate x{training.plateau_factor:g} on a plateau, end after "
        f"{training.early_stopping_epochs} epochs without a better validation score; every "
        f"{preset.test_slice_step}. slice of a test case is scored. Width {preset.width}, "
        "SpineGAN's half of it as published."
    )


def _figures(runs: str | Path, preset: Preset, rows: Sequence[Row]) -> dict[tuple[str, str], Image.Image]:
    """(table, plane) -> figure, of each network's first seed."""
    figures = {}
    for name in TITLES:
        own = rows_of(rows, name)
        examples = {row.entry.title: load_examples(run_folder(runs, row.entry, row.results[0].seed)) for row in own}
        for plane in preset.preprocessing.planes:
            answers = {title: [one for one in of if one.plane == plane] for title, of in examples.items()}
            if answers and all(answers.values()):
                figures[name, plane] = comparison_figure(answers, preset.preprocessing.spacing_mm)
    return figures
