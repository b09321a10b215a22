"""Measure a model: accuracy on simulated and real CT, or speed.

  spine-fracture-seg benchmark accuracy --count 24 --output accuracy
  spine-fracture-seg benchmark accuracy --count 24 --real-ct chest.nii.gz --real-ct abdomen.nii.gz --output accuracy
  spine-fracture-seg benchmark speed ct.nii.gz

accuracy simulates --count cases on the test spines of the shape library (patients that were not trained on), with
scanners and patterns that training never draws, and scores whole volumes. --real-ct adds CTs without known fracture:
every finding there is a false alarm. The output folder gets accuracy.json and a picture per case.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from SpineFractureSegLib.engine.progress_output import add_progress_argument, progress_to

if TYPE_CHECKING:
    from SpineFractureSegLib.engine.model_file import Model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(title="benchmarks", dest="benchmark", required=True, metavar="BENCHMARK")
    accuracy = kinds.add_parser("accuracy", help="Dice, IoU, vertebra and lesion scores, false alarms")
    accuracy.add_argument("--output", required=True, metavar="FOLDER")
    accuracy.add_argument("--count", type=int, default=24, help="simulated cases; 0: real CTs alone (default: 24)")
    accuracy.add_argument("--seed", type=int, default=900_000)
    accuracy.add_argument("--library", metavar="FOLDER", help="spines; default: the shape library of the clone")
    accuracy.add_argument("--split", choices=("validation", "test"), default="test")
    accuracy.add_argument("--real-ct", action="append", default=[], metavar="CT", help="may be given several times")
    accuracy.add_argument("--processes", type=int, default=1, help="processes that simulate")
    speed = kinds.add_parser("speed", help="seconds and memory for one CT")
    speed.add_argument("ct", metavar="CT")
    speed.add_argument("--repeats", type=int, default=3)
    for kind in (accuracy, speed):
        kind.add_argument("--model", metavar="NAME|PATH", help="default: the bundled model")
        kind.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
        add_progress_argument(kind)


def run(arguments: argparse.Namespace) -> int:
    from SpineFractureSegLib.engine.errors import UserError
    from SpineFractureSegLib.engine.model_file import load_model

    model = load_model(arguments.model)
    if arguments.benchmark == "speed":
        from SpineFractureSegLib.engine.benchmark.speed import measure_speed
        from SpineFractureSegLib.engine.volume import read_ct

        if arguments.repeats < 1:
            raise UserError(f"--repeats must be 1 or more, not {arguments.repeats}.")
        measured = measure_speed(read_ct(arguments.ct).image, model, arguments.device, arguments.repeats)
        print(json.dumps(measured, indent=2))
        return 0
    report = {"model": model.card.name, "version": model.card.version, "threshold": model.card.threshold}
    path = Path(arguments.output) / "accuracy.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    if arguments.count > 0:
        report["simulated"] = _simulated(arguments, model)
    report["real"] = _real(arguments, model)
    path.write_text(json.dumps(report, indent=2) + "\n")
    summary = report["simulated"]["summary"] if "simulated" in report else None
    print(json.dumps({"simulated": summary, "real": report["real"]}, indent=2))
    print(f"Written     {path} and pictures beside it")
    return 0


def _simulated(arguments: argparse.Namespace, model: "Model") -> dict:
    from SpineFractureSegLib.engine.benchmark.accuracy import score_case, summarize, to_json
    from SpineFractureSegLib.engine.benchmark.picture import sagittal_picture
    from SpineFractureSegLib.engine.case import load_case
    from SpineFractureSegLib.engine.simulator.config import HELD_OUT
    from SpineFractureSegLib.engine.simulator.generate import generate_cases
    from SpineFractureSegLib.engine.simulator.shapes import shape_library

    on_progress = progress_to(sys.stderr, arguments.progress)
    folder = Path(arguments.output)
    made = generate_cases(
        arguments.library or shape_library(),
        arguments.split,
        arguments.count,
        folder / "cases",
        seed=arguments.seed,
        config=HELD_OUT,
        processes=arguments.processes,
        on_progress=on_progress,
    )
    scores = []
    for number, path in enumerate(made.simulated):
        case = load_case(path)
        score, probability = score_case(case, model, arguments.device)
        scores.append(score)
        title = f"{case.name}  Dice {score.dice:.2f}  {score.false_positives} false"
        sagittal_picture(case.hu, probability, case.fracture_mask, case.bodies > 0, title).save(
            folder / f"{path.stem}.png"
        )
        on_progress(number + 1, len(made.simulated), "scored cases")
    return {"summary": summarize(scores, model.card.threshold), "cases": to_json(scores)}


def _real(arguments: argparse.Namespace, model: "Model") -> list[dict]:
    from SpineFractureSegLib.engine.benchmark.picture import sagittal_picture
    from SpineFractureSegLib.engine.orientation import to_working_grid
    from SpineFractureSegLib.engine.pipeline import segment_array
    from SpineFractureSegLib.engine.postprocess import label_components, remove_small_components
    from SpineFractureSegLib.engine.volume import read_ct

    rows = []
    for number, path in enumerate(arguments.real_ct):
        working = to_working_grid(read_ct(path).image, model.preprocessing.spacing_mm)
        volumes, predicted = segment_array(working.hu, model, device=arguments.device)
        probability, voxel_mm3 = volumes["fracture"], model.preprocessing.spacing_mm**3
        mask = remove_small_components(probability >= model.card.threshold, model.card.min_volume_mm3, voxel_mm3)
        labels, count = label_components(mask)
        sizes = (labels[labels > 0], voxel_mm3 / 1000)
        name = Path(path).name
        rows.append(
            {
                "ct": name,
                "findings": count,
                "volume_ml": round(float(len(sizes[0]) * sizes[1]), 2),
                "largest_probability": round(float(probability.max()), 3),
                "warnings": predicted.warnings,
            }
        )
        title = f"{name}  {count} findings, {rows[-1]['volume_ml']} mL"
        sagittal_picture(working.hu, probability, None, volumes.get("vertebra"), title).save(
            Path(arguments.output) / f"real-{name.split('.')[0]}.png"
        )
        progress_to(sys.stderr, arguments.progress)(number + 1, len(arguments.real_ct), "real CTs")
    return rows
