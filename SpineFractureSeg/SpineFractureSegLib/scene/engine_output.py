"""What the engine's process writes, line by line: what it runs on, its progress, all else, and why it failed."""

from __future__ import annotations

import json
import re
import time
from collections import deque
from dataclasses import dataclass, field

from slicer.i18n import tr as _

from SpineFractureSegLib.engine.cli import PROGRAM
from SpineFractureSegLib.engine.errors import UserError

_SENTENCE = re.compile(rf"{PROGRAM}(?: \w+)?: (?P<sentence>.+)")
_LINES_SHOWN = 3  # of the log, where no sentence says why it failed


@dataclass(frozen=True)
class EngineProgress:
    """``done`` of ``total`` steps are finished in this stage; both are counted anew in each."""

    stage: str  # for example "sagittal slices"
    done: int
    total: int
    device: str  # on which the run began, for example "cuda:0"
    elapsed_s: float  # since the job began, with the start of the process
    details: dict = field(default_factory=dict)  # what else this command tells, for example "epoch" and "loss"


class EngineOutput:
    """Reads the lines of one process.

    Args:
        adviceWhenKilled: what to do where the process was ended from outside, most often because memory ran out.

    Attributes:
        facts: what the process says before its first step: device, precision, model, version, pid.
    """

    def __init__(self, adviceWhenKilled: str | None = None) -> None:
        self.facts: dict = {"device": ""}
        self._adviceWhenKilled = adviceWhenKilled or _("crop the CT or choose a smaller batch, and run it again")
        self._startedAt = time.monotonic()
        self._log: deque[str] = deque(maxlen=20)

    def read(self, line: str) -> EngineProgress | str | None:
        """The progress that the line tells, or the line where it is for the log, or None."""
        fields = _jsonObject(line)
        if fields.keys() >= {"stage", "done", "total"}:
            elapsed = time.monotonic() - self._startedAt
            stage, done, total = (fields.pop(name) for name in ("stage", "done", "total"))
            return EngineProgress(stage, done, total, self.facts["device"], elapsed, fields)
        if fields.keys() >= {"device", "pid"}:
            self.facts = fields
            return None
        if line := line.rstrip():
            self._log.append(line)
        return line or None

    def failure(self, returnCode: int) -> UserError:
        """What to tell the user of a process that ended with this exit code and without its result."""
        sentence = next((match["sentence"] for line in reversed(self._log) if (match := _SENTENCE.match(line))), None)
        if returnCode == 2 and sentence:
            return UserError(sentence)
        if returnCode == 1 and sentence:
            return UserError(
                _("The engine met a fault of the program ({reason}): please report it with the log.").format(
                    reason=sentence.rstrip(".")
                )
            )
        if returnCode == 0:
            return UserError(_("The engine ended without its result: run it again; the log may say why."))
        last = " / ".join(list(self._log)[-_LINES_SHOWN:]) or _("none")
        return UserError(
            _(
                "The engine was ended from outside or crashed (exit code {code}, last lines: {lines}), most often "
                "because memory ran out: close other programs, {advice}."
            ).format(code=returnCode, lines=last, advice=self._adviceWhenKilled)
        )


def _jsonObject(line: str) -> dict:
    """The object that the line is, else an empty one."""
    if not line.startswith("{"):
        return {}
    try:
        fields = json.loads(line)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
