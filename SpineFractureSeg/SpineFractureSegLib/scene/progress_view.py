"""What the panel shows while a segmentation runs: bar, stage, elapsed time, device, log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import qt
from slicer.i18n import tr as _

if TYPE_CHECKING:
    from SpineFractureSegLib.scene.engine_job import EngineProgress

_TICK_MS = 500


class ProgressView:
    """Progress bar, status line, message line and log box."""

    def __init__(self, ui) -> None:
        self._bar, self._status, self._message, self._log = (
            ui.progressBar,
            ui.statusLabel,
            ui.messageLabel,
            ui.logTextEdit,
        )
        self._stage, self._device = "", ""
        self._startedAt = None
        self._timer = qt.QTimer()
        self._timer.setInterval(_TICK_MS)
        self._timer.connect("timeout()", self._tell)

    def begin(self) -> None:
        self._stage, self._device = _("Starting the engine"), ""
        self._startedAt = time.monotonic()
        self._bar.setRange(0, 0)  # busy
        self._bar.setFormat("")
        self._bar.setVisible(True)
        self.say("")
        self._timer.start()
        self._tell()

    def show(self, progress: EngineProgress) -> None:
        """The slices that are done in this stage."""
        self._stage, self._device = progress.stage, progress.device or self._device
        if progress.total > 0:
            self._bar.setRange(0, progress.total)
            self._bar.setValue(progress.done)
            self._bar.setFormat(f"{progress.stage}  {progress.done} / {progress.total}")
        self._tell()

    def end(self, status: str) -> None:
        self._timer.stop()
        self._startedAt = None
        self._bar.setVisible(False)
        self._status.text = status

    def say(self, message: str, isError: bool = False) -> None:
        """A sentence below the bar; it also goes into the log."""
        self._message.text = message
        self._message.setStyleSheet("color: #b3261e; font-weight: bold" if isError else "")
        self._message.setVisible(bool(message))
        if message:
            self.log(message)

    def log(self, line: str) -> None:
        self._log.appendPlainText(f"{time.strftime('%H:%M:%S')}  {line}")

    def stop(self) -> None:
        """The panel goes away."""
        self._timer.stop()

    def _tell(self) -> None:
        if self._startedAt is None:
            return
        parts = [self._stage, _("{seconds} s").format(seconds=round(time.monotonic() - self._startedAt)), self._device]
        self._status.text = "  \u00b7  ".join(part for part in parts if part)
