"""Train a network on simulated fractures, or go on with an interrupted run.

  spine-fracture-seg train --output runs/cpu --minutes 90 --processes 2
  spine-fracture-seg train --output runs/paper --preset paper --cases 600
  spine-fracture-seg train --output runs/own --config own.yaml --tensorboard
  spine-fracture-seg train --output runs/mixed --data cases/verse --data cases/own --scanned-share 0.5
  torchrun --nproc-per-node 4 -m SpineFractureSegLib train --output runs/four-gpus --cases 2000

Simulates the cases first (kept in the run's folder), then trains, with a checkpoint every few minutes: the same command
again goes on where it stopped. The folder gets log.csv, report.html, last.pt, best.pt and model.safetensors, which
`segment --model` takes and `models import` stores. --data adds real cases that `data prepare` wrote: their part for
training and their part for validation; with --cases 0 --validation-cases 0 nothing is simulated and the shape library
is not used. No patient trains who validates or tests in the library. Presets: bundled is ours (sagittal slices with
neighbours, decoder skips), paper is the network and protocol of the paper; Resources/Training holds both, with every
field. --config takes such a file; the other options override it. Started by torchrun, several processes train one
network.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from SpineFractureSegLib.engine.progress import ProgressCallback, no_progress
from SpineFractureSegLib.engine.progress_output import add_progress_argument, progress_to

if TYPE_CHECKING:
    from SpineFractureSegLib.engine.training.validation import ValidationScores

_SIMULATED_LABEL = (
    "The whole body of a vertebra with a compression, burst, split or distraction fracture, of about 20 % height "
    "loss or more where it is one of compression; arch and processes are not part of it."
)
_SIMULATED_PARTS = "Of a fractured arch, process, dens or sacrum, the fractured part."

# settings.PRESETS, without loading torch for every command's help; a test holds the two together
PRESETS = ("bundled", "paper")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", required=True, metavar="FOLDER", help="the run's folder")
    settings = parser.add_mutually_exclusive_group()
    settings.add_argument("--preset", choices=PRESETS, help="default: bundled")
    settings.add_argument("--config", metavar="FILE", help="settings as YAML, see Resources/Training")
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
    parser.add_argument("--model-version", default="1", help="of the model, in its card (default: 1)")
    parser.add_argument("--seed", type=int, help="of the simulated cases, the first weights and the samples")
    parser.add_argument("--tensorboard", action="store_true", help="also log for TensorBoard, in the run's folder")
    parser.add_argument("--processes", type=int, default=1, help="processes that simulate")
    add_progress_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    from SpineFractureSegLib.engine.case import load_case
    from SpineFractureSegLib.engine.case_spacing import at_spacing
    from SpineFractureSegLib.engine.model_file import load_model
    from SpineFractureSegLib.engine.training.epoch_log import require_tensorboard
    from SpineFractureSegLib.engine.training.team import Team
    from SpineFractureSegLib.engine.training.trainer import train

    team = Team(arguments.device)
    on_progress = progress_to(sys.stderr, arguments.progress) if team.is_lead else no_progress
    settings = _settings(arguments)
    if settings.training.tensorboard:
        require_tensorboard()
    parent = load_model(arguments.start_from) if arguments.start_from else None
    data = team.by_lead(lambda: _data(arguments, settings, on_progress))
    spacing = settings.preprocessing.spacing_mm
    result = train(
        settings.training,
        settings.network,
        settings.preprocessing,
        (at_spacing(load_case(path), spacing) for path in data.paths["train"]),
        (at_spacing(load_case(path), spacing) for path in data.paths["validation"]),
        arguments.output,
        device=arguments.device,
        card=_card(arguments, settings, data, parent),
        start_from=parent.network if parent else None,
        on_progress=on_progress,
    )
    if team.is_lead:
        for warning in result.warnings:
            print(warning, file=sys.stderr)
        print(
            f"{result.model_path}: best of {result.epochs} epochs was {result.best_epoch + 1}, ended by "
            f"{result.ended_by} after {result.minutes:.0f} minutes"
        )
        print(_told(result.scores))
    return 0


def _told(scores: "ValidationScores") -> str:
    """One line of what the validation slices gave, without what no case could give."""
    parts = [
        (scores.dice_pooled, "Dice {:.3f} pooled"),
        (scores.dice_mean, "{:.3f} as the mean of the cases with a fracture"),
        (scores.vertebra_auc, "vertebra AUC {:.3f}"),
        (scores.false_positive_ml, "{:.1f} mL painted in a real CT without fracture"),
    ]
    known = [text.format(value) for value, text in parts if not math.isnan(value)]
    return f"validation, at a threshold of {scores.threshold:g}: {', '.join(known) or 'nothing to score'}"


class _Spine(NamedTuple):
    """What must be known of a spine of the library, without its volumes."""

    patient: str
    split: str
    source: str
    licence: str


class _Data(NamedTuple):
    """Whom the network learns from; the lists of files are by part, "train" and "validation"."""

    spines: list[_Spine]
    real: dict[str, list]  # CaseFile
    paths: dict[str, list[Path]]  # all case files, simulated ones too


def _data(arguments: argparse.Namespace, settings, on_progress: ProgressCallback) -> _Data:
    """Finds the prepared cases and simulates the others."""
    spines = _spines(arguments)
    real = _real_cases(arguments, spines)
    simulated = _simulate(arguments, settings, on_progress) if spines else {"train": [], "validation": []}
    paths = {part: simulated[part] + [file.path for file in files] for part, files in real.items()}
    return _Data(spines, real, paths)


def _simulate(arguments: argparse.Namespace, settings, on_progress: ProgressCallback) -> dict[str, list[Path]]:
    """Part -> case files: simulated ones, and the library's real CTs without fracture."""
    from SpineFractureSegLib.engine.simulator.generate import generate_cases

    folder = Path(arguments.output) / "cases"
    _refuse_other_simulation(folder, settings.simulation)
    seed = settings.training.seed
    paths = {}
    for split, count, first_seed in (
        ("train", arguments.cases, seed),
        ("validation", arguments.validation_cases, seed + 500_000),
    ):
        made = generate_cases(
            _library(arguments),
            split,
            count,
            folder / split,
            seed=first_seed,
            config=settings.simulation,
            spacing_mm=settings.preprocessing.spacing_mm,
            processes=arguments.processes,
            on_progress=on_progress,
        )
        paths[split] = made.simulated + made.real_negatives
    return paths


