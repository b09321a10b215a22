"""The panel: what the buttons do, and when they can be pressed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from SpineFractureSegLib.engine.errors import Cancelled, UserError
from SpineFractureSegLib.scene.ct_choice import firstCt
from SpineFractureSegLib.scene.evaluation_view import EvaluationView
from SpineFractureSegLib.scene.findings_view import FindingsView
from SpineFractureSegLib.scene.finetune_section import FinetuneSection
from SpineFractureSegLib.scene.installation import ensurePackages, missingPackages
from SpineFractureSegLib.scene.model_chooser import ModelChooser
from SpineFractureSegLib.scene.progress_view import ProgressView
from SpineFractureSegLib.scene.threshold_control import ThresholdControl
from SpineFractureSegLib.scene.volume_reader import sequenceOf

if TYPE_CHECKING:
    from slicer import vtkMRMLSegmentationNode

    from SpineFractureSegLib.scene.engine_job import EngineJob
    from SpineFractureSegLib.scene.parameter_node import SpineFractureSegParameterNode


class Panel(VTKObservationMixin):
    """Binds the widgets of the .ui file to the parameter node and the logic."""

    def __init__(self, ui, logic) -> None:
        VTKObservationMixin.__init__(self)
        self._ui, self._logic = ui, logic
        self._parameters: SpineFractureSegParameterNode | None = None
        self._guiTag = None
        self._job: EngineJob | None = None
        self._runningOn: str | None = None  # ID of the CT
        self._stopMessage = ""  # why the run is being cancelled
        self._progress = ProgressView(ui)
        self._models = ModelChooser(ui, self._onModelChosen, self._progress.say)
        self._findings = FindingsView(ui, logic, self._progress.say)
        self._evaluation = EvaluationView(ui, logic)
        self._threshold = ThresholdControl(ui, logic, self._models, self._showOutput, self._progress.say)
        self._finetuning = FinetuneSection(ui, logic, self._onNewModel, self._progress.log)
        ui.applyButton.connect("clicked(bool)", self._onApply)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.NodeAddedEvent, self._onNodeAdded)
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self._onNodeAboutToBeRemoved)

    # ------------------------------------------------------------------ the parameter node

    def attach(self, parameters: SpineFractureSegParameterNode) -> None:
        """Shows and follows this parameter node; what is not chosen yet gets a sensible choice."""
        if self._parameters is not None and self._parameters.parameterNode is parameters.parameterNode:
            self._models.refresh()
            self._finetuning.attach(parameters)
            self._update()
            return
        self.detach()
        self._parameters = parameters
        self._chooseCt()
        self._models.choose(parameters.model)
        self._threshold.attach(parameters)
        self._guiTag = parameters.connectGui(self._ui)
        self.addObserver(parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
        self._evaluation.attach(parameters)
        self._finetuning.attach(parameters)
        self._showOutput()
        self._update()

    def detach(self) -> None:
        """Stops following the parameter node, because the scene closes."""
        if self._parameters is None:
            return
        self._threshold.detach()
        self._parameters.disconnectGui(self._guiTag)
        self.removeObserver(self._parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
        self._parameters = None
        self._evaluation.attach(None)
        self._finetuning.detach()
        self._findings.show(None)

    def close(self) -> None:
        """The panel goes away, with Slicer or because the module is reloaded."""
        self.stop(_("The panel was closed: the segmentation was cancelled."))
        self.detach()
        self._finetuning.close()
        self._progress.stop()
        self.removeObservers()

    def _onParametersModified(self, _caller=None, _event=None) -> None:
        parameters = self._parameters
        if parameters is None:
            return
        if parameters.model != self._models.name:  # set by a script
            self._models.choose(parameters.model)
            self._onModelChosen(parameters.model)
        if self._threshold.follow(isRunning=self._job is not None):
            self._showOutput()
        self._evaluation.refresh()
        self._update()

    # ------------------------------------------------------------------ what can be pressed

    def _update(self) -> None:
        parameters, ui = self._parameters, self._ui
        if parameters is None:
            return
        running = self._job is not None
        planes = self._models.planes()
        for name, checkBox in (
            ("sagittal", ui.sagittalCheckBox),
            ("axial", ui.axialCheckBox),
            ("coronal", ui.coronalCheckBox),
        ):
            checkBox.enabled = name in planes
            checkBox.toolTip = (
                _("Segment the {plane} slices.")
                if name in planes
                else _("The chosen model was not trained on {plane} slices.")
            ).format(plane=name)
        for button in (ui.inputsCollapsibleButton, ui.outputsCollapsibleButton, ui.advancedCollapsibleButton):
            button.enabled = not running
        missing = self._missing()
        ui.applyButton.text = _("Cancel") if running else _("Apply")
        ui.applyButton.enabled = running or not missing
        ui.applyButton.toolTip = (
            _("End the segmentation; the scene stays as it is.")
            if running
            else "; ".join(missing) or _("Outline the fractures of this CT.")
        )

    def _missing(self) -> list[str]:
        """What Apply still needs."""
        missing = []
        if self._parameters.inputVolume is None:
            missing.append(_("Choose a CT"))
        elif self._parameters.probabilityVolume is self._parameters.inputVolume:
            missing.append(_("Choose another volume for the probability, it would overwrite the CT"))
        if self._models.problem:
            missing.append(self._models.problem)
        elif not self._chosenPlanes():
            missing.append(_("Choose a plane that the model was trained on"))
        return missing

    def _chosenPlanes(self) -> tuple[str, ...]:
        return tuple(plane for plane in self._models.planes() if getattr(self._parameters, plane))

    # ------------------------------------------------------------------ the run

    def _onApply(self, *_args) -> None:
        if self._job is not None:
            self.stop(_("Cancelled."))
            return
        self._progress.say("")
        with slicer.util.tryWithErrorDisplay(_("The segmentation could not be started.")):
            try:
                if missingPackages():
                    ensurePackages()
                self._start()
            except UserError as error:
                self._progress.say(str(error), isError=True)
        self._update()

    def _start(self) -> None:
        parameters = self._parameters
        volumeNode = parameters.inputVolume
        allowFrame = False
        if sequenceOf(volumeNode) is not None:
            allowFrame = slicer.util.confirmOkCancelDisplay(
                _("{name} is one frame of a sequence. Segment the frame that is shown now?").format(
                    name=volumeNode.GetName()
                )
            )
            if not allowFrame:
                return
        planes = self._chosenPlanes()
        self._progress.begin()
        try:
            self._job = self._logic.startSegmentation(
                volumeNode,
                parameters.outputSegmentation,
                model=parameters.model or None,
                device=parameters.device,
                planes=None if planes == self._models.planes() else planes,
                threshold=parameters.threshold,
                minVolumeMm3=parameters.minVolume,
                batchSize=parameters.batchSize or None,
                vertebrae=parameters.vertebrae,
                probability=parameters.probabilityVolume or False,
                allowSequenceFrame=allowFrame,
                onProgress=self._progress.show,
                onLog=self._progress.log,
                onFinished=self._onFinished,
            )
        except BaseException:
            self._progress.end("")
            raise
        self._runningOn = volumeNode.GetID()

    def stop(self, message: str) -> None:
        """Cancels the run, where there is one; the scene stays as it is."""
        if self._job is None:
            return
        self._stopMessage = message
        self._job.cancel()

    def _onFinished(self, segmentationNode: vtkMRMLSegmentationNode | None, error: Exception | None) -> None:
        self._job, self._runningOn = None, None
        if isinstance(error, Cancelled):
            self._progress.end("")
            self._progress.say(self._stopMessage or _("Cancelled."))
        elif error is not None:
            self._progress.end("")
            self._progress.say(str(error), isError=True)
            self._update()
            if not isinstance(error, UserError):
                with slicer.util.tryWithErrorDisplay(_("The segmentation failed.")):
                    raise error
        else:
            self._showRun(segmentationNode)
        self._stopMessage = ""
        self._update()

    def _showRun(self, segmentationNode: vtkMRMLSegmentationNode) -> None:
        record = self._logic.runRecord(segmentationNode)
        self._progress.end(
            _("Done in {seconds:.1f} s on {device} ({precision}), model {model}.").format(
                seconds=record.seconds, device=record.device, precision=record.precision, model=record.model
            )
        )
        self._progress.say("\n".join(record.warnings))
        parameters = self._parameters
        if parameters is None:
            return
        self._threshold.accept(segmentationNode)
        parameters.outputSegmentation = segmentationNode
        parameters.evaluatedSegmentation = segmentationNode
        parameters.evaluatedSegmentID = "Fracture"
        self._showOutput()
        self._findings.nameFromChosenNode()

    def _showOutput(self) -> None:
        """Findings and 3D button of the chosen segmentation; scores of an earlier outline go."""
        self._evaluation.outdate()
        node = self._parameters.outputSegmentation
        self._ui.show3DButton.setSegmentationNode(node)
        self._findings.show(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAdded(self, _caller, _event, node: vtk.vtkObject) -> None:
        if self._parameters is not None and self._parameters.inputVolume is None and node.IsA("vtkMRMLVolumeNode"):
            qt.QTimer.singleShot(0, self._chooseCt)  # when it is loaded

    def _chooseCt(self) -> None:
        """Saves the user a click; what the user has chosen stays."""
        if self._parameters is not None and self._parameters.inputVolume is None:
            self._parameters.inputVolume = firstCt()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAboutToBeRemoved(self, _caller, _event, node: vtk.vtkObject) -> None:
        if self._runningOn is not None and node is not None and node.GetID() == self._runningOn:
            self.stop(_("The CT was removed from the scene: the segmentation was cancelled."))

    # ------------------------------------------------------------------ models

    def _onModelChosen(self, name: str) -> None:
        if self._parameters is None:
            return
        self._parameters.model = name
        self._threshold.takeModelValues()
        self._update()

    def _onNewModel(self, name: str | None) -> None:
        """The list of models has grown; a model with a name is used from now on."""
        if self._parameters is None or name is None:
            self._models.refresh()
        else:
            self._parameters.model = name  # observed: chosen as if by a script
