"""Measure a model: accuracy on simulated and real CT, its vertebrae, or speed; or compare networks as the paper does.

  spine-fracture-seg benchmark accuracy --count 24 --output accuracy
  spine-fracture-seg benchmark accuracy --count 24 --real-ct chest.nii.gz --real-ct abdomen.nii.gz --output accuracy
  spine-fracture-seg benchmark accuracy --count 0 --shapes-split test validation train --output shapes
  spine-fracture-seg benchmark vertebrae --count 8 --real ct.nii.gz labels.nii.gz --output vertebrae
  spine-fracture-seg benchmark speed ct.nii.gz
  spine-fracture-seg benchmark paper --preset cpu --output paper
  spine-fracture-seg benchmark ablation --preset cpu --output ablation

accuracy simulates --count cases on the test spines of the shape library (patients that were not trained on), with
scanners and patterns that training never draws, and scores whole volumes; --split train does it on the spines that were
trained on, which tells what other people's spines cost. --real-ct adds CTs without known fracture:
every finding there is a false alarm. The fractured vertebrae that the library's label maps of --shapes-split hold are
put into synthesized surroundings; those of the training part were trained on. --shapes adds meshes of single vertebrae,
each put into a spine of the library; those of grade 0 are controls.
The output folder gets accuracy.json, accuracy.html and a picture per case. An interrupted call goes on where it was
stopped: a case that was scored with the same model file is not run again.

vertebrae tells how well bodies are told apart, measured and graded, on --count simulated cases for each slice thickness
of --slices, on real fractured shapes as accuracy takes them, and on real CTs with a label map (--real CT LABELS). The
output folder gets vertebrae.json.

paper trains the proposed network, its six ablations and the six networks of the paper's Table 2 on the same simulated
cases and scores them. The output folder gets paper.md, .csv, .html, .json and figures, anew after every network; the
same command goes on where it was stopped.

ablation trains the bundled model's settings on simulated cases as they are, and without each of our additions
(mimics, real shapes, scan effects, vertebra channel, sagittal plane and others), and scores all alike, on --real-ct as
well. The output folder gets ablation.md, .csv and .json, anew after every training; it goes on in the same way.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from SpineFractureSegLib.engine.commands import benchmark_ablation, benchmark_paper
from SpineFractureSegLib.engine.commands.shape_arguments import add_mesh_arguments, check_mesh_arguments
from SpineFractureSegLib.engine.progress_output import add_progress_argument, progress_to

if TYPE_CHECKING:
    from SpineFractureSegLib.engine.benchmark.real_shapes import RealShape
    from SpineFractureSegLib.engine.model_file import Model
    from SpineFractureSegLib.engine.progress import ProgressCallback

_TRAININGS = {"paper": benchmark_paper, "ablation": benchmark_ablation}
_SHAPE_SEED = 50_000  # beyond the seeds of the simulated cases


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(title="benchmarks", dest="benchmark", required=True, metavar="BENCHMARK")
    accuracy = kinds.add_parser("accuracy", help="Dice, IoU, vertebra and lesion scores, false alarms, calibration")
    accuracy.add_argument("--output", required=True, metavar="FOLDER")
    accuracy.add_argument("--count", type=int, default=24, help="simulated cases; 0: none (default: 24)")
    accuracy.add_argument("--seed", type=int, default=900_000)
    accuracy.add_argument("--library", metavar="FOLDER", help="spines; default: the shape library of the clone")
    accuracy.add_argument(
        "--split", choices=("train", "validation", "test"), default="test", help="part of the library (default: test)"
    )
    accuracy.add_argument("--real-ct", action="append", default=[], metavar="CT", help="may be given several times")
    accuracy.add_argument("--processes", type=int, default=1, help="processes that simulate")
    vertebrae = kinds.add_parser("vertebrae", help="instances, heights and Genant grades of vertebral bodies")
    vertebrae.add_argument("--output", required=True, metavar="FOLDER")
    vertebrae.add_argument("--count", type=int, default=8, help="simulated cases per slice thickness (default: 8)")
    vertebrae.add_argument("--slices", type=float, nargs="+", default=[1.0, 3.0], metavar="MM", help="default: 1 3")
    vertebrae.add_argument("--seed", type=int, default=950_000)
    vertebrae.add_argument("--library", metavar="FOLDER", help="spines; default: the shape library of the clone")
    vertebrae.add_argument("--split", choices=("validation", "test"), default="test")
    vertebrae.add_argument(
        "--real", nargs=2, action="append", default=[], metavar=("CT", "LABELS"), help="may be given several times"
    )
    for kind in (accuracy, vertebrae):
        _add_shape_arguments(kind)
    speed = kinds.add_parser("speed", help="seconds and memory for one CT")
    speed.add_argument("ct", metavar="CT")
    speed.add_argument("--repeats", type=int, default=3)
    for kind in (accuracy, vertebrae, speed):
        kind.add_argument("--model", metavar="NAME|PATH", help="default: the bundled model")
        kind.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
        add_progress_argument(kind)
    benchmark_paper.add_arguments(kinds.add_parser("paper", help="the paper's tables: thirteen networks compared"))
    parts = kinds.add_parser("ablation", help="what each addition to the method is worth: the training without it")
    benchmark_ablation.add_arguments(parts)


def _add_shape_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--shapes-split",
        nargs="*",
        choices=("train", "validation", "test"),
        default=["validation", "test"],
        help="parts of the library whose real fractured vertebrae are tried (default: validation test)",
    )
    add_mesh_arguments(parser)
    parser.add_argument("--surroundings", type=int, default=4, help="per real shape (default: 4)")


def run(arguments: argparse.Namespace) -> int:
    if arguments.benchmark in _TRAININGS:
        return _TRAININGS[arguments.benchmark].run(arguments)
    from SpineFractureSegLib.engine.model_file import load_model

    model = load_model(arguments.model)
    return {"accuracy": _accuracy, "vertebrae": _vertebrae, "speed": _speed}[arguments.benchmark](arguments, model)


def _speed(arguments: argparse.Namespace, model: "Model") -> int:
    from SpineFractureSegLib.engine.benchmark.speed import measure_speed
    from SpineFractureSegLib.engine.errors import UserError
    from SpineFractureSegLib.engine.volume import read_ct

    if arguments.repeats < 1:
        raise UserError(f"--repeats must be 1 or more, not {arguments.repeats}.")
    measured = measure_speed(read_ct(arguments.ct).image, model, arguments.device, arguments.repeats)
    print(json.dumps(measured, indent=2))
    return 0


def _vertebrae(arguments: argparse.Namespace, model: "Model") -> int:
    from SpineFractureSegLib.engine.benchmark.real_shapes import real_shape_cases
    from SpineFractureSegLib.engine.benchmark.vertebra_summary import summarize_spines, to_json
    from SpineFractureSegLib.engine.benchmark.vertebrae import score_real, score_shape, score_simulated, simulate_at
    from SpineFractureSegLib.engine.case import load_case
    from SpineFractureSegLib.engine.errors import UserError
    from SpineFractureSegLib.engine.report import write_json
    from SpineFractureSegLib.engine.simulator.shapes import shape_library

    if arguments.count < 0 or arguments.surroundings < 1 or min(arguments.slices) < 1:
        raise UserError("--count must be 0 or more, --surroundings 1 or more, --slices 1 mm or more.")
    shapes = _real_shapes(arguments)  # first: what is wrong with them is said before the long work
    folder = Path(arguments.output)
    folder.mkdir(parents=True, exist_ok=True)
    on_progress = progress_to(sys.stderr, arguments.progress)
    library = arguments.library or shape_library()
    scores = []
    for slice_mm in arguments.slices if arguments.count else []:
        made = simulate_at(slice_mm, library, arguments.split, arguments.count, folder / "cases", arguments.seed)
        for number, path in enumerate(made, start=1):
            group = f"simulated, {slice_mm:g} mm slices"
            scores.append(score_simulated(load_case(path), model, group, arguments.device))
            on_progress(number, len(made), f"cases with {slice_mm:g} mm slices")
    cases = real_shape_cases(shapes, arguments.surroundings, arguments.seed + _SHAPE_SEED)
    for number, case in enumerate(cases):
        grades = shapes[number // arguments.surroundings].grades
        scores.append(score_shape(case, grades, model, arguments.device))
        on_progress(number + 1, len(shapes) * arguments.surroundings, "real shapes")
    for number, (ct, labels) in enumerate(arguments.real, start=1):
        scores.append(score_real(ct, labels, model, arguments.device))
        on_progress(number, len(arguments.real), "real CTs")
    about = {"model": model.card.name, "version": model.card.version}
    report = about | {"summary": summarize_spines(scores), "cases": [to_json(score) for score in scores]}
    write_json(folder / "vertebrae.json", report)
    print(json.dumps(report["summary"], indent=2))
    print(f"Written     {folder / 'vertebrae.json'}")
    return 0


def _accuracy(arguments: argparse.Namespace, model: "Model") -> int:
    from SpineFractureSegLib.engine.benchmark.accuracy import begin, measure_real_cts, measure_shapes, measure_simulated
    from SpineFractureSegLib.engine.benchmark.accuracy_report import accuracy_page
    from SpineFractureSegLib.engine.benchmark.real_ct import case_without_fracture
    from SpineFractureSegLib.engine.benchmark.scoring import CaseScorer
    from SpineFractureSegLib.engine.errors import UserError
    from SpineFractureSegLib.engine.output_set import OutputSet

    if arguments.count < 0 or arguments.surroundings < 1 or arguments.processes < 1:
        raise UserError("--count must be 0 or more, --surroundings and --processes 1 or more.")
    shapes = _real_shapes(arguments)  # first: what is wrong with them is said before the long work
    folder = Path(arguments.output)
    folder.mkdir(parents=True, exist_ok=True)
    on_progress = progress_to(sys.stderr, arguments.progress)
    scorer, accuracy = CaseScorer(model, folder, arguments.device), begin(model)
    if arguments.count:
        measure_simulated(accuracy, scorer, _simulated(arguments, on_progress), on_progress)
    names = [Path(path).name for path in arguments.real_ct]
    measure_real_cts(accuracy, scorer, names, map(case_without_fracture, arguments.real_ct), on_progress)
    if shapes:
        seed = arguments.seed + _SHAPE_SEED
        measure_shapes(accuracy, scorer, shapes, arguments.surroundings, seed, on_progress)
    pictures = {score.name: scorer.picture(score) for score in (*accuracy.simulated, *accuracy.shapes)}
    findings = {score.name: scorer.finding_pictures(score) for score in accuracy.real}
    html = accuracy_page(accuracy.report, accuracy.simulated, accuracy.reliability, pictures, findings)
    text = json.dumps(accuracy.report, indent=2, allow_nan=False) + "\n"
    with OutputSet() as outputs:
        outputs.place(folder / "accuracy.json").write_text(text, encoding="utf-8")
        outputs.place(folder / "accuracy.html").write_text(html, encoding="utf-8")
    print(json.dumps(_shown(accuracy.report), indent=2))
    print(f"Written     {folder / 'accuracy.json'}, accuracy.html and pictures beside it")
    return 0


def _simulated(arguments: argparse.Namespace, on_progress: "ProgressCallback") -> list[Path]:
    from SpineFractureSegLib.engine.simulator.config import HELD_OUT
    from SpineFractureSegLib.engine.simulator.generate import generate_cases
    from SpineFractureSegLib.engine.simulator.shapes import shape_library

    return generate_cases(
        arguments.library or shape_library(),
        arguments.split,
        arguments.count,
        Path(arguments.output) / "cases",
        seed=arguments.seed,
        config=HELD_OUT,
        processes=arguments.processes,
        on_progress=on_progress,
    ).simulated


def _real_shapes(arguments: argparse.Namespace) -> list["RealShape"]:
    from SpineFractureSegLib.engine.benchmark.mesh_shapes import shapes_of_table
    from SpineFractureSegLib.engine.benchmark.real_shapes import shapes_of_library
    from SpineFractureSegLib.engine.simulator.shapes import load_library, shape_library

    check_mesh_arguments(arguments)
    if not arguments.shapes_split and not arguments.shapes:
        return []
    spines = load_library(arguments.library or shape_library())
    shapes = shapes_of_library([spine for spine in spines if spine.split in arguments.shapes_split])
    if arguments.shapes:
        shapes += shapes_of_table(arguments.shapes, arguments.shapes_table, spines)
    return shapes


def _shown(report: dict) -> dict:
    """What the terminal gets: without curves and single cases."""
    return {
        "simulated": report["simulated"]["summary"] if "simulated" in report else None,
        "real": report["real"],
        "shapes": report["shapes"]["found"] if "shapes" in report else None,
    }
