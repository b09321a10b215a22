"""The section Fine-tune of the panel: cases in, a run that can be paused, stopped and resumed, before and after.

A run does not need the scene once its cases are copied: it goes on when the scene is closed, and is offered again after
a crash or restart of Slicer.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from SpineFractureSegLib.engine.errors import Cancelled, UserError
from SpineFractureSegLib.scene.finetune_case import sceneCase
from SpineFractureSegLib.scene.finetune_folder import FinetuneFolder, openRuns
from SpineFractureSegLib.scene.finetune_plot import Epoch, FinetunePlot
from SpineFractureSegLib.scene.finetune_questions import FinetuneQuestions
from SpineFractureSegLib.scene.finetune_result import readResult
from SpineFractureSegLib.scene.finetune_result_view import FinetuneResultView
from SpineFractureSegLib.scene.finetune_run import FinetuneRun, FinetuneSettings
from SpineFractureSegLib.scene.finetune_search import Found, casesOfFolder, casesOfScene
from SpineFractureSegLib.scene.finetune_table import FinetuneTable
from SpineFractureSegLib.scene.installation import ensurePackages, missingPackages

if TYPE_CHECKING:
    from slicer import vtkMRMLSegmentationNode

    from SpineFractureSegLib.scene.engine_output import EngineProgress
    from SpineFractureSegLib.scene.finetune_result import FinetuneResult
    from SpineFractureSegLib.scene.parameter_node import SpineFractureSegParameterNode

_UI = Path(__file__).resolve().parents[2] / "Resources" / "UI" / "FineTune.ui"
_ERROR = "color: #b3261e; font-weight: bold"


class FinetuneSection(VTKObservationMixin):
    """Loads its own .ui file and places it above the spacer at the end of the panel.

    Args:
        panelUi: of the panel, for the place.
        logic: of the module.
        onNewModel: called with the name of a new model that is to be used from now on, or with None when the list of
            models has changed only.
        log: takes a line for the panel's log.
    """

    def __init__(self, panelUi, logic, onNewModel: Callable[[str | None], None], log: Callable[[str], None]) -> None:
        VTKObservationMixin.__init__(self)
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
        self._table = FinetuneTable(ui, self._onCasesChanged)
        self._questions = FinetuneQuestions(self._table.propose, self._showEstimate)
        self._plot = FinetunePlot()
        self._results = FinetuneResultView(ui, lambda: onNewModel(None), self._offer, self._say)
        for button, slot in (
            (ui.addCaseButton, self._onAdd),
            (ui.addSceneButton, self._onAddScene),
            (ui.addFolderButton, self._onAddFolder),
            (ui.removeCaseButton, self._onRemove),
            (ui.estimateButton, self._onEstimate),
            (ui.startFinetuningButton, self._onStart),
            (ui.pauseFinetuningButton, self._onPause),
            (ui.stopFinetuningButton, self._onStop),
            (ui.resumeButton, self._onResume),
            (ui.discardButton, self._onDiscard),
        ):
            button.connect("clicked(bool)", slot)
        ui.caseVolumeSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._update)
        ui.caseSegmentSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._onSegmentationChosen)
        ui.caseSegmentSelector.connect("currentSegmentChanged(QString)", self._update)
        ui.casesTableWidget.connect("itemSelectionChanged()", self._update)
        ui.newModelLineEdit.connect("textChanged(QString)", self._update)
        for spinBox in (ui.minutesSpinBox, ui.epochsSpinBox):
            spinBox.connect("valueChanged(int)", self._outdateEstimate)
        ui.parentComboBox.connect("currentIndexChanged(int)", self._outdateEstimate)
        ui.newModelLineEdit.text = f"fine-tuned-{datetime.now():%Y-%m-%d}"
        ui.finetuneCollapsibleButton.connect("contentsCollapsed(bool)", self._onFolded)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.NodeRemovedEvent, self._onNodeRemoved)
        self._results.show(None)

    # ------------------------------------------------------------------ the panel around it

    def attach(self, parameters: SpineFractureSegParameterNode) -> None:
        """The panel is shown: what is in it is brought up to date."""
        self._parameters = parameters
        self._showParents()
        self._offer()

    def detach(self) -> None:
        """The scene closes: its cases go; a run goes on."""
        self._parameters = None
        self._table.removeOfScene()

    def close(self) -> None:
        """The panel goes away: a run is ended, to be resumed."""
        self._results.stop()
        self._questions.stop()
        if self._run is not None:
            self._run.cancel()
        self.removeObservers()

    def _onFolded(self, isFolded: bool) -> None:
        """Whoever opens the section most likely means the CT and the reference that are chosen above."""
        parameters, ui = self._parameters, self.ui
        if isFolded or parameters is None or ui.caseVolumeSelector.currentNode() is not None:
            return
        ui.caseVolumeSelector.setCurrentNode(parameters.inputVolume)
        if parameters.referenceSegmentation is not None:
            ui.caseSegmentSelector.setCurrentNode(parameters.referenceSegmentation)
            ui.caseSegmentSelector.setCurrentSegmentID(parameters.referenceSegmentID)

    def _showParents(self) -> None:
        from SpineFractureSegLib.engine.model_folders import DEFAULT_MODEL
        from SpineFractureSegLib.engine.model_store import list_models

        comboBox = self.ui.parentComboBox
        wasBlocked = comboBox.blockSignals(True)
        chosen = comboBox.currentData
        comboBox.clear()
        for model in list_models():
            if model.card is not None:
                label = _("{name} (bundled)").format(name=model.name) if model.bundled else model.name
                comboBox.addItem(label, "" if model.name == DEFAULT_MODEL else model.name)
        comboBox.setCurrentIndex(max(comboBox.findData(chosen), 0))
        comboBox.blockSignals(wasBlocked)

    # ------------------------------------------------------------------ cases

    def _onSegmentationChosen(self, segmentationNode: vtkMRMLSegmentationNode | None) -> None:
        """The first segment is taken, until the user chooses another."""
        selector = self.ui.caseSegmentSelector
        segmentIDs = segmentationNode.GetSegmentation().GetSegmentIDs() if segmentationNode else ()
        if segmentIDs and selector.currentSegmentID() not in segmentIDs:
            selector.setCurrentSegmentID(segmentIDs[0])
        self._update()

    def _onAdd(self, *_args) -> None:
        ui = self.ui
        segments = ui.caseSegmentSelector
        self._table.add(
            [sceneCase(ui.caseVolumeSelector.currentNode(), segments.currentNode(), segments.currentSegmentID())]
        )

    def _onAddScene(self, *_args) -> None:
        self._addFound(casesOfScene())

    def _onAddFolder(self, *_args) -> None:
        path = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("A folder of CTs with outlines"))
        if path:
            self._try(lambda: self._addFound(casesOfFolder(Path(path))), _("The folder could not be read."))

    def _addFound(self, found: Found) -> None:
        self._table.add(found.cases)
        lines = [_("Cases found: {count}.").format(count=len(found.cases))]
        lines += [_("Left out: {what}.").format(what=what) for what in found.leftOut]
        self._say("\n".join(lines))

    def _onRemove(self, *_args) -> None:
        self._table.removeSelected()

    def _onCasesChanged(self) -> None:
        cases = self._table.cases
        if cases and not self._table.problem and self._run is None:
            self._questions.askRoles(cases)
        self._update()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeRemoved(self, _caller, _event, node: vtk.vtkObject) -> None:
        if not slicer.mrmlScene.IsClosing():
            self._table.recheck(node.GetID())

    # ------------------------------------------------------------------ estimate

    def _settings(self) -> FinetuneSettings:
        ui = self.ui
        return FinetuneSettings(
            name=ui.newModelLineEdit.text.strip(),
            parent=ui.parentComboBox.currentData or None,
            labelMeaning=ui.labelMeaningLineEdit.text.strip(),
            wholeBodies=ui.wholeBodiesCheckBox.checked,
            minutes=ui.minutesSpinBox.value,
            epochs=ui.epochsSpinBox.value,
            learningRate=ui.learningRateSpinBox.value,
            mix=ui.mixSlider.value,
            device=self._parameters.device,
        )

    def _onEstimate(self, *_args) -> None:
        self.ui.estimateLabel.text = _("Trying a few steps...")
        self._try(lambda: self._questions.askTime(self._settings()), _("The time could not be estimated."))
        self._update()

    def _showEstimate(self, estimate: dict | None, error: Exception | None) -> None:
        if estimate is not None:
            self.ui.estimateLabel.text = _(
                "{epochs} epochs in about {minutes:.0f} minutes on {device}; preparing and scoring come on top."
            ).format(epochs=estimate["epochs"], minutes=max(estimate["minutes"], 1), device=estimate["device"])
        else:
            self.ui.estimateLabel.text = ""
            if not isinstance(error, Cancelled):
                self._say(str(error), isError=True)
        self._update()

    def _outdateEstimate(self, *_args) -> None:
        self.ui.estimateLabel.text = ""

    # ------------------------------------------------------------------ the run

    def _onStart(self, *_args) -> None:
        if self._run is not None:
            self._run.cancel()
            return

        def start() -> None:
            if missingPackages():
                ensurePackages()
            self._begin(self._logic.startFinetuning, self._table.cases, **vars(self._settings()))

        self._try(start, _("The fine-tuning could not be started."))
        self._update()

    def _onResume(self, *_args) -> None:
        folder = self._offered
        if folder.isFinished:
            self._try(lambda: self._finish(readResult(folder)), _("The result could not be read."))
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
        self._update()

    def _onFinished(self, result: FinetuneResult | None, error: Exception | None) -> None:
        self._run, self._isStopping = None, False
        self.ui.finetuneProgressBar.setVisible(False)
        self.ui.finetuneStatusLabel.text = ""
        if result is not None:
            self._finish(result)
        elif isinstance(error, Cancelled):
            self._say(_("The fine-tuning was cancelled."))
        else:
            self._say(str(error), isError=True)
        self._offer()
        if error is not None and not isinstance(error, (Cancelled, UserError)):
            with slicer.util.tryWithErrorDisplay(_("The fine-tuning failed.")):
                raise error

    def _finish(self, result: FinetuneResult) -> None:
        self._results.show(result)
        self._say("")
        self._onNewModel(None if result.worse else result.modelName)
        self._showParents()

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
        hasPair = ui.caseVolumeSelector.currentNode() is not None and bool(ui.caseSegmentSelector.currentSegmentID())
        hasPair = hasPair and ui.caseSegmentSelector.currentNode() is not None
        problem = self._problem()
        ui.casesGroupBox.enabled = ui.finetuneSettingsGroupBox.enabled = not isRunning
        ui.addCaseButton.enabled = hasPair
        ui.removeCaseButton.enabled = bool(self._table.selected)
        ui.estimateButton.enabled = not self._questions.isTiming and self._parameters is not None
        ui.casesLabel.text = self._table.problem if self._table.cases else _("No cases yet.")
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
        if not self._table.cases:
            return _("Add cases.")
        if not self.ui.newModelLineEdit.text.strip():
            return _("Give the new model a name.")
        return self._table.problem

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


def _stageText(progress: EngineProgress) -> str:
    """The engine's stage in words, with its steps."""
    epoch = progress.details.get("epoch", "")
    texts = {
        "prepare": _("Preparing the cases"),
        "simulate": _("Simulating cases"),
        "train": _("Training, epoch {epoch}").format(epoch=epoch),
        "validate": _("Scoring the held-out cases"),
        "score": _("Comparing before and after"),
        "pause": _("Paused"),
    }
    text = texts.get(progress.stage, progress.stage)
    return text if progress.stage == "pause" else f"{text}, {progress.done} / {progress.total}"
