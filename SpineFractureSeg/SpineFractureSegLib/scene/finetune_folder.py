"""The folder of one fine-tuning: what goes in, what the engine keeps there to resume from, what comes out.

It lies beside the user's models and outlives Slicer, so that a run that was cut off can go on. It holds copies of CTs,
and is removed with them when the user is done with the run.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from slicer.i18n import tr as _

from SpineFractureSegLib.engine.atomic_file import written_whole
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.finetune_case import FilePair, FinetuneCase

_DESCRIPTION = "run.json"  # of a folder called date-time-process-any


@dataclass(frozen=True)
class RunDescription:
    """What was asked for, written when all cases are in the folder: without it there is nothing to resume."""

    modelName: str  # of the new model
    cases: int  # how many
    arguments: tuple[str, ...]  # of the engine's command, the paths within the folder apart
    created: str  # ISO, local time
    slicer: int  # id of the process that runs it; 0: nobody does

    @property
    def createdShown(self) -> str:
        return datetime.fromisoformat(self.created).strftime("%Y-%m-%d %H:%M")


class FinetuneFolder:
    """A folder on disk; nothing is read or made before it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._description: RunDescription | None = None

    @classmethod
    def make(cls) -> FinetuneFolder:
        """A new one. Raises: UserError, when it cannot be made."""
        base, stamp = runsFolder(), datetime.now().strftime("%Y%m%d-%H%M%S")
        try:
            base.mkdir(parents=True, exist_ok=True)
            path = Path(tempfile.mkdtemp(prefix=f"{stamp}-{os.getpid()}-", dir=base))
            (path / "cases").mkdir()
        except OSError as error:
            raise UserError(
                _("In {path} no folder can be made ({reason}): free some space or correct its rights.").format(
                    path=base, reason=error.strerror or error
                )
            ) from error
        return cls(path)

    # --- what goes in

    @property
    def cases(self) -> Path:
        """The list that the engine reads."""
        return self.path / "cases.json"

    def writeCase(self, number: int, case: FinetuneCase) -> dict:
        """Brings a case into the folder where the engine could not read it otherwise; returns its entry of the list.

        Args:
            number: of the case, for the names of its files.

        Raises: UserError, when it cannot be read or there is no room.
        """
        from SpineFractureSegLib.engine.writers import write_mask

        source = case.source
        if isinstance(source, FilePair):
            image, mask = source.image, source.mask
            if source.values is not None:
                mask = self._path(number, "mask")
                write_mask(mask, _maskOfValues(source))
        else:
            ct, drawn = source.read()
            image, mask = self._path(number, "ct"), self._path(number, "mask")
            _writeCt(image, ct)
            write_mask(mask, drawn)
        files = {"image": str(image), "mask": str(mask)}
        return {"name": case.name, **files, "patient": case.patient, "role": case.role}

    def complete(self, entries: Sequence[dict], labelMeaning: str, description: RunDescription) -> None:
        """All cases are in the folder. Raises: UserError, when there is no room."""
        self._writeJson(self.cases, {"label_meaning": labelMeaning, "cases": list(entries)})
        self._describe(description)

    # --- what is known of the run

    @property
    def description(self) -> RunDescription | None:
        """None of a folder that was never complete, or of another version."""
        if self._description is None:
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                fields = json.loads((self.path / _DESCRIPTION).read_text(encoding="utf-8"))
                self._description = RunDescription(**{**fields, "arguments": tuple(fields["arguments"])})
        return self._description

    def takeOver(self) -> None:
        """This Slicer runs it from now on. Raises: UserError, when the folder cannot be written."""
        self._describe(replace(self.description, slicer=os.getpid()))

    def release(self) -> None:
        """Nobody runs it any more: it can be resumed or looked at. Raises: UserError, as ``takeOver``."""
        self._describe(replace(self.description, slicer=0))

    def files(self, case: str) -> tuple[Path, Path]:
        """CT and mask of the case with this name.

        Raises: KeyError, OSError, ValueError, when the list of cases does not name it.
        """
        entries = json.loads(self.cases.read_text(encoding="utf-8"))["cases"]
        entry = {entry["name"]: entry for entry in entries}[case]
        return Path(entry["image"]), Path(entry["mask"])

    @property
    def run(self) -> Path:
        """Where the engine keeps its checkpoint."""
        return self.path / "run"

    @property
    def model(self) -> Path:
        return self.path / f"{self.description.modelName}.safetensors"

    @property
    def result(self) -> Path:
        return self.run / "result.json"

    @property
    def isFinished(self) -> bool:
        return self.result.is_file()

    @property
    def hasLearned(self) -> bool:
        """Whether the engine left something from which it could go on."""
        return self.isFinished or any(self.run.rglob("last.pt"))

    # --- what the engine is asked while it runs

    def stop(self) -> None:
        """The engine ends after the step it is at, scores the best model so far and writes the result."""
        self.pause(False)
        self._mark("stop", True)

    def pause(self, paused: bool) -> None:
        self._mark("pause", paused)

    @property
    def isPaused(self) -> bool:
        return (self.run / "pause").exists()

    def clearMarks(self) -> None:
        """Before the engine is started: what was asked of the run before does not hold any more."""
        self._mark("stop", False)
        self._mark("pause", False)

    def remove(self) -> None:
        """With the copies of the CTs; a second time does nothing.

        Raises: UserError, when something is left.
        """
        shutil.rmtree(self.path, ignore_errors=True)
        if self.path.exists():
            raise UserError(
                _("The folder {path} could not be removed: delete it by hand, it holds copies of the CTs.").format(
                    path=self.path
                )
            )

    def _describe(self, description: RunDescription) -> None:
        self._writeJson(self.path / _DESCRIPTION, {**vars(description), "arguments": list(description.arguments)})
        self._description = description

    def _path(self, number: int, kind: str) -> Path:
        return self.path / "cases" / f"{number:03d}_{kind}.nrrd"

    def _mark(self, name: str, wanted: bool) -> None:
        path = self.run / name
        try:
            if wanted:
                self.run.mkdir(exist_ok=True)
                path.touch()
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(
                _("The file {path} cannot be changed ({reason}): free some space or correct its rights.").format(
                    path=path, reason=error.strerror or error
                )
            ) from error

    @staticmethod
    def _writeJson(path: Path, fields: dict) -> None:
        with written_whole(path) as partial:
            partial.write_text(json.dumps(fields, indent=2), encoding="utf-8")


