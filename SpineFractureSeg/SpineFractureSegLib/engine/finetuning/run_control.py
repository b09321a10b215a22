"""How a run is asked to pause or to stop from outside: by files called ``pause`` and ``stop`` in its folder.

A pause is nothing but a stop that waits: the work saves its state and ends, its memory is given back, and when the file
is gone it is resumed as after a crash. So both take the same well-tested way.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from SpineFractureSegLib.engine.errors import Cancelled
from SpineFractureSegLib.engine.finetuning.tuning_progress import TuningCallback, TuningProgress
from SpineFractureSegLib.engine.progress import StopQuery, raise_if_stopped

T = TypeVar("T")

_POLL_S = 0.2


class RunControl:
    """Asks for the files, and the caller's own wish to stop.

    Args:
        folder: of the run.
        should_stop: the caller's; ends the run without a result, to be resumed by the same call.
        on_progress: told of a pause.
    """

    def __init__(self, folder: Path, should_stop: StopQuery, on_progress: TuningCallback) -> None:
        self._pause, self._stop = folder / "pause", folder / "stop"
        self._should_stop, self._on_progress = should_stop, on_progress

    @property
    def is_stopped(self) -> bool:
        """Whether the run is to end with the best model so far."""
        return self._stop.exists()

    def interrupts(self) -> bool:
        """A ``should_stop`` for work that a stop ends."""
        return self._should_stop() or self._stop.exists() or self._pause.exists()

    def interrupts_ending(self) -> bool:
        """A ``should_stop`` for the work after a stop, which a second stop does not end."""
        return self._should_stop() or self._pause.exists()

    def forget_stop(self) -> None:
        """The stop was obeyed; it does not hold for the next run in this folder."""
        self._stop.unlink(missing_ok=True)

    def through_pauses(self, work: Callable[[], T]) -> T:
        """What ``work`` returns; after a pause it is called again and must go on where it was.

        Raises: Cancelled, when it was interrupted by anything but a pause.
        """
        while True:
            try:
                return work()
            except Cancelled:
                if self._should_stop() or self.is_stopped or not self._pause.exists():
                    raise
                self._wait()

    def _wait(self) -> None:
        self._on_progress(TuningProgress("pause", 0, 1))
        while self._pause.exists() and not self.is_stopped:
            raise_if_stopped(self._should_stop)
            time.sleep(_POLL_S)
        self._on_progress(TuningProgress("pause", 1, 1))
