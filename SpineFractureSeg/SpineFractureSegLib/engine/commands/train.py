"""Train a network on simulated fractures, or go on with an interrupted run.

  spine-fracture-seg train --output runs/cpu --minutes 90 --processes 2
  spine-fracture-seg train --output runs/paper --preset paper --cases 600

Simulates the cases first (kept in the run's folder), then trains, with a checkpoint every few minutes: the same command
again goes on where it stopped. The folder gets log.csv, last.pt, best.pt and model.safetensors, which `segment --model`
takes and `models import` stores. Presets: bundled is ours (sagittal slices with neighbours, decoder skips), paper is
the network and protocol of the paper.
"""

import argparse
import sys
from pathlib import Path

from SpineFractureSegLib.engine.progress_output import add_progress_argument, progress_to


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", required=True, metavar="FOLDER", help="the run's folder")
    parser.add_argument("--preset", choices=("bundled", "paper"), default="bundled")
    parser.add_argument("--width", type=int, help="base width of the network (default: 16 bundled, 64 paper)")
    parser.add_argument("--minutes", type=float, help="time budget (default: 90 bundled, none paper)")
    parser.add_argument("--max-epochs", type=int, help="end after so many epochs")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    parser.add_argument("--library", metavar="FOLDER", help="spines; default: the shape library of the clone")
    parser.add_argument("--cases", type=int, default=200, help="simulated training cases (default: 200)")
    parser.add_argument("--validation-cases", type=int, default=16)
    parser.add_argument("--name", help="of the model (default: the folder's name)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1, help="processes that simulate")
    add_progress_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    from SpineFractureSegLib.engine.case import load_case
    from SpineFractureSegLib.engine.simulator.generate import generate_cases
    from SpineFractureSegLib.engine.simulator.shapes import load_library, shape_library
    from SpineFractureSegLib.engine.training.trainer import train

    library, folder = Path(arguments.library or shape_library()), Path(arguments.output)
    on_progress = progress_to(sys.stderr, arguments.progress)
    paths = {}
    for split, count, seed in (
        ("train", arguments.cases, arguments.seed),
        ("validation", arguments.validation_cases, arguments.seed + 500_000),
    ):
        made = generate_cases(
            library,
            split,
            count,
            folder / "cases" / split,
            seed=seed,
            processes=arguments.processes,
            on_progress=on_progress,
        )
        paths[split] = made.simulated + made.real_negatives
    preset = _preset(arguments)
    result = train(
        preset.training,
        preset.network,
        preset.preprocessing,
        map(load_case, paths["train"]),
        map(load_case, paths["validation"]),
        folder,
        device=arguments.device,
        card=_card(arguments, load_library(library)),
        on_progress=on_progress,
    )
    print(
        f"{result.model_path}: best of {result.epochs} epochs was {result.best_epoch + 1}, ended by {result.ended_by} "
        f"after {result.minutes:.0f} minutes; validation {result.scores}"
    )
    return 0


def _preset(arguments: argparse.Namespace):
    from dataclasses import replace

    from SpineFractureSegLib.engine.errors import UserError
    from SpineFractureSegLib.engine.training import presets

    preset = presets.paper() if arguments.preset == "paper" else presets.bundled_cpu()
    try:
        changes = {"max_minutes": arguments.minutes, "max_epochs": arguments.max_epochs, "seed": arguments.seed}
        training = replace(preset.training, **{key: value for key, value in changes.items() if value is not None})
        network = replace(preset.network, width=arguments.width) if arguments.width else preset.network
    except ValueError as error:
        raise UserError(f"These settings cannot be trained with: {error}.") from error
    return presets.Preset(training, network, preset.preprocessing)


def _card(arguments: argparse.Namespace, spines: list):
    from SpineFractureSegLib.engine.model_file import ModelCard

    used = [spine for spine in spines if spine.split != "test"]
    return ModelCard(
        name=arguments.name or Path(arguments.output).resolve().name,
        description=(
            f"Multi-scale feature fusion network ({arguments.preset} preset) trained on fractures simulated on real "
            "anatomy, not on patients with fractures. Research use only, not a medical device."
        ),
        label_meaning=(
            "The whole body of a vertebra with a compression fracture of about 20 % height loss or more; arch and "
            "processes are not part of it."
        ),
        training_data=tuple(f"{spine.source} ({spine.split}), {spine.licence}" for spine in used),
        licence="CC BY-SA 4.0",
    )