def _refuse_other_simulation(folder: Path, config) -> None:
    """Cases that are there are kept, so they must have been simulated as the missing ones will be.

    Raises: UserError, when they were simulated with other settings.
    """
    from SpineFractureSegLib.engine.atomic_file import written_whole
    from SpineFractureSegLib.engine.json_fields import to_fields
    from SpineFractureSegLib.engine.training.run_folder import refuse_other_settings

    path = folder / "simulation.json"
    if path.exists():
        refuse_other_settings(folder, json.loads(path.read_text(encoding="utf-8")), config)
        return
    folder.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as partial:
        partial.write_text(json.dumps(to_fields(config), indent=1), encoding="utf-8")


def _library(arguments: argparse.Namespace) -> Path:
    from SpineFractureSegLib.engine.simulator.shapes import shape_library

    return Path(arguments.library or shape_library())


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


def _settings(arguments: argparse.Namespace):
    """Those of the preset or the file, and what the options say instead."""
    from SpineFractureSegLib.engine.training.settings import changed, read_preset, read_settings

    settings = read_settings(arguments.config) if arguments.config else read_preset(arguments.preset or PRESETS[0])
    training = {
        "max_minutes": arguments.minutes,
        "max_epochs": arguments.max_epochs,
        "seed": arguments.seed,
        "tensorboard": arguments.tensorboard or None,
    }
    options = {
        "training": {name: value for name, value in training.items() if value is not None},
        "network": {"width": arguments.width} if arguments.width is not None else {},
    }
    if arguments.scanned_share is not None:
        options["training"]["balance"] = {"scanned": arguments.scanned_share}
    return changed(settings, options, "The options")


def _card(arguments: argparse.Namespace, settings, data: _Data, parent):
    from SpineFractureSegLib.engine.data.case_folder import sources
    from SpineFractureSegLib.engine.model_file import ModelCard

    spines, real = data.spines, [*data.real["train"], *data.real["validation"]]
    used = [spine for spine in spines if spine.split != "test"]
    simulated = "on fractures simulated on real anatomy, not on patients with fractures" if spines else ""
    if real:
        simulated = "on fractures simulated on real anatomy and on real CTs" if spines else "on real CTs"
    meanings = [_SIMULATED_LABEL] if spines else []
    meanings += [_SIMULATED_PARTS] if spines and settings.simulation.part_fractures else []
    meanings += sorted({f"In {file.source}: {file.label_meaning}." for file in real})
    licences = ["CC BY-SA 4.0"] if spines else []
    licences += sorted({file.licence for file in real})
    settings_name = Path(arguments.config).stem if arguments.config else arguments.preset or PRESETS[0]
    return ModelCard(
        name=arguments.name or Path(arguments.output).resolve().name,
        version=arguments.model_version,
        description=(
            f"Multi-scale feature fusion network ({settings_name} settings) trained {simulated}. "
            "Research use only, not a medical device."
        ),
        label_meaning=arguments.label_meaning or " ".join(meanings),
        training_data=(*(f"{spine.source} ({spine.split}), {spine.licence}" for spine in used), *sources(real)),
        licence="; ".join(licences),
        parent=f"{parent.card.name} {parent.card.version}" if parent else None,
    )
