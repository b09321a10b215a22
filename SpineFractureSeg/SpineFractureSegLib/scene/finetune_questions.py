"""What the panel asks the engine before a fine-tuning: who would be held out, and how long it would take here."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import slicer

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.engine_query import EngineQuery
from SpineFractureSegLib.scene.installation import missingPackages, requirePackages

if TYPE_CHECKING:
    from SpineFractureSegLib.scene.finetune_case import FinetuneCase
    from SpineFractureSegLib.scene.finetune_run import FinetuneSettings


class FinetuneQuestions:
    """Asks in the background; a question asked anew takes the place of the one before.

    Args:
        onRoles: called with the role of each case by its name.
        onTime: called with device, seconds_per_epoch, epochs and minutes and None, or with None and what went wrong.
    """

    def __init__(
        self, onRoles: Callable[[dict[str, str]], None], onTime: Callable[[dict | None, Exception | None], None]
    ) -> None:
        self._onRoles, self._onTime = onRoles, onTime
        self._roles: EngineQuery | None = None
        self._time: EngineQuery | None = None

    @property
    def isTiming(self) -> bool:
        return self._time is not None and self._time.isRunning

    def askRoles(self, cases: Sequence[FinetuneCase]) -> None:
        """Only proposes: where it cannot be answered, nothing is said, as the run itself will say what is wrong."""
        if self._roles is not None:
            self._roles.cancel()
        if missingPackages():
            return
        folder = Path(tempfile.mkdtemp(prefix="SpineFractureSeg-roles-", dir=slicer.app.temporaryPath))
        path = folder / "cases.json"
        path.write_text(
            json.dumps({"cases": [{**_entry(case), "image": "none", "mask": "none"} for case in cases]}),
            encoding="utf-8",
        )
        self._roles = EngineQuery(
            ["finetune", f"--cases={path}", "--roles"], lambda: shutil.rmtree(folder, ignore_errors=True)
        )
        with contextlib.suppress(UserError):
            self._roles.start(lambda roles, error: self._onRoles(roles) if error is None else None)

    def askTime(self, settings: FinetuneSettings) -> None:
        """Raises: UserError, when packages are missing or the process cannot be started."""
        requirePackages()
        if self._time is not None:
            self._time.cancel()
        self._time = EngineQuery(["finetune", "--estimate", *settings.arguments()])
        self._time.start(self._onTime)

    def stop(self) -> None:
        """No answer is wanted any more."""
        for query in (self._roles, self._time):
            if query is not None:
                query.cancel()


def _entry(case: FinetuneCase) -> dict[str, str]:
    return {"name": case.name, "patient": case.patient, "role": case.role}
