"""The run's files: ``last.pt`` to go on after a kill, ``best.pt``, and ``log.csv`` with one row per epoch.

Every file is written beside its name and renamed, so that a kill at any moment leaves the old file or the new one.
"""

import csv
import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from SpineFractureSegLib.engine.errors import UserError


def save_atomically(path: Path, content: dict[str, Any]) -> None:
    """Writes tensors and plain Python values."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        torch.save(content, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What ``save_atomically`` wrote, on the CPU. Nothing in the file is executed.

    Raises: UserError, when the file cannot be read.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(f"{path} cannot be read as a checkpoint; delete it or choose another run folder.") from error


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
