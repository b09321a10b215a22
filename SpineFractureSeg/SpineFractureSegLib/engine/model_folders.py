"""Where model files lie: the bundled folder, which is read only, and the user's own.

A model's *name* is its file name without ``.safetensors``. Names are letters, digits, ``.``, ``_`` and ``-``, so that
none of them leads out of its folder.
"""

import os
import re
import sys
from pathlib import Path

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.resources import resource_folder

SUFFIX = ".safetensors"
DEFAULT_MODEL = "spine-fracture-default"
FOLDER_VARIABLE = "SPINE_FRACTURE_SEG_MODELS"

_SAFE_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?")
_DEVICE_NAMES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)  # no file on Windows has these


def bundled_folder() -> Path:
    """The models that come with the program."""
    return resource_folder("Models")


def user_folder() -> Path:
    """The folder named by ``SPINE_FRACTURE_SEG_MODELS``, else one in the platform's place for a program's data.

    It need not exist.
    """
    if chosen := os.environ.get(FOLDER_VARIABLE):
        return Path(chosen).expanduser()
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return base / "SpineFractureSeg" / "models"


def checked_name(name: str) -> str:
    """``name``, when it can be a model's.

    Raises: UserError, when it holds a path or characters that some file system refuses.

    >>> checked_name("my-model_2.1")
    'my-model_2.1'
    """
    if not _SAFE_NAME.fullmatch(name) or _DEVICE_NAMES.fullmatch(name):
        raise UserError(
            f"{name!r} cannot be a model's name: use 1 to 100 letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit."
        )
    return name


def find_model(name: str = DEFAULT_MODEL) -> Path:
    """The file of the model with this name; the user's own folder is searched first, but never for the default.

    Raises: UserError, when there is none; it lists those that there are.
    """
    checked_name(name)
    folders = [bundled_folder()] if name == DEFAULT_MODEL else [user_folder(), bundled_folder()]
    for folder in folders:
        if (path := folder / f"{name}{SUFFIX}").is_file():
            return path
    known = sorted({path.stem for folder in (bundled_folder(), user_folder()) for path in model_paths(folder)})
    raise UserError(f"There is no model {name!r}; there are: {', '.join(known) or 'none'}.")


def model_paths(folder: Path) -> list[Path]:
    """The model files in ``folder`` by name; none when it does not exist."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.is_file() and _SAFE_NAME.fullmatch(path.stem))
