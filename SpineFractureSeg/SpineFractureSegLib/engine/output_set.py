"""Several output files of one run that appear together or not at all.

Each is written into a hidden folder beside its place first; when all are complete, all are renamed into place. So a
full disk, an error or Ctrl-C in the middle leaves the folder as it was, older files of the same names included.
"""

import contextlib
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from SpineFractureSegLib.engine.errors import UserError


class OutputSet:
    """``with OutputSet() as outputs: write(outputs.place(path))`` for each path."""

    def __init__(self) -> None:
        self._places: dict[Path, Path] = {}  # final path: where it is written first

    def __enter__(self) -> "OutputSet":
        return self

    def place(self, path: str | Path) -> Path:
        """Where to write what belongs at ``path``: a file of the same name on the same disk.

        Raises: UserError, when the folder does not take files.
        """
        path = Path(path)
        try:
            folder = Path(tempfile.mkdtemp(prefix=".spine-fracture-seg-", dir=path.parent))
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror or error}.") from error
        self._places[path] = folder / path.name
        return self._places[path]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._rename_all()
            elif isinstance(error, UserError):
                raise UserError(self._with_final_paths(str(error))) from error
        finally:
            for place in self._places.values():
                shutil.rmtree(place.parent, ignore_errors=True)

    def _rename_all(self) -> None:
        renamed: list[Path] = []
        try:
            for path, place in self._places.items():
                place.replace(path)
                renamed.append(path)
        except BaseException as error:
            for done in renamed:
                with contextlib.suppress(OSError):
                    done.unlink()
            if isinstance(error, OSError):
                raise UserError(f"{path} cannot be written: {error.strerror or error}.") from error
            raise

    def _with_final_paths(self, message: str) -> str:
        for path, place in self._places.items():
            message = message.replace(str(place), str(path))
        return message
