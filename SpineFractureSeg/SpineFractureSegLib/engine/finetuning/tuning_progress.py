"""What a fine-tuning run tells while it runs."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from SpineFractureSegLib.engine.progress import ProgressCallback


@dataclass(frozen=True)
class TuningProgress:
    """``done`` of ``total`` steps of a stage; after each validation also what came of the epoch."""

    stage: str  # "prepare", "simulate", "train", "validate", "blend", "score", or "pause"
    done: int
    total: int
    epoch: int | None = None  # 1 is the first
    loss: float | None = None  # mean over the epoch's slices
    dice: float | None = None  # pooled over the validation cases
    minutes: float | None = None  # of training so far, in all parts of the run

    def to_json(self) -> dict:
        """The fields that say something."""
        return {name: value for name, value in asdict(self).items() if value is not None}


TuningCallback = Callable[[TuningProgress], None]


def no_tuning_progress(progress: TuningProgress) -> None:
    """Default ``on_progress``: say nothing."""


def counting(stage: str, on_progress: TuningCallback) -> ProgressCallback:
    """An ``on_progress`` for work that counts, whose own names of stages do not matter."""
    return lambda done, total, _stage: on_progress(TuningProgress(stage, done, total))


def of_trainer_step(done: int, total: int, stage: str) -> TuningProgress:
    """What the trainer's ``on_progress`` says.

    >>> of_trainer_step(3, 50, "epoch 2").to_json()
    {'stage': 'train', 'done': 3, 'total': 50, 'epoch': 2}
    >>> of_trainer_step(1, 4, "validation cases").stage
    'validate'
    """
    if stage.startswith("epoch "):
        return TuningProgress("train", done, total, epoch=int(stage.removeprefix("epoch ")))
    return TuningProgress("validate", done, total)


def of_epoch(row: Mapping[str, Any]) -> TuningProgress:
    """What a row of the trainer's log says, as numbers or as text."""
    return TuningProgress(
        "validate",
        1,
        1,
        epoch=int(row["epoch"]) + 1,
        loss=float(row["loss"]),
        dice=float(row["dice_pooled"]),
        minutes=float(row["minutes"]),
    )


def epochs_in(log: Path) -> list[TuningProgress]:
    """The epochs of a run's ``log.csv``; none before there is a file."""
    if not log.is_file():
        return []
    with log.open(newline="") as file:
        return [of_epoch(row) for row in csv.DictReader(file)]
