"""A folder of results remembers what it was made with, so that nothing else is mixed in."""

import json
from pathlib import Path

from SpineFractureSegLib.engine.atomic_file import written_whole
from SpineFractureSegLib.engine.errors import UserError

_NAME = "preset.json"


def keep_settings(folder: str | Path, fields: dict, what: str) -> None:
    """Makes the folder, where there is none, and writes the settings into it, or compares with those that are there.

    Args:
        fields: JSON types.
        what: would be added: "cases of preset cpu".

    Raises: UserError, when the folder was made with others.
    """
    path = Path(folder) / _NAME
    if path.exists():
        if json.loads(path.read_text(encoding="utf-8")) != fields:
            raise UserError(f"{folder} was made with other settings than {what} as it is now; choose another folder.")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as partial:
        partial.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")
