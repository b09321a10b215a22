"""One command of the engine in a process of its own: waiting for it, or in the background with cancel.

Whatever ends a run, the process with all its descendants is gone, and what the run was given to clean up is cleaned up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from SpineFractureSegLib.engine.errors import Cancelled, UserError
from SpineFractureSegLib.scene.engine_output import EngineOutput, EngineProgress
from SpineFractureSegLib.scene.engine_process import commandLine, endTree, environmentAdditions, findWorker

if TYPE_CHECKING:
    from subprocess import Popen

_CANCELLED = 130  # exit code of the engine's command line

ProgressCallback = Callable[[EngineProgress], None]
LogCallback = Callable[[str], None]
FinishedCallback = Callable[[Any, Exception | None], None]


class EngineRun:
    """A run is run or started once.

    Args:
        arguments: of the engine's command line, for example ``["segment", "ct.nrrd", "--output=mask.nrrd"]``.
        readResult: called after a process that ended well; its answer is the result. OSError, RuntimeError, ValueError
            and KeyError say that the result is missing or damaged.
        cleanUp: called once the process is gone; more than once does no harm.
        output: reads what the process writes.
    """

    def __init__(
        self,
        arguments: list[str],
        readResult: Callable[[], Any],
        cleanUp: Callable[[], None],
        output: EngineOutput | None = None,
    ) -> None:
        self._arguments = arguments
        self._readResult, self._cleanUp = readResult, cleanUp
        self._output = output or EngineOutput()
        self._process: Popen | None = None
        self._worker = None  # psutil.Process of the engine, once it said which it is
        self._isRunning = False
        self._onProgress: ProgressCallback | None = None
        self._onLog: LogCallback | None = None
        self._onFinished: FinishedCallback | None = None

    @property
    def isRunning(self) -> bool:
        return self._isRunning

    def run(self, onProgress: ProgressCallback | None = None, onLog: LogCallback | None = None) -> Any:
        """Runs the command and waits for it. What the callbacks raise ends it and is raised here.

        Args:
            onProgress: called at each step.
            onLog: called with every line that is no progress.

        Raises: UserError, when the command refuses its input or the process fails; Cancelled, when ``cancel`` was
            called meanwhile, by a callback or another thread.
        """
        self._onProgress, self._onLog = onProgress, onLog
        try:
            self._launch(blocking=True)
            while line := _nextLine(self._process):
                self._take(line)
            return self._result(self._process.wait())
        except Exception as error:
            if self._process is not None and not self._isRunning:
                raise _cancelled() from error
            raise
        finally:
            self._end()
            if self._process is not None:
                self._process.stdout.close()

    def start(
        self,
        onProgress: ProgressCallback | None = None,
        onLog: LogCallback | None = None,
        onFinished: FinishedCallback | None = None,
    ) -> None:
        """Runs the command in the background. All callbacks come on the main thread, from Qt's event loop.

        Args:
            onProgress, onLog: as in ``run``; what they raise ends the run and is handed to ``onFinished``.
            onFinished: called once, with the result and None, or with None and the exception that ``run`` would raise.

        Raises: UserError, when the process cannot be started; then ``onFinished`` is not called.
        """
        self._onProgress, self._onLog, self._onFinished = onProgress, onLog, onFinished
        try:
            self._launch(blocking=False, logCallback=self._onLine, completedCallback=self._onCompleted)
        except BaseException:
            self._end()
            raise

    def cancel(self) -> None:
        """Ends the process with its descendants within two seconds, cleans up and calls ``onFinished``.

        May be called at any moment; of a run that has ended it does nothing.
        """
        if self._isRunning:
            self._finish(None, _cancelled())

    def _launch(self, **options) -> None:
        self._isRunning = True
        try:
            self._process = slicer.util.launchConsoleProcess(
                commandLine(self._arguments),
                useStartupEnvironment=False,  # PythonSlicer is inside Slicer's own environment
                updateEnvironment=environmentAdditions(),
                **options,
            )
        except OSError as error:
            raise UserError(
                _("Slicer's Python cannot be started ({reason}): repair or reinstall 3D Slicer.").format(
                    reason=error.strerror or error
                )
            ) from error

    def _onLine(self, line: str) -> None:
        if not self._isRunning:
            return
        try:
            self._take(line)
        except Exception as error:  # raised further, it would stop Slicer's reading of the process
            self._finish(None, error)

    def _onCompleted(self, returnCode: int) -> None:
        self._process.stdout.close()  # it was read to its end
        if not self._isRunning:
            return
        result, error = None, None
        try:
            result = self._result(returnCode)
        except Exception as failure:  # nobody else could catch it here
            error = failure
        self._finish(result, error)

    def _take(self, line: str) -> None:
        news = self._output.read(line)
        if self._worker is None and "pid" in self._output.facts:
            self._worker = findWorker(self._process, self._output.facts["pid"])
        if isinstance(news, EngineProgress):
            if self._onProgress:
                self._onProgress(news)
        elif news is not None and self._onLog:
            self._onLog(news)

    def _result(self, returnCode: int) -> Any:
        if returnCode == _CANCELLED:
            raise _cancelled()
        if returnCode != 0:
            raise self._output.failure(returnCode)
        try:
            return self._readResult()
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise self._output.failure(returnCode) from error

    def _finish(self, result: Any, error: Exception | None) -> None:
        onFinished, self._onFinished = self._onFinished, None
        self._end()
        if onFinished:
            onFinished(result, error)

    def _end(self) -> None:
        """Nothing of the run is left; a second time does nothing."""
        self._isRunning = False
        self._onProgress = self._onLog = self._onFinished = None
        if self._process is not None:
            endTree(self._process, self._worker)
        self._cleanUp()


def _nextLine(process: Popen) -> str:
    """The next line with its end, empty after the last."""
    while True:
        try:
            return process.stdout.readline()
        except UnicodeDecodeError:  # of a library beneath Python; ours are in the right encoding
            continue


def _cancelled() -> Cancelled:
    return Cancelled(_("Cancelled on request."))
