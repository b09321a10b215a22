"""What a run says of each epoch: ``log.csv`` with one row per epoch, and the same for TensorBoard where asked for."""

import csv
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.training.dataset import Kind
from SpineFractureSegLib.engine.training.validation import ValidationScores

LOG_COLUMNS = (
    "epoch",
    "steps",
    "learning_rate",
    "loss",
    # the fracture loss by what the slice shows: one can get worse while their mean gets better
    "fracture_loss_fractured",
    "fracture_loss_intact",
    "fracture_loss_real_negative",
    "vertebra_loss",
    "refined_mask_loss",
    "dice_pooled",
    "dice_mean",
    "vertebra_auc",
    "false_positive_ml",
    "threshold",
    "minutes",
    "slices_per_second",
)

# under which TensorBoard shows them
_GROUPS = {
    "loss": LOG_COLUMNS[3:9],
    "validation": LOG_COLUMNS[9:14],
    "run": ("steps", "learning_rate", "minutes", "slices_per_second"),
}


def epoch_row(
    epoch: int,
    steps: int,
    learning_rate: float,
    loss_sums: Tensor,
    scores: ValidationScores,
    minutes: float,
    slices_per_second: float,
) -> dict[str, Any]:
    """The numbers of ``LOG_COLUMNS``; nan where nothing gives them, as the loss of a kind without slices.

    Args:
        epoch: its number, from 0.
        steps: taken so far.
        learning_rate: at the end of the epoch.
        loss_sums: (kinds, 6), of the epoch, see ``Learner.loss_sums``.
        scores: of the validation after the epoch.
        minutes: spent so far.
        slices_per_second: while training.
    """
    count, total, fracture, vertebra, refined, with_vertebrae = loss_sums.T
    by_kind = (fracture / count).tolist()
    return {
        "epoch": epoch,
        "steps": steps,
        "learning_rate": learning_rate,
        "loss": float(total.sum() / count.sum()),
        "fracture_loss_fractured": by_kind[Kind.FRACTURED],
        "fracture_loss_intact": by_kind[Kind.INTACT],
        "fracture_loss_real_negative": by_kind[Kind.REAL_NEGATIVE],
        "vertebra_loss": float(vertebra.sum() / with_vertebrae.sum()),
        "refined_mask_loss": float(refined.sum() / count.sum()),
        "dice_pooled": scores.dice_pooled,
        "dice_mean": scores.dice_mean,
        "vertebra_auc": scores.vertebra_auc,
        "false_positive_ml": scores.false_positive_ml,
        "threshold": scores.threshold,
        "minutes": minutes,
        "slices_per_second": slices_per_second,
    }


class EpochLog:
    """``log.csv``: one row per epoch, flushed at once.

    Args:
        path: the file; created with a header when absent.
        columns: names of the columns, "epoch" first.
        epochs_done: rows of later epochs are dropped: a kill came between the row and the checkpoint.
    """

    def __init__(self, path: Path, columns: Sequence[str], epochs_done: int) -> None:
        self.path, self.columns = path, list(columns)
        rows = [row for row in self.rows() if int(row["epoch"]) < epochs_done] if path.exists() else []
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(rows)
        partial.replace(path)

    def rows(self) -> list[dict[str, str]]:
        """All rows, as text."""
        with self.path.open(newline="") as file:
            return list(csv.DictReader(file))

    def append(self, row: dict[str, Any]) -> None:
        """Adds one epoch; numbers are rounded to six significant digits."""
        short = {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns).writerow(short)


def require_tensorboard() -> None:
    """Raises: UserError, when the package tensorboard is missing; to be asked before the long work."""
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError(
            "TensorBoard logs were asked for and the package tensorboard is not installed: run "
            "`pip install tensorboard`, or train without them."
        )


class TensorBoardLog:
    """The numbers of each epoch as scalars for ``tensorboard --logdir``.

    Args:
        folder: of the event files.
        epochs_done: what earlier parts of the run wrote of later epochs is hidden.

    Raises: UserError, when the package tensorboard is missing.
    """

    def __init__(self, folder: Path, epochs_done: int) -> None:
        require_tensorboard()
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=epochs_done)

    def append(self, row: dict[str, Any]) -> None:
        """Adds one epoch, at once."""
        for group, names in _GROUPS.items():
            for name in names:
                self._writer.add_scalar(f"{group}/{name}", row[name], row["epoch"])
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
