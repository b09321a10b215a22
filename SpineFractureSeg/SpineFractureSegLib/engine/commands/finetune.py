"""Fine-tune a model on a site's own cases; nothing leaves this machine.

  spine-fracture-seg finetune --cases folder --from bundled --output model.safetensors
  spine-fracture-seg finetune --cases cases.json --check
  spine-fracture-seg finetune --from clinic-2026 --estimate
  spine-fracture-seg finetune --cases folder --output clinic.safetensors --minutes 60 --validation p7 --register

--cases is a folder of CTs with masks of their fractures, in any layout that `data check` knows, or a cases.json:
  {"cases": [{"name": "p1", "image": "p1/ct.nrrd", "mask": "p1/fracture.seg.nrrd", "patient": "1", "role": "train"}]}
with paths relative to the file; patient and role (train, validation or auto) may be missing. At least one patient is
held out: on it the best weights are chosen, and parent and new model are compared. Cases that cannot be used are left
out and named. Simulated cases are mixed in (--mix), so that what the parent learned is not lost.

The same command goes on where an interrupted one was. A file called `pause` in the run's folder makes it wait, one
called `stop` end with the best weights so far. The run's folder holds copies of the cases, result.json with the scores
before and after, and the masks of the held-out cases by both models; delete it when all is done.

With --progress json, stdout has one JSON object a line: first device, precision, model, version and pid, then stage,
done and total, and after each epoch also epoch, loss, dice and minutes. Exit code 0: done, also when the new model is
worse, which is said; 2: something to mend, said in one sentence; 130: cancelled.

Research use only, not a medical device.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from SpineFractureSegLib.engine.progress_output import add_progress_argument, progress_to, write_json_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from SpineFractureSegLib.engine.finetuning import FinetuneResult, FinetuneSettings, TuningCase, TuningProgress
    from SpineFractureSegLib.engine.finetuning.tuning_progress import TuningCallback
    from SpineFractureSegLib.engine.model_file import Model

_BUNDLED = "bundled"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cases", metavar="FOLDER|JSON", help="CTs with masks")
    parser.add_argument(
        "--from", dest="parent", default=_BUNDLED, metavar="MODEL", help="bundled (default), or NAME or FILE of another"
    )
    parser.add_argument("--output", metavar="FILE", help="the new model, .safetensors")
    parser.add_argument("--run-folder", metavar="FOLDER", help="default: beside the output, called after it with -run")
    parser.add_argument(
        "--validation", action="append", default=[], metavar="NAME", help="a case to hold out; may be repeated"
    )
    parser.add_argument("--minutes", type=float, help="time budget of training; 0: none (default: 10)")
    parser.add_argument("--epochs", type=int, help="at most (default: 20)")
    parser.add_argument("--slices-per-epoch", type=int, metavar="N", help="between two validations (default: 800)")
    parser.add_argument("--learning-rate", type=float, help="default: 1e-4")
    parser.add_argument("--mix", type=float, help="share of the training slices from simulated cases (default: 0.3)")
    parser.add_argument("--seed", type=int, help="default: 0")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    parser.add_argument("--library", type=Path, metavar="FOLDER", help="spines to simulate on (default: those at hand)")
    parser.add_argument("--name", help="of the new model (default: its file's)")
    parser.add_argument("--label-meaning", help="what a drawn voxel is (default: as cases.json says)")
    parser.add_argument(
        "--whole-bodies", action="store_true", help="the masks are whole vertebral bodies, as the parent's labels are"
    )
    parser.add_argument("--register", action="store_true", help="store it among the user's models, unless it is worse")
    parser.add_argument(
        "--check", action="store_true", help="say as JSON what can be used and who is held out, and end"
    )
    parser.add_argument(
        "--roles", action="store_true", help="say as JSON who is held out, without reading a CT, and end"
    )
    parser.add_argument("--estimate", action="store_true", help="say as JSON how long training takes here, and end")
    add_progress_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    from SpineFractureSegLib.engine.errors import UserError
    from SpineFractureSegLib.engine.finetuning import assign_roles, estimate, finetune, read_cases
    from SpineFractureSegLib.engine.model_file import load_model

    parent_name = None if arguments.parent == _BUNDLED else arguments.parent
    if arguments.estimate:
        print(json.dumps(estimate(load_model(parent_name), _settings(arguments)).to_json(), indent=1))
        return 0
    if not arguments.cases:
        raise UserError("No cases were named: give a folder of CTs with masks, or a cases.json, with --cases.")
    found = read_cases(arguments.cases)
    settings = _settings(arguments, found.label_meaning)
    if arguments.check:
        print(json.dumps(_checked(found.cases, arguments.validation, settings.seed), indent=1))
        return 0
    if arguments.roles:
        assigned = assign_roles(found.cases, arguments.validation, settings.seed)
        print(json.dumps({case.name: case.role for case in assigned}, indent=1))
        return 0
    if not arguments.output:
        raise UserError("No file was named for the new model: give one that ends with .safetensors with --output.")
    if arguments.register:
        _refuse_taken(_registered_name(arguments))
    parent = load_model(parent_name)
    if arguments.progress == "json":
        write_json_line(sys.stdout, _facts(arguments.device, parent))
    result = finetune(
        found.cases,
        parent,
        arguments.output,
        settings,
        validation=arguments.validation,
        run_folder=arguments.run_folder,
        on_progress=_on_progress(arguments.progress),
    )
    left_out = [f"case {case} was left out: {reason}" for case, reason in result.left_out.items()]
    for warning in [*left_out, *result.warnings]:
        print(f"warning: {warning}", file=sys.stderr)
    told = [*_summary(result), *_registered(result, _registered_name(arguments), arguments.register)]
    print("\n".join(told), file=sys.stderr if arguments.progress == "json" else sys.stdout)
    return 0


def _settings(arguments: argparse.Namespace, label_meaning: str = "") -> "FinetuneSettings":
    from SpineFractureSegLib.engine.errors import UserError
    from SpineFractureSegLib.engine.finetuning import FinetuneSettings

    given = {
        "minutes": arguments.minutes,
        "epochs": arguments.epochs,
        "slices_per_epoch": arguments.slices_per_epoch,
        "learning_rate": arguments.learning_rate,
        "mix": arguments.mix,
        "seed": arguments.seed,
        "device": arguments.device,
        "library": arguments.library,
        "name": arguments.name,
        "label_meaning": arguments.label_meaning or label_meaning,
        "whole_bodies": arguments.whole_bodies,
    }
    given = {key: value for key, value in given.items() if value is not None}
    if given.get("minutes") == 0:
        given["minutes"] = None
    try:
        return FinetuneSettings(**given)
    except ValueError as error:
        raise UserError(f"These settings cannot be trained with: {error}.") from error


def _checked(cases: "Sequence[TuningCase]", validation: list[str], seed: int) -> list[dict]:
    """One object per case: name, ok, reason, patient, and the role that it gets, null where none can be given."""
    from SpineFractureSegLib.engine.errors import UserError
    from SpineFractureSegLib.engine.finetuning import assign_roles, check_cases

    checks = list(check_cases(cases))
    usable = [case for case, check in zip(cases, checks, strict=True) if check.ok]
    try:
        roles = {case.name: case.role for case in assign_roles(usable, validation, seed)}
    except UserError as error:
        print(error, file=sys.stderr)
        roles = {}
    return [
        {**check.to_json(), "patient": case.patient, "role": roles.get(case.name)}
        for case, check in zip(cases, checks, strict=True)
    ]


def _facts(device: str, parent: "Model") -> dict:
    """What a program that watches this run shows from the start; the process's id, because a launcher has its own."""
    from SpineFractureSegLib.engine.device import choose_placement

    placement, _ = choose_placement(device)
    return {
        "device": str(placement.device),
        "precision": placement.precision_name,
        "model": parent.card.name,
        "version": parent.card.version,
        "pid": os.getpid(),
    }