def runsFolder() -> Path:
    """Beside the folder of the user's models."""
    from SpineFractureSegLib.engine.model_folders import user_folder

    return user_folder().parent / "fine-tuning"


def openRuns() -> list[FinetuneFolder]:
    """Runs that were cut off or whose result nobody has put away yet, latest first; not those that are at work.

    Folders that hold no complete list of cases are removed: Slicer ended while they were filled.
    """
    runs = []
    for path in sorted(runsFolder().glob("*-*-*-*"), reverse=True):
        folder = FinetuneFolder(path)
        description = folder.description
        if description is None:
            if not _isAtWork(int(path.name.split("-")[2]), path):
                shutil.rmtree(path, ignore_errors=True)
        elif not _isAtWork(description.slicer, path / _DESCRIPTION):
            runs.append(folder)
    return runs


def _isAtWork(pid: int, noted: Path) -> bool:
    """Whether this process still lives; one that began after the file was written only got the same number."""
    import psutil

    try:
        return pid > 0 and psutil.Process(pid).create_time() <= noted.stat().st_mtime
    except (psutil.Error, OSError):
        return False


def _maskOfValues(pair: FilePair):
    """The mask as 0 and 1, where only some values of the file are fracture."""
    from SpineFractureSegLib.engine.case import MAP_FRACTURE
    from SpineFractureSegLib.engine.data.label_map import read_fracture
    from SpineFractureSegLib.engine.data.scan import FractureMask

    return read_fracture(FractureMask(pair.mask, pair.values)) == MAP_FRACTURE


def _writeCt(path: Path, ct) -> None:
    import SimpleITK as sitk

    with written_whole(path) as partial:
        sitk.WriteImage(ct, str(partial), useCompression=False)
