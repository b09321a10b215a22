"""One run of the engine on one CT, in a process of its own: waiting for it, or in the background with cancel.

The path of a job: a folder with the CT, the process that writes its results there, the results as arrays, the folder
removed. Whatever ends it on the way, the process with all its descendants is gone and so is the folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from SpineFractureSegLib.engine.errors import Cancelled, UserError
from SpineFractureSegLib.scene.engine_output import EngineOutput, EngineProgress
from SpineFractureSegLib.scene.engine_process import commandLine, endTree, environmentAdditions, findWorker
from SpineFractureSegLib.scene.job_folder import EngineResult, JobFolder

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import Popen

    import SimpleITK as sitk

__all__ = ["EngineJob", "EngineProgress", "EngineResult", "SegmentationSettings"]

ProgressCallback = Callable[[EngineProgress], None]
LogCallback = Callable[[str], None]
FinishedCallback = Callable[[EngineResult | None, Exception | None], None]


@dataclass(frozen=True)
class SegmentationSettings:
    """How to segment; None leaves the choice to the model or the device."""

    model: str | Path | None = None  # name or path; None: the bundled default
    device: str = "auto"  # "auto", "cpu", "cuda", "cuda:N" or "mps"
    planes: Sequence[str] | None = None  # some of the model's
    threshold: float | None = None  # probability in (0, 1) from which a voxel is fractured
    minVolumeMm3: float | None = None  # smaller findings are dropped
    batchSize: int | None = None  # slices at once
    vertebrae: bool = False  # vertebral bodies too

    def arguments(self) -> list[str]:
        """For the engine's command ``segment``."""
        options = {
            "model": self.model,
            "device": self.device,
            "planes": None if self.planes is None else ",".join(self.planes),
            "threshold": self.threshold,
            "min-volume": self.minVolumeMm3,
            "batch-size": self.batchSize,
        }
        words = [f"--{name}={value}" for name, value in options.items() if value is not None]
        return [*words, "--vertebrae"] if self.vertebrae else words


class EngineJob:
    """A job is run or started once.

    Args:
        ct: in HU, with the geometry of the world; not changed.
    """

    def __init__(self, ct: sitk.Image, settings: SegmentationSettings) -> None:
        self._ct: sitk.Image | None = ct
        self._settings = settings
        self._output: EngineOutput | None = None
        self._folder: JobFolder | None = None
        self._process: Popen | None = None
        self._worker = None  # psutil.Process of the engine, once it said which it is
        self._isRunning = False
        self._onProgress: ProgressCallback | None = None
        self._onLog: LogCallback | None = None
        self._onFinished: FinishedCallback | None = None

    @property
    def isRunning(self) -> bool:
        return self._isRunning

    def run(self, onProgress: ProgressCallback | None = None, onLog: LogCallback | None = None) -> EngineResult:
        """Runs the job and waits for it. What the callbacks raise ends it and is raised here.

        Args:
            onProgress: called at each step.
            onLog: called with every line that is no progress.

        Raises: UserError, when the CT cannot be segmented or the process fails; Cancelled, when ``cancel`` was called
            meanwhile, by a callback or another thread.
        """
        ct = self._takeCt()
        self._onProgress, self._onLog = onProgress, onLog
        try:
            self._launch(ct, blocking=True)
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
        """Runs the job in the background. All callbacks come on the main thread, from Qt's event loop.

        Args:
            onProgress, onLog: as in ``run``; what they raise ends the job and is handed to ``onFinished``.
            onFinished: called once, with the result and None, or with None and the exception that ``run`` would raise.

        Raises: UserError, when the process cannot be started; then ``onFinished`` is not called.
        """
        ct = self._takeCt()
        self._onProgress, self._onLog, self._onFinished = onProgress, onLog, onFinished
        try:
            self._launch(ct, blocking=False, logCallback=self._onLine, completedCallback=self._onCompleted)
        except BaseException:
            self._end()
            raise

    def cancel(self) -> None:
        """Ends the process with its descendants within two seconds, removes the folder and calls ``onFinished``.

        May be called at any moment; of a job that has ended it does nothing.
        """
        if self._isRunning:
            self._finish(None, _cancelled())

    def _takeCt(self) -> sitk.Image:
        if self._ct is None:
            raise ValueError("a job runs once: make a new one")
        ct, self._ct = self._ct, None  # it is large, and not needed after it was written
        return ct

    def _launch(self, ct: sitk.Image, **options) -> None:
        self._folder = JobFolder()
        self._folder.writeCt(ct)
        self._output = EngineOutput()
        self._isRunning = True
        try:
            self._process = slicer.util.launchConsoleProcess(
                commandLine(self._arguments()),
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

    def _arguments(self) -> list[str]:
        folder = self._folder
        outputs = {"output": folder.segmentation, "probability": folder.probability, "report": folder.report}
        words = [f"--{name}={path}" for name, path in outputs.items()]
        fixed = ["--debug", "segment", str(folder.ct), *words, "--uncompressed", "--progress=json"]
        return [*fixed, *self._settings.arguments()]

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
        if isinstance(news, EngineProgress):
            if self._onProgress:
                self._onProgress(news)
        elif news is not None:
            if self._onLog:
                self._onLog(news)
        elif self._worker is None and "pid" in self._output.facts:
            self._worker = findWorker(self._process, self._output.facts["pid"])

    def _result(self, returnCode: int) -> EngineResult:
        if returnCode != 0:
            raise self._output.failure(returnCode)
        try:
            return self._folder.readResult()
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise self._output.failure(returnCode) from error

    def _finish(self, result: EngineResult | None, error: Exception | None) -> None:
        onFinished, self._onFinished = self._onFinished, None
        self._end()
        if onFinished:
            onFinished(result, error)

    def _end(self) -> None:
        """Nothing of the job is left; a second time does nothing."""
        self._isRunning = False
        self._onProgress = self._onLog = self._onFinished = None
        if self._process is not None:
            endTree(self._process, self._worker)
        if self._folder is not None:
            self._folder.remove()


def _nextLine(process: Popen) -> str:
    """The next line with its end, empty after the last."""
    while True:
        try:
            return process.stdout.readline()
        except UnicodeDecodeError:  # of a library beneath Python; ours are in the right encoding
            continue


def _cancelled() -> Cancelled:
    return Cancelled(_("The segmentation was cancelled."))
