"""A file that appears whole or not at all: written beside its place, then renamed."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from SpineFractureSegLib.engine.errors import UserError


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """A name beside ``path`` to write to, with the same ending; renamed at the end of the block, removed on an error.

    Raises: UserError, when the file cannot be written or renamed.
    """
    path = Path(path)
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield partial
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # RuntimeError is SimpleITK's
        reason = getattr(error, "strerror", None) or (str(error).strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"'{path}' cannot be written: {reason.strip(' .')}; choose another place.") from error
    finally:
        with contextlib.suppress(OSError):  # what was wrong has been said
            partial.unlink(missing_ok=True)


def check_place(path: str | Path, suffix: str) -> None:
    """Finds out before the long work whether a file with this ending can be written; leaves nothing behind.

    Raises: UserError.
    """
    path = Path(path)
    if not path.name.lower().endswith(suffix):
        raise UserError(f"'{path.name}' must end with {suffix}.")
    if path.is_dir():
        raise UserError(f"'{path}' is a folder, a file name is needed: add one.")
    if not path.parent.is_dir():
        raise UserError(f"'{path}' cannot be written: there is no folder '{path.parent}', create it first.")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"'{path}' cannot be written: {error.strerror or error}; choose another folder.") from error
