"""The section Fine-tune of the panel: cases in, a run that can be paused, stopped and resumed, before and after.

A run does not need the scene once its cases are copied: it goes on when the scene is closed, and is offered again after
a crash or restart of Slicer.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from SpineFractureSegLib.engine.errors import Cancelled, UserError
from SpineFractureSegLib.scene.finetune_cases_view import FinetuneCasesView
from SpineFractureSegLib.scene.finetune_folder import FinetuneFolder, openRuns
from SpineFractureSegLib.scene.finetune_plot import Epoch, FinetunePlot
from SpineFractureSegLib.scene.finetune_questions import FinetuneQuestions
from SpineFractureSegLib.scene.finetune_result import readResult
from SpineFractureSegLib.scene.finetune_result_view import FinetuneResultView
from SpineFractureSegLib.scene.finetune_run import FinetuneRun
from SpineFractureSegLib.scene.finetune_settings_view import FinetuneSettingsView
from SpineFractureSegLib.scene.installation import ensurePackages, missingPackages

if TYPE_CHECKING:
    from SpineFractureSegLib.scene.engine_output import EngineProgress
    from SpineFractureSegLib.scene.finetune_result import FinetuneResult
    from SpineFractureSegLib.scene.parameter_node import SpineFractureSegParameterNode

_UI = Path(__file__).resolve().parents[2] / "Resources" / "UI" / "FineTune.ui"
_ERROR = "color: #b3261e; font-weight: bold"


class FinetuneSection:
    """Loads its own .ui file and places it above the spacer at the end of the panel.

    Args:
        panelUi: of the panel, for the place.
        logic: of the module.
        onNewModel: called with the name of a new model that is to be used from now on, or with None when the list of
            models has changed only.
        log: takes a line for the panel's log.
    """

    def __init__(self, panelUi, logic, onNewModel: Callable[[str | None], None], log: Callable[[str], None]) -> None:
        self._logic, self._onNewModel, self._log = logic, onNewModel, log
        self._parameters: SpineFractureSegParameterNode | None = None
        self._run: FinetuneRun | None = None
        self._offered: FinetuneFolder | None = None
        self._isStopping = False
        widget = slicer.util.loadUI(str(_UI))
        widget.setMRMLScene(slicer.mrmlScene)
        layout = panelUi.logCollapsibleButton.parentWidget().layout()
        layout.insertWidget(layout.count() - 1, widget)
        self.ui = ui = slicer.util.childWidgetVariables(widget)
        self._cases = FinetuneCasesView(ui, self._onCasesChanged, self._say)
        self._knobs = FinetuneSettingsView(ui, self._update, self._say)
        self._questions = FinetuneQuestions(self._cases.propose, self._knobs.showTime)
        self._plot = FinetunePlot()
        self._results = FinetuneResultView(ui, lambda: onNewModel(None), self._offer, self._say)
        for button, slot in (
            (ui.estimateButton, self._onEstimate),
            (ui.startFinetuningButton, self._onStart),
            (ui.pauseFinetuningButton, self._onPause),
            (ui.stopFinetuningButton, self._onStop),
            (ui.resumeButton, self._onResume),
            (ui.discardButton, self._onDiscard),
        ):
            button.connect("clicked(bool)", slot)
        ui.finetuneCollapsibleButton.connect("contentsCollapsed(bool)", self._onFolded)
        self._results.show(None)

    # ------------------------------------------------------------------ the panel around it

    def attach(self, parameters: SpineFractureSegParameterNode) -> None:
        """The panel is shown: what is in it is brought up to date."""
        self._parameters = parameters
        self._knobs.showParents()
        self._offer()

    def detach(self) -> None:
        """The scene closes: its cases go; a run goes on."""
        self._parameters = None
        self._cases.removeOfScene()

    def close(self) -> None:
        """The panel goes away: a run is ended, to be resumed."""
        self._results.stop()
        self._questions.stop()
        if self._run is not None:
            self._run.cancel()
        self._cases.close()

    def _onFolded(self, isFolded: bool) -> None:
        if not isFolded and self._parameters is not None:
            self._cases.suggest(self._parameters)

    # ------------------------------------------------------------------ before the run

    def _onCasesChanged(self) -> None:
        if not self._cases.problem and self._run is None:
            self._questions.askRoles(self._cases.cases)
        self._update()

    def _onEstimate(self, *_args) -> None:
        with slicer.util.tryWithErrorDisplay(_("The time could not be estimated."), waitCursor=True):
            self._knobs.askTime(self._questions, self._parameters.device)
        self._update()

    # ------------------------------------------------------------------ the run

    def _onStart(self, *_args) -> None:
        if self._run is not None:
            self._run.cancel()
            return

        def start() -> None:
            if missingPackages():
                ensurePackages()
            settings = self._knobs.settings(self._parameters.device)
            self._begin(self._logic.startFinetuning, self._cases.cases, **vars(settings))

        self._try(start, _("The fine-tuning could not be started."))
        self._update()

    def _onResume(self, *_args) -> None:
        folder = self._offered
        if folder.isFinished:
            self._try(lambda: self._results.show(_resultOf(folder)), _("The result could not be read."))
        else:
            self._try(lambda: self._begin(self._logic.resumeFinetuning, folder), _("The run could not be resumed."))
        self._offer()

    def _begin(self, start: Callable, *arguments, **settings) -> None:
        """Starts the run by one of the logic's two functions."""
        self._questions.stop()
        self._results.show(None)
        self._plot.clear()
        self._isStopping = False
        self._say("")
        self._run = start(
            *arguments, **settings, onProgress=self._onProgress, onLog=self._log, onFinished=self._onFinished
        )
        self.ui.finetuneProgressBar.setRange(0, 0)  # busy
        self.ui.finetuneProgressBar.setVisible(True)
        self.ui.finetuneStatusLabel.text = _("Starting the engine")
        self._plot.show()
        self._offer()

    def _onPause(self, *_args) -> None:
        folder = self._run.folder
        self._try(lambda: folder.pause(not folder.isPaused), _("The run could not be paused."))
        self._update()

    def _onStop(self, *_args) -> None:
        self._try(self._run.folder.stop, _("The run could not be stopped."))
        self._isStopping = True
        self._update()

    def _onProgress(self, progress: EngineProgress) -> None:
        details, bar = progress.details, self.ui.finetuneProgressBar
        if "dice" in details:
            self._plot.add(Epoch(details["epoch"], details["loss"], details["dice"]))
        bar.setRange(0, progress.total)
        bar.setValue(progress.done)
        parts = [_stageText(progress), progress.device]
        if epochs := self._plot.epochs:
            best = max(epochs, key=lambda epoch: epoch.dice)
            parts.append(_("best Dice {dice:.3f} in epoch {epoch}").format(dice=best.dice, epoch=best.number))
        self.ui.finetuneStatusLabel.text = "  \u00b7  ".join(part for part in parts if part)

    def _onFinished(self, result: FinetuneResult | None, error: Exception | None) -> None:
        self._run, self._isStopping = None, False
        self.ui.finetuneProgressBar.setVisible(False)
        self.ui.finetuneStatusLabel.text = ""
        if result is not None:
            self._results.show(result)
            self._say("")
            self._onNewModel(None if result.worse else result.modelName)
            self._knobs.showParents()
        elif isinstance(error, Cancelled):
            self._say(_("The fine-tuning was cancelled."))
        else:
            self._say(str(error), isError=True)
        self._offer()
        if error is not None and not isinstance(error, (Cancelled, UserError)):
            with slicer.util.tryWithErrorDisplay(_("The fine-tuning failed.")):
                raise error

    # ------------------------------------------------------------------ runs of before

    def _offer(self) -> None:
        """The latest run that was cut off, or whose result was not put away."""
        ui, shown = self.ui, self._results.result
        runs = [run for run in openRuns() if shown is None or run.path != shown.folder.path]
        self._offered = runs[0] if runs and self._run is None else None
        ui.openRunFrame.setVisible(self._offered is not None)
        if self._offered is not None:
            isFinished, about = self._offered.isFinished, self._offered.description
            text = (
                _("The fine-tuning of {created} ({name}, {cases} cases) is done.")
                if isFinished
                else _("The fine-tuning of {created} ({name}, {cases} cases) was cut off and can go on.")
            )
            ui.openRunLabel.text = text.format(created=about.createdShown, name=about.modelName, cases=about.cases)
            ui.resumeButton.text = _("Show") if isFinished else _("Resume")
        self._update()

    def _onDiscard(self, *_args) -> None:
        name = self._offered.description.modelName
        if slicer.util.confirmOkCancelDisplay(_("Remove the run {name} and its copies of the CTs?").format(name=name)):
            self._try(self._offered.remove, _("The run could not be removed."))
            self._offer()

    # ------------------------------------------------------------------ what can be pressed

    def _update(self, *_args) -> None:
        ui, run = self.ui, self._run
        isRunning = run is not None
        problem = self._problem()
        self._cases.update()
        ui.casesGroupBox.enabled = ui.finetuneSettingsGroupBox.enabled = not isRunning
        ui.estimateButton.enabled = not self._questions.isTiming and self._parameters is not None
        ui.startFinetuningButton.text = _("Cancel") if isRunning else _("Start")
        ui.startFinetuningButton.enabled = isRunning or not problem
        ui.startFinetuningButton.toolTip = (
            _("End at once; the run can be resumed from its last checkpoint.") if isRunning else problem
        ) or _("Learn from the cases.")
        isPaused = isRunning and run.folder.isPaused
        ui.pauseFinetuningButton.text = _("Continue") if isPaused else _("Pause")
        ui.pauseFinetuningButton.enabled = isRunning and not self._isStopping
        ui.stopFinetuningButton.enabled = isRunning and not self._isStopping
        ui.resumeButton.enabled = not isRunning

    def _problem(self) -> str:
        """Why Start cannot be pressed."""
        if self._parameters is None:
            return _("The scene is being closed.")
        return self._cases.problem or self._knobs.problem

    def _say(self, message: str, isError: bool = False) -> None:
        label = self.ui.finetuneMessageLabel
        label.text = message
        label.setStyleSheet(_ERROR if isError else "")
        label.setVisible(bool(message))
        if message:
            self._log(message)

    def _try(self, action: Callable[[], None], failure: str) -> None:
        with slicer.util.tryWithErrorDisplay(failure, waitCursor=True):
            try:
                action()
            except UserError as error:
                self._say(str(error), isError=True)


def _resultOf(folder: FinetuneFolder) -> FinetuneResult:
    """Raises: UserError, when it is damaged."""
    try:
        return readResult(folder)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            _("The result in {path} cannot be read: discard this run and start it again.").format(path=folder.path)
        ) from error


def _stageText(progress: EngineProgress) -> str:
    """The engine's stage in words, with its steps."""
    epoch = progress.details.get("epoch", "")
    texts = {
        "prepare": _("Preparing the cases"),
        "simulate": _("Simulating cases"),
        "train": _("Training, epoch {epoch}").format(epoch=epoch),
        "validate": _("Scoring the held-out cases"),
        "blend": _("Choosing how much of the new weights to keep"),
        "score": _("Comparing before and after"),
        "pause": _("Paused"),
    }
    text = texts.get(progress.stage, progress.stage)
    return text if progress.stage == "pause" else f"{text}, {progress.done} / {progress.total}"
