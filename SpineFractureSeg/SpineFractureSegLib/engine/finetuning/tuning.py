"""Fine-tuning from beginning to end: one line per step. Shell, panel and Python call ``finetune`` and nothing else."""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from SpineFractureSegLib.engine.atomic_file import check_place
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.finetuning.blending import Blend, best_blend
from SpineFractureSegLib.engine.finetuning.case_check import check_case
from SpineFractureSegLib.engine.finetuning.case_list import TuningCase
from SpineFractureSegLib.engine.finetuning.comparison import Comparison, compare
from SpineFractureSegLib.engine.finetuning.hold_out import assign_roles
from SpineFractureSegLib.engine.finetuning.replay import make_replay
from SpineFractureSegLib.engine.finetuning.run_control import RunControl
from SpineFractureSegLib.engine.finetuning.settings import FinetuneSettings, training_config
from SpineFractureSegLib.engine.finetuning.taught_cases import prepare_cases
from SpineFractureSegLib.engine.finetuning.training_run import TrainingRun
from SpineFractureSegLib.engine.finetuning.tuning_progress import (
    TuningCallback,
    TuningProgress,
    counting,
    no_tuning_progress,
)
from SpineFractureSegLib.engine.model_file import Model, ModelCard, load_model, save_model
from SpineFractureSegLib.engine.model_folders import SUFFIX
from SpineFractureSegLib.engine.progress import StopQuery, never_stop
from SpineFractureSegLib.engine.report import write_json
from SpineFractureSegLib.engine.training.trainer import TrainingResult

DRAWN_MEANING = "As drawn by the owner of the cases."
RESULT = "result.json"
_SETTINGS = "settings.json"
# may differ between the parts of a resumed run: they do not change what was prepared
_FREE_ON_RESUME = ("minutes", "epochs", "device", "name", "label_meaning", "whole_bodies")


@dataclass(frozen=True)
class FinetuneResult:
    """What came of it."""

    model: Path
    comparison: Comparison
    blend: Blend  # how much of the child was kept, and how it is read
    epochs: int
    best_epoch: int  # 1 is the first
    minutes: float  # of training, in all parts of the run
    ended_by: str  # "epochs", "time" or "stop"
    left_out: dict[str, str]  # name of a case -> why it could not be used
    warnings: tuple[str, ...]  # one sentence each

    @property
    def worse(self) -> bool:
        """Whether the new model is no better than its parent on the held-out cases."""
        return self.comparison.worse

    def to_json(self) -> dict:
        """What ``result.json`` holds."""
        fields = {name: value for name, value in vars(self).items() if name != "comparison"}
        fields |= {"blend": self.blend.to_json(), "model": str(self.model), "warnings": list(self.warnings)}
        return {**self.comparison.to_json(), **fields}


def finetune(
    cases: Sequence[TuningCase],
    parent: Model,
    output: str | Path,
    settings: FinetuneSettings = FinetuneSettings(),  # noqa: B008
    *,
    validation: Collection[str] = (),
    run_folder: str | Path | None = None,
    on_progress: TuningCallback = no_tuning_progress,
    should_stop: StopQuery = never_stop,
) -> FinetuneResult:
    """Trains the parent on the cases, and compares both on those held out.

    The same call goes on where an interrupted one was. Files called ``pause`` and ``stop`` in the run's folder ask it
    to wait, or to end with the best weights so far. The same cases, parent, settings and device give the same model,
    bit for bit on the CPU, where ``settings.minutes`` is None: a time budget rules the learning rate, too.

    Args:
        cases: CTs with masks. One that cannot be used is left out, and the result says why.
        parent: from ``load_model``. Unchanged.
        output: the new model file, ``.safetensors``; its card has no names of patients or files.
        settings: see there.
        validation: names of cases to hold out, beside those whose role says so; see ``assign_roles``.
        run_folder: what a resumed run needs, masks of the held-out cases and ``result.json``; None: beside the output,
            called after it with ``-run``. It holds copies of the cases.
        on_progress: told of every step.
        should_stop: asked often; True ends the call, to be resumed.

    Raises: UserError, when cases, device or folder cannot be used; Cancelled, also when it was stopped before there was
        a model to keep.
    """
    output = Path(output)
    check_place(output, SUFFIX)
    folder = Path(run_folder) if run_folder else output.with_name(f"{output.stem}-run")
    usable, left_out = _usable(cases, on_progress)
    assigned = assign_roles(usable, validation, settings.seed)
    _claim(folder, assigned, parent, settings)
    control = RunControl(folder, should_stop, on_progress)
    try:
        return _finetune(assigned, parent, output, settings, folder, control, on_progress, left_out)
    except OSError as error:
        raise UserError(
            f"'{error.filename or folder}' cannot be written: {error.strerror or error}; free some space and run the "
            "same command again, it goes on where it was."
        ) from error
    finally:
        control.forget_stop()


