"""Tensors and plain values in one file, written beside its name and renamed: a kill leaves the old one or the new."""

import pickle
from pathlib import Path
from typing import Any

import torch

from SpineFractureSegLib.engine.atomic_file import written_whole
from SpineFractureSegLib.engine.errors import UserError


def save_atomically(path: Path, content: dict[str, Any]) -> None:
    """Writes tensors and plain Python values.

    Raises: UserError, when the file cannot be written, for example because the disk is full.
    """
    with written_whole(path) as partial:
        torch.save(content, partial)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What ``save_atomically`` wrote, on the CPU. Nothing in the file is executed.

    Raises: UserError, when the file cannot be read.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(f"{path} cannot be read as a checkpoint; delete it or choose another run folder.") from error
