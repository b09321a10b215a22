"""The models at hand: list, find, import, export, delete. Bundled ones are read only."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from SpineFractureSegLib.engine.atomic_file import written_whole
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.model_card import ModelCard, read_card
from SpineFractureSegLib.engine.model_folders import (
    SUFFIX,
    bundled_folder,
    checked_name,
    find_model,
    model_paths,
    user_folder,
)

__all__ = ["StoredModel", "delete_model", "export_model", "find_model", "import_model", "list_models"]


@dataclass(frozen=True)
class StoredModel:
    """A model file in one of the two folders; ``card`` or, of a file that cannot be used, ``problem``."""

    name: str
    path: Path
    bundled: bool
    card: ModelCard | None
    problem: str | None = None


def list_models() -> list[StoredModel]:
    """Bundled models first, then the user's, each by name. A damaged file is listed with its problem."""
    return [
        _describe(path, bundled=bundled)
        for folder, bundled in ((bundled_folder(), True), (user_folder(), False))
        for path in model_paths(folder)
    ]


def import_model(source: str | Path, name: str | None = None, *, replace: bool = False) -> StoredModel:
    """Copies a model file into the user's folder, after loading it whole.

    Arguments: ``name`` it gets, by default the file's; ``replace`` a model of the user's with this name.
    Raises: UserError, when the file is no usable model or the name is taken.
    """
    from SpineFractureSegLib.engine.model_file import load_model  # the list of models does without torch

    source = Path(source).expanduser()
    load_model(source)
    name = checked_name(source.stem if name is None else name)
    _refuse_bundled(name, "be replaced; give the model another name")
    target = user_folder() / f"{name}{SUFFIX}"
    if _taken(target) and not replace:
        raise UserError(f"There is already a model {name!r}; give another name or ask to replace it.")
    _copy(source, target)
    return _describe(target, bundled=False)


def export_model(name: str, destination: str | Path, *, replace: bool = False) -> Path:
    """Copies the model with this name to a file, or into a folder under its own name; returns the file's path.

    Raises: UserError, when there is no such model, or the file exists and ``replace`` is False.
    """
    source = find_model(name)
    target = Path(destination).expanduser()
    if target.is_dir():
        target = target / source.name
    if target.suffix != SUFFIX:
        raise UserError(f"A model is exported to a {SUFFIX} file or into a folder, not to {target}.")
    if target.exists() and not replace:
        raise UserError(f"{target} exists; choose another file or ask to replace it.")
    _copy(source, target)
    return target


def delete_model(name: str) -> None:
    """Deletes a model of the user's.

    Raises: UserError, when it is bundled or there is none.
    """
    _refuse_bundled(checked_name(name), "be deleted")
    path = user_folder() / f"{name}{SUFFIX}"
    if not path.is_file():
        raise UserError(f"There is no model {name!r} in {user_folder()}.")
    try:
        path.unlink()
    except OSError as error:
        raise UserError(f"{path} cannot be deleted: {error.strerror or error}.") from error


def _describe(path: Path, *, bundled: bool) -> StoredModel:
    try:
        return StoredModel(path.stem, path, bundled, read_card(path))
    except UserError as error:
        return StoredModel(path.stem, path, bundled, None, str(error))


def _refuse_bundled(name: str, action: str) -> None:
    if name.casefold() in {path.stem.casefold() for path in model_paths(bundled_folder())}:
        raise UserError(f"The model {name!r} is bundled and cannot {action}.")


def _taken(target: Path) -> bool:
    """Whether the folder has this file, or one that differs in case only (the same file on Windows and macOS)."""
    return target.name.casefold() in {path.name.casefold() for path in model_paths(target.parent)}


def _copy(source: Path, target: Path) -> None:
    """Copies, making the folder where it is missing."""
    with written_whole(target) as partial:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, partial)