def _finetune(
    cases: Sequence[TuningCase],
    parent: Model,
    output: Path,
    settings: FinetuneSettings,
    folder: Path,
    control: RunControl,
    on_progress: TuningCallback,
    left_out: dict[str, str],
) -> FinetuneResult:
    device, spacing = settings.device, parent.preprocessing.spacing_mm
    held_out = [case for case in cases if case.role == "validation"]
    paths = control.through_pauses(
        lambda: prepare_cases(
            cases, parent, folder / "cases", device, counting("prepare", on_progress), control.interrupts
        )
    )
    replay = control.through_pauses(
        lambda: make_replay(
            settings, len(held_out), spacing, folder / "replay", counting("simulate", on_progress), control.interrupts
        )
    )
    own = {"train": [], "validation": []}
    for path, case in zip(paths, cases, strict=True):
        own[case.role].append(path)
    trained = TrainingRun(
        parent,
        training_config(settings, bool(replay.real_negatives)),
        _card(cases, parent, settings.name or output.stem, settings),
        [*own["train"], *replay.training],
        [*own["validation"], *replay.validation[: len(held_out)]],
        folder / "training",
        device,
        on_progress,
    ).run(control)
    child, blend = control.through_pauses(
        lambda: best_blend(
            parent,
            load_model(trained.model_path),
            own["validation"],
            [*replay.validation, *replay.validation_negatives],
            device,
            counting("blend", on_progress),
            control.interrupts_ending,
        )
    )
    comparison = control.through_pauses(
        lambda: compare(
            parent,
            child,
            held_out,
            replay.validation,
            folder / "held-out",
            device,
            counting("score", on_progress),
            control.interrupts_ending,
        )
    )
    result = _result(output, comparison, blend, trained, left_out, stopped=control.is_stopped)
    save_model(output, child.network, child.network_config, child.preprocessing, _scored_card(child.card, result))
    write_json(folder / RESULT, result.to_json())
    return result


def _usable(cases: Sequence[TuningCase], on_progress: TuningCallback) -> tuple[list[TuningCase], dict[str, str]]:
    """The cases that can be used, and the others with the reason."""
    usable, left_out = [], {}
    for number, case in enumerate(cases):
        on_progress(TuningProgress("prepare", number, len(cases)))
        check = check_case(case)
        if check.ok:
            usable.append(case)
        else:
            left_out[case.name] = check.reason
    if not usable:
        name, reason = next(iter(left_out.items()), ("", "none was named."))
        raise UserError(f"No case can be used{f'; {name}' if name else ''}: {reason}")
    return usable, left_out


def _claim(folder: Path, cases: Sequence[TuningCase], parent: Model, settings: FinetuneSettings) -> None:
    """Notes in the folder what is done there, or refuses it when something else was: cases and weights would mix."""
    kept = {name: value for name, value in asdict(settings).items() if name not in _FREE_ON_RESUME}
    about = {
        "parent": hashlib.sha256(parent.path.read_bytes()).hexdigest() if parent.path else parent.card.name,
        "settings": {**kept, "library": str(settings.library or "")},
        "cases": [
            {
                "name": case.name,
                "patient": case.patient,
                "role": case.role,
                "files": [_stamp(case.scan.image), _stamp(case.scan.fracture.path)],
            }
            for case in cases
        ],
    }
    path = folder / _SETTINGS
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        other = next((key for key in about if about[key] != before.get(key)), None)
        if other:
            raise UserError(
                f"'{folder}' holds a fine-tuning run with other {other}: choose another folder for this one, or "
                "delete it."
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, about)


def _stamp(path: Path) -> list:
    """What changes when a file is corrected in its place."""
    about = path.stat()
    return [str(path.absolute()), about.st_size, about.st_mtime_ns]


def _card(cases: Sequence[TuningCase], parent: Model, name: str, settings: FinetuneSettings) -> ModelCard:
    """Of the new model, before anything was measured."""
    card = parent.card
    trained = [case for case in cases if case.role == "train"]
    counts = f"{len(trained)} cases of {len({case.patient for case in trained})} patients"
    meaning = settings.label_meaning or (card.label_meaning if settings.whole_bodies else DRAWN_MEANING)
    return ModelCard(
        name=name,
        description=f"{card.name} {card.version}, fine-tuned on {counts}. Research use only, not a medical device.",
        label_meaning=meaning,
        training_data=(*card.training_data, f"{counts}, fine-tuning, the owner's own"),
        licence=card.licence,
        parent=f"{card.name} {card.version}",
        by_body=card.by_body and settings.whole_bodies,
    )


def _scored_card(card: ModelCard, result: FinetuneResult) -> ModelCard:
    comparison = result.comparison
    held_out = {
        "cases": len(comparison.cases),
        "before": comparison.before.to_json(),
        "after": comparison.after.to_json(),
        "worse": comparison.worse,
    }
    return replace(card, scores={**card.scores, "held_out": held_out, "blend": result.blend.to_json()})


def _result(
    output: Path,
    comparison: Comparison,
    blend: Blend,
    trained: TrainingResult,
    left_out: dict[str, str],
    *,
    stopped: bool,
) -> FinetuneResult:
    return FinetuneResult(
        model=output.absolute(),
        comparison=comparison,
        blend=blend,
        epochs=trained.epochs,
        best_epoch=trained.best_epoch + 1,
        minutes=trained.minutes,
        ended_by="stop" if stopped else trained.ended_by,
        left_out=left_out,
        warnings=trained.warnings,
    )
