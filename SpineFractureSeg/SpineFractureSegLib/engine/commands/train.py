"""Train a network on simulated fractures, or go on with an interrupted run.

  spine-fracture-seg train --output runs/cpu --minutes 90 --processes 2
  spine-fracture-seg train --output runs/paper --preset paper --cases 600
  spine-fracture-seg train --output runs/mixed --data cases/verse --data cases/own --scanned-share 0.5

Simulates the cases first (kept in the run's folder), then trains, with a checkpoint every few minutes: the same command
again goes on where it stopped. The folder gets log.csv, last.pt, best.pt and model.safetensors, which `segment --model`
takes and `models import` stores. --data adds real cases that `data prepare` wrote: their part for training and their
part for validation; with --cases 0 --validation-cases 0 nothing is simulated and the shape library is not used. No
patient trains who validates or tests in the library. Presets: bundled is ours (sagittal slices with neighbours, decoder
skips), paper is the network and protocol of the paper.
"""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

from SpineFractureSegLib.engine.progress import ProgressCallback
from SpineFractureSegLib.engine.progress_output import add_progress_argument, progress_to

_SIMULATED_LABEL = (
    "The whole body of a vertebra with a compression fracture of about 20 % height loss or more; arch and "
    "processes are not part of it."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", required=True, metavar="FOLDER", help="the run's folder")
    parser.add_argument("--preset", choices=("bundled", "paper"), default="bundled")
    parser.add_argument("--width", type=int, help="base width of the network (default: 16 bundled, 64 paper)")
    parser.add_argument(
        "--start-from", metavar="MODEL", help="model file of the same network whose weights are the first ones"
    )
    parser.add_argument("--minutes", type=float, help="time budget (default: 90 bundled, none paper)")
    parser.add_argument("--max-epochs", type=int, help="end after so many epochs")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    parser.add_argument("--library", metavar="FOLDER", help="spines; default: the shape library of the clone")
    parser.add_argument("--cases", type=int, default=200, help="simulated training cases (default: 200)")
    parser.add_argument("--validation-cases", type=int, default=16)
    parser.add_argument(
        "--data", action="append", default=[], metavar="CASES", help="folder of prepared cases; may be repeated"
    )
    parser.add_argument(
        "--validation-data",
        action="append",
        default=[],
        metavar="CASES",
        help="folder of prepared cases to validate on; may be repeated (default: the validation parts of --data)",
    )
    parser.add_argument(
        "--scanned-share",
        type=float,
        metavar="SHARE",
        help="of the slices with a fracture and of the intact ones, from real CTs (default: as many as there are)",
    )
    parser.add_argument("--label-meaning", help="what a fracture voxel is; default: as the simulator and the data say")
    parser.add_argument("--name", help="of the model (default: the folder's name)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1, help="processes that simulate")
    add_progress_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    from SpineFractureSegLib.engine.case import load_case
    from SpineFractureSegLib.engine.case_spacing import at_spacing
    from SpineFractureSegLib.engine.model_file import load_model
    from SpineFractureSegLib.engine.training.trainer import train

    on_progress = progress_to(sys.stderr, arguments.progress)
    spines = _spines(arguments)
    real = _real_cases(arguments, spines)
    parent = load_model(arguments.start_from) if arguments.start_from else None
    preset = _preset(arguments)
    spacing = preset.preprocessing.spacing_mm
    paths = _simulate(arguments, spacing, on_progress) if spines else {"train": [], "validation": []}
    for part, files in real.items():
        paths[part] = paths[part] + [file.path for file in files]
    result = train(
        preset.training,
        preset.network,
        preset.preprocessing,
        (at_spacing(load_case(path), spacing) for path in paths["train"]),
        (at_spacing(load_case(path), spacing) for path in paths["validation"]),
        arguments.output,
        device=arguments.device,
        card=_card(arguments, spines, [*real["train"], *real["validation"]], parent),
        start_from=parent.network if parent else None,
        on_progress=on_progress,
    )
    print(
        f"{result.model_path}: best of {result.epochs} epochs was {result.best_epoch + 1}, ended by {result.ended_by} "
        f"after {result.minutes:.0f} minutes; validation {result.scores}"
    )
    return 0


def _simulate(arguments: argparse.Namespace, spacing_mm: float, on_progress: ProgressCallback) -> dict[str, list[Path]]:
    """Part -> case files: simulated ones, and the library's real CTs without fracture."""
    from SpineFractureSegLib.engine.simulator.generate import generate_cases

    paths = {}
    for split, count, seed in (
        ("train", arguments.cases, arguments.seed),
        ("validation", arguments.validation_cases, arguments.seed + 500_000),
    ):
        made = generate_cases(
            _library(arguments),
            split,
            count,
            Path(arguments.output) / "cases" / split,
            seed=seed,
            spacing_mm=spacing_mm,
            processes=arguments.processes,
            on_progress=on_progress,
        )
        paths[split] = made.simulated + made.real_negatives
    return paths


def _library(arguments: argparse.Namespace) -> Path:
    from SpineFractureSegLib.engine.simulator.shapes import shape_library

    return Path(arguments.library or shape_library())


class _Spine(NamedTuple):
    """What must be known of a spine of the library, without its volumes."""

    patient: str
    split: str
    source: str
    licence: str


def _spines(arguments: argparse.Namespace) -> list[_Spine]:
    """The spines of the library; none where nothing is simulated."""
    from SpineFractureSegLib.engine.simulator.shapes import load_library

    if not (arguments.cases or arguments.validation_cases):
        return []
    return [_Spine(s.patient, s.split, s.source, s.licence) for s in load_library(_library(arguments))]


def _real_cases(arguments: argparse.Namespace, spines: list[_Spine]) -> dict[str, list]:
    """Part -> prepared case files; patients whom the other part or the library holds out are left out, and named."""
    from SpineFractureSegLib.engine.data.case_folder import case_files, refuse_shared_patients, without_patients

    training = [file for folder in arguments.data for file in case_files(folder, "train")]
    folders = arguments.validation_data or arguments.data
    asked_for = bool(arguments.validation_data)
    validation = [file for folder in folders for file in case_files(folder, "validation", optional=not asked_for)]
    refuse_shared_patients(training, validation)
    training, dropped = without_patients(training, {spine.patient for spine in spines if spine.split != "train"})
    validation, more = without_patients(validation, {spine.patient for spine in spines if spine.split == "train"})
    if left_out := [*dropped, *more]:
        print(f"left out, as the shape library has them in another part: {', '.join(left_out)}", file=sys.stderr)
    return {"train": training, "validation": validation}


def _preset(arguments: argparse.Namespace):
    from dataclasses import replace

    from SpineFractureSegLib.engine.errors import UserError
    from SpineFractureSegLib.engine.training import presets

    preset = presets.paper() if arguments.preset == "paper" else presets.bundled_cpu()
    try:
        changes = {"max_minutes": arguments.minutes, "max_epochs": arguments.max_epochs, "seed": arguments.seed}
        training = replace(preset.training, **{key: value for key, value in changes.items() if value is not None})
        if arguments.scanned_share is not None:
            training = replace(training, balance=replace(training.balance, scanned=arguments.scanned_share))
        network = replace(preset.network, width=arguments.width) if arguments.width else preset.network
    except ValueError as error:
        raise UserError(f"These settings cannot be trained with: {error}.") from error
    return presets.Preset(training, network, preset.preprocessing)


def _card(arguments: argparse.Namespace, spines: list, real: list, parent):
    from SpineFractureSegLib.engine.data.case_folder import sources
    from SpineFractureSegLib.engine.model_file import ModelCard

    used = [spine for spine in spines if spine.split != "test"]
    simulated = "on fractures simulated on real anatomy, not on patients with fractures" if spines else ""
    if real:
        simulated = "on fractures simulated on real anatomy and on real CTs" if spines else "on real CTs"
    meanings = [_SIMULATED_LABEL] if spines else []
    meanings += sorted({f"In {file.source}: {file.label_meaning}." for file in real})
    licences = ["CC BY-SA 4.0"] if spines else []
    licences += sorted({file.licence for file in real})
    return ModelCard(
        name=arguments.name or Path(arguments.output).resolve().name,
        description=(
            f"Multi-scale feature fusion network ({arguments.preset} preset) trained {simulated}. "
            "Research use only, not a medical device."
        ),
        label_meaning=arguments.label_meaning or " ".join(meanings),
        training_data=(*(f"{spine.source} ({spine.split}), {spine.licence}" for spine in used), *sources(real)),
        licence="; ".join(licences),
        parent=f"{parent.card.name} {parent.card.version}" if parent else None,
    )
