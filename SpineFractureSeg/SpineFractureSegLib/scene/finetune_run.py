"""Cases to a new model: the folder is filled, the engine trains in a process of its own, the result is read.

The folder outlives the run and Slicer. What ends a run on the way leaves the engine's last checkpoint there, from which
``FinetuneRun.resumed`` goes on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import qt
from slicer.i18n import tr as _

from SpineFractureSegLib.engine.errors import Cancelled, UserError
from SpineFractureSegLib.scene.engine_output import EngineOutput, EngineProgress
from SpineFractureSegLib.scene.engine_run import EngineRun, FinishedCallback, LogCallback, ProgressCallback
from SpineFractureSegLib.scene.finetune_case import FinetuneCase, problemOf, togetherProblem
from SpineFractureSegLib.scene.finetune_folder import FinetuneFolder, RunDescription
from SpineFractureSegLib.scene.finetune_result import FinetuneResult, readResult
from SpineFractureSegLib.scene.installation import requirePackages

BUNDLED = "bundled"  # how the engine calls the default model


@dataclass(frozen=True)
class FinetuneSettings:
    """How to fine-tune; None leaves the choice to the engine."""

    name: str  # of the new model, as in the list of models
    parent: str | Path | None = None  # name or path of the model to start from; None: the bundled default
    labelMeaning: str = ""  # what the outlines enclose, in words
    wholeBodies: bool = False  # the outlines enclose whole vertebral bodies
    minutes: float | None = None  # of training
    epochs: int | None = None  # at most
    learningRate: float | None = None
    mix: float | None = None  # share of simulated cases
    seed: int | None = None  # the same gives the same model
    device: str = "auto"  # "auto", "cpu", "cuda", "cuda:N" or "mps"

    def arguments(self) -> list[str]:
        """For the engine's command ``finetune``; the name is that of its output, the meaning stands with the cases."""
        options = {
            "from": self.parent or BUNDLED,
            "minutes": self.minutes,
            "epochs": self.epochs,
            "learning-rate": self.learningRate,
            "mix": self.mix,
            "seed": self.seed,
            "device": self.device,
        }
        words = [f"--{name}={value}" for name, value in options.items() if value is not None]
        return [*words, "--whole-bodies"] if self.wholeBodies else words


