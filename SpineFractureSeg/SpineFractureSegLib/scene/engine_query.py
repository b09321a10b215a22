"""A short command of the engine in the background, whose answer is one JSON value on its standard output."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from SpineFractureSegLib.scene.engine_run import EngineRun

AnsweredCallback = Callable[[Any, Exception | None], None]


class EngineQuery:
    """A query is asked once.

    Args:
        arguments: of the engine's command line, for example ``["finetune", "--estimate"]``.
        cleanUp: called once the process is gone.
    """

    def __init__(self, arguments: list[str], cleanUp: Callable[[], None] = lambda: None) -> None:
        self._lines: list[str] = []
        self._run = EngineRun(arguments, self._answer, cleanUp)

    @property
    def isRunning(self) -> bool:
        return self._run.isRunning

    def start(self, onAnswered: AnsweredCallback) -> None:
        """``onAnswered`` is called once, on the main thread: the value and None, or None and what went wrong.

        Raises: UserError, when the process cannot be started.
        """
        self._run.start(onLog=self._lines.append, onFinished=onAnswered)

    def cancel(self) -> None:
        """The answer is not wanted any more; ``onAnswered`` gets Cancelled."""
        self._run.cancel()

    def _answer(self) -> Any:
        """Raises: ValueError, when the lines hold no JSON."""
        text = "\n".join(self._lines)
        start = min((at for bracket in "[{" if (at := text.find(bracket)) >= 0), default=len(text))
        return json.JSONDecoder().raw_decode(text, start)[0]  # warnings may stand before and after it