def _on_progress(mode: str) -> "TuningCallback":
    if mode == "json":
        return lambda progress: write_json_line(sys.stdout, progress.to_json())
    bar = progress_to(sys.stderr, mode)

    def show(progress: "TuningProgress") -> None:
        stage = progress.stage if progress.epoch is None else f"epoch {progress.epoch}"
        if progress.dice is not None:
            stage = f"{stage}: Dice {progress.dice:.3f}"
        bar(progress.done, progress.total, stage)

    return show


def _summary(result: "FinetuneResult") -> list[str]:
    """What a person wants to see at once."""
    comparison = result.comparison
    before, after = comparison.before, comparison.after
    lines = [
        f"Trained         {result.epochs} epochs in {result.minutes:.1f} minutes, ended by {result.ended_by}; the best "
        f"was {result.best_epoch}",
        f"Kept            {result.blend.share:.0%} of the change of the weights; threshold "
        f"{result.blend.reading.threshold:g}, smallest finding {result.blend.reading.min_volume_mm3:g} mm3",
        f"{'Held out':<24}  {'Dice':>13}  {'IoU':>13}  false findings",
    ]
    rows = [(case.name, case.before, case.after) for case in comparison.cases]
    for name, old, new in [*rows, ("all", before, after)]:
        lines.append(
            f"  {name:<22.22}  {old.dice:.3f} > {new.dice:.3f}  {old.iou:.3f} > {new.iou:.3f}  "
            f"{old.false_findings} > {new.false_findings}"
        )
    if comparison.simulated_before is not None:
        lines.append(f"Simulated cases, Dice   {comparison.simulated_before:.3f} > {comparison.simulated_after:.3f}")
    if comparison.worse:
        lines.append("The new model is WORSE than the one it came from on the held-out cases: do not use it.")
    return [*lines, f"Written         {result.model}"]


def _registered_name(arguments: argparse.Namespace) -> str:
    return arguments.name or Path(arguments.output).stem


def _refuse_taken(name: str) -> None:
    """What would only fail after the long work fails now."""
    from SpineFractureSegLib.engine.errors import UserError
    from SpineFractureSegLib.engine.model_folders import checked_name
    from SpineFractureSegLib.engine.model_store import list_models

    if checked_name(name).casefold() in {model.name.casefold() for model in list_models()}:
        raise UserError(f"There is already a model {name!r}: give another --name, or delete it with `models delete`.")


def _registered(result: "FinetuneResult", name: str, wanted: bool) -> list[str]:
    from SpineFractureSegLib.engine.model_store import import_model

    if not wanted:
        return []
    if result.worse:
        return ["Registered      no, as it is worse; `models import` takes it all the same"]
    return [f"Registered      {import_model(result.model, name).name}"]
