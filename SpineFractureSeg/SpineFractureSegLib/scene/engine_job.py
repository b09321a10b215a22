"""One segmentation of one CT by the engine, in a process of its own.

The path of a job: a folder with the CT, the process that writes its results there, the results as arrays, the folder
removed. Whatever ends it on the way, the process with all its descendants is gone and so is the folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from SpineFractureSegLib.scene.engine_output import EngineProgress
from SpineFractureSegLib.scene.engine_run import EngineRun, FinishedCallback, LogCallback, ProgressCallback
from SpineFractureSegLib.scene.job_folder import EngineResult, JobFolder

if TYPE_CHECKING:
    from pathlib import Path

    import SimpleITK as sitk

__all__ = ["EngineJob", "EngineProgress", "EngineResult", "SegmentationSettings"]


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
        self._run: EngineRun | None = None

    @property
    def isRunning(self) -> bool:
        return self._run is not None and self._run.isRunning

    def run(self, onProgress: ProgressCallback | None = None, onLog: LogCallback | None = None) -> EngineResult:
        """Runs the job and waits for it; callbacks and exceptions as of ``EngineRun.run``.

        Raises: UserError also, when there is no room for the CT.
        """
        self._run = self._prepare()
        return self._run.run(onProgress, onLog)

    def start(
        self,
        onProgress: ProgressCallback | None = None,
        onLog: LogCallback | None = None,
        onFinished: FinishedCallback | None = None,
    ) -> None:
        """Runs the job in the background; callbacks and exceptions as of ``EngineRun.start``.

        Raises: UserError also, when there is no room for the CT; then ``onFinished`` is not called.
        """
        self._run = self._prepare()
        self._run.start(onProgress, onLog, onFinished)

    def cancel(self) -> None:
        """Ends the process with its descendants within two seconds, removes the folder and calls ``onFinished``.

        May be called at any moment; of a job that has ended it does nothing.
        """
        if self._run is not None:
            self._run.cancel()

    def _prepare(self) -> EngineRun:
        if self._ct is None:
            raise ValueError("a job runs once: make a new one")
        ct, self._ct = self._ct, None  # it is large, and not needed after it was written
        folder = JobFolder()
        try:
            folder.writeCt(ct)
        except BaseException:
            folder.remove()
            raise
        return EngineRun(self._arguments(folder), folder.readResult, folder.remove)

    def _arguments(self, folder: JobFolder) -> list[str]:
        outputs = {
            "output": folder.segmentation,
            "probability": folder.probability,
            "bodies": folder.bodies,
            "report": folder.report,
        }
        words = [f"--{name}={path}" for name, path in outputs.items()]
        fixed = ["--debug", "segment", str(folder.ct), *words, "--uncompressed", "--progress=json"]
        return [*fixed, *self._settings.arguments()]