class FinetuneRun:
    """``FinetuneRun.new`` or ``FinetuneRun.resumed``; it is run or started once."""

    def __init__(self, folder: FinetuneFolder, filling: Iterator[tuple[int, int]]) -> None:
        self.folder = folder
        self._filling = filling  # done and total of the cases; at its end the folder is complete
        self._engine: EngineRun | None = None
        self._isFilling = False
        self._onProgress: ProgressCallback | None = None
        self._onLog: LogCallback | None = None
        self._onFinished: FinishedCallback | None = None

    @classmethod
    def new(cls, cases: Sequence[FinetuneCase], settings: FinetuneSettings) -> FinetuneRun:
        """Raises: UserError, when a case cannot be used, none could be held out, the name cannot be a model's or is
        taken, packages are missing, or there is no room."""
        from SpineFractureSegLib.engine.model_folders import checked_name

        requirePackages()
        checked_name(settings.name)
        _refuseTakenName(settings.name)
        for case in cases:
            if problem := problemOf(case):
                raise UserError(f"{case.name}: {problem}")
        if problem := togetherProblem(cases):
            raise UserError(problem)
        folder = FinetuneFolder.make()
        return cls(folder, _fill(folder, tuple(cases), settings))

    @classmethod
    def resumed(cls, folder: FinetuneFolder) -> FinetuneRun:
        """Raises: UserError, when packages are missing or the folder cannot be written."""
        requirePackages()
        folder.takeOver()
        return cls(folder, iter(()))

    @property
    def isRunning(self) -> bool:
        return self._isFilling or (self._engine is not None and self._engine.isRunning)

    def run(self, onProgress: ProgressCallback | None = None, onLog: LogCallback | None = None) -> FinetuneResult:
        """Runs to the end and waits for it; callbacks as of ``EngineRun.run``.

        Raises: UserError, when it cannot be done; Cancelled, when it was stopped before anything was learned.
        """
        self._onProgress, self._onLog = onProgress, onLog
        try:
            for done, total in self._filling:
                self._tellFilling(done, total)
            self._engine = self._prepareEngine()
            return self._engine.run(onProgress, onLog)
        finally:
            self._leaveFolder()

    def start(
        self,
        onProgress: ProgressCallback | None = None,
        onLog: LogCallback | None = None,
        onFinished: FinishedCallback | None = None,
    ) -> None:
        """Runs in the background; callbacks as of ``EngineRun.start``, also for what goes wrong at the start.

        The cases are copied one by one from Qt's event loop, so that Slicer can be used in between.
        """
        self._onProgress, self._onLog, self._onFinished = onProgress, onLog, onFinished
        self._isFilling = True
        qt.QTimer.singleShot(0, self._fillNext)

    def cancel(self) -> None:
        """Ends at once, all processes included; the last checkpoint stays. Of a run that has ended it does nothing."""
        if self._isFilling:
            self._finish(None, Cancelled(_("Cancelled on request.")))
        elif self._engine is not None:
            self._engine.cancel()

    def _fillNext(self) -> None:
        if not self._isFilling:
            return
        try:
            step = next(self._filling, None)
            if step is not None:
                self._tellFilling(*step)
            else:
                self._engine = self._prepareEngine()
                self._engine.start(self._onProgress, self._onLog, self._finish)
                self._isFilling = False
        except Exception as error:  # nobody else could catch it here
            self._finish(None, error)
        if self._isFilling:
            qt.QTimer.singleShot(0, self._fillNext)

    def _tellFilling(self, done: int, total: int) -> None:
        if self._onProgress:
            self._onProgress(EngineProgress(_("copying the cases"), done, total, "", 0.0))

    def _prepareEngine(self) -> EngineRun:
        folder = self.folder
        folder.clearMarks()
        paths = {"cases": folder.cases, "run-folder": folder.run, "output": folder.model}
        words = [f"--{name}={path}" for name, path in paths.items()]
        arguments = ["--debug", "finetune", *words, *folder.description.arguments, "--register", "--progress=json"]
        output = EngineOutput(adviceWhenKilled=_("and resume the run"))
        return EngineRun(arguments, lambda: readResult(folder), lambda: None, output)

    def _finish(self, result: FinetuneResult | None, error: Exception | None) -> None:
        self._isFilling = False
        onFinished, self._onFinished = self._onFinished, None
        try:
            self._leaveFolder()
        except UserError as failure:  # nobody else could catch it here
            error = error or failure
        if onFinished:
            onFinished(None if error else result, error)

    def _leaveFolder(self) -> None:
        """To be resumed or looked at; one from which nothing could be resumed does not stay."""
        if self.folder.hasLearned:
            self.folder.release()
        else:
            self.folder.remove()


def _fill(
    folder: FinetuneFolder, cases: Sequence[FinetuneCase], settings: FinetuneSettings
) -> Iterator[tuple[int, int]]:
    entries = []
    for number, case in enumerate(cases, 1):
        try:
            entries.append(folder.writeCase(number, case))
        except UserError as error:
            raise UserError(f"{case.name}: {error}") from error
        yield number, len(cases)
    description = RunDescription(
        modelName=settings.name,
        cases=len(cases),
        arguments=tuple(settings.arguments()),
        created=datetime.now().isoformat(timespec="seconds"),
        slicer=os.getpid(),
    )
    folder.complete(entries, settings.labelMeaning, description)


def _refuseTakenName(name: str) -> None:
    from SpineFractureSegLib.engine.model_store import list_models

    if name.casefold() in {model.name.casefold() for model in list_models()}:
        raise UserError(_('There is already a model "{name}": give the new one another name.').format(name=name))
