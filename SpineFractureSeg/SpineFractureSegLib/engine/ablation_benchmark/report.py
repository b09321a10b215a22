"""Writes what the ablation found: Markdown, CSV and JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from SpineFractureSegLib.engine.ablation_benchmark.presets import Preset
from SpineFractureSegLib.engine.ablation_benchmark.run import ArmResult
from SpineFractureSegLib.engine.ablation_benchmark.table import Row, csv_text, markdown, table_rows, verdict
from SpineFractureSegLib.engine.output_set import OutputSet

_MEANING = (
    "Each row is a training of its own from random weights, calibrated and scored as the bundled model is. Dice, AUC, "
    "lesions and false positives are of simulated cases of patients that no arm was trained on, with scanners and "
    "fracture types that training never draws, whole volumes, intact ones included. Every finding in a real CT is "
    "false, none has a known fracture. Real fractured shapes: Genant 2 and 3, found in most of their synthesized "
    "surroundings. Intervals are over the test cases, of few patients, and not over trainings."
)


def write_report(folder: str | Path, preset: Preset, results: Sequence[ArmResult]) -> list[Row]:
    """Writes all or none of ``ablation.md``, ``.csv`` and ``.json`` (configurations); returns the rows."""
    folder, rows = Path(folder), table_rows(results)
    text = (
        f"# Ablation, preset {preset.name}\n\n{_MEANING}\n\n{_protocol(preset)}\n\n{verdict(rows)}\n\n{markdown(rows)}"
    )
    told = [{"title": row.arm.title, **asdict(result)} for row in rows for result in row.results]
    with OutputSet() as outputs:
        outputs.place(folder / "ablation.md").write_text(text, encoding="utf-8")
        outputs.place(folder / "ablation.csv").write_text(csv_text(rows), encoding="utf-8")
        outputs.place(folder / "ablation.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return rows


def _protocol(preset: Preset) -> str:
    training, preprocessing = preset.settings.training, preset.settings.preprocessing
    rows, columns = preprocessing.window_size
    return (
        f"All alike: {preset.cases[0]} simulated training, {preset.cases[1]} validation and {preset.cases[2]} test "
        f"cases of different patients, windows of {rows}x{columns} at {preprocessing.spacing_mm:g} mm, width "
        f"{preset.settings.network.width}, {training.max_epochs} epochs of {training.slices_per_epoch} slices in "
        f"batches of {training.batch_size}, learning rate {training.learning_rate:g} on a {training.schedule} schedule."
    )
