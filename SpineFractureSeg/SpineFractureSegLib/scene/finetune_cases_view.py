"""The cases of the section Fine-tune: where they are added from, and their table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.finetune_case import FinetuneCase, sceneCase
from SpineFractureSegLib.scene.finetune_search import Found, casesOfFolder, casesOfScene
from SpineFractureSegLib.scene.finetune_table import FinetuneTable

if TYPE_CHECKING:
    from slicer import vtkMRMLSegmentationNode

    from SpineFractureSegLib.scene.parameter_node import SpineFractureSegParameterNode


class FinetuneCasesView(VTKObservationMixin):
    """``onChanged()`` is called when the cases, or what is known of them, have changed, ``say(sentence, isError)`` with
    what was found or went wrong."""

    def __init__(self, ui, onChanged: Callable[[], None], say: Callable[..., None]) -> None:
        VTKObservationMixin.__init__(self)
        self._ui, self._say = ui, say
        self._table = FinetuneTable(ui, onChanged)
        self.propose = self._table.propose
        for button, slot in (
            (ui.addCaseButton, self._onAdd),
            (ui.addSceneButton, self._onAddScene),
            (ui.addFolderButton, self._onAddFolder),
            (ui.removeCaseButton, self._onRemove),
        ):
            button.connect("clicked(bool)", slot)
        ui.caseVolumeSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.update)
        ui.caseSegmentSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._onSegmentationChosen)
        ui.caseSegmentSelector.connect("currentSegmentChanged(QString)", self.update)
        ui.casesTableWidget.connect("itemSelectionChanged()", self.update)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self._onNodeRemoved)

    @property
    def cases(self) -> tuple[FinetuneCase, ...]:
        return self._table.cases

    @property
    def problem(self) -> str:
        """Why these cases cannot be fine-tuned with; empty where they can."""
        return self._table.problem if self.cases else _("Add cases.")

    def suggest(self, parameters: SpineFractureSegParameterNode) -> None:
        """The CT and the reference that are chosen in the sections above are most likely meant."""
        ui = self._ui
        if ui.caseVolumeSelector.currentNode() is not None:
            return
        ui.caseVolumeSelector.setCurrentNode(parameters.inputVolume)
        if parameters.referenceSegmentation is not None:
            ui.caseSegmentSelector.setCurrentNode(parameters.referenceSegmentation)
            ui.caseSegmentSelector.setCurrentSegmentID(parameters.referenceSegmentID)

    def removeOfScene(self) -> None:
        """The scene is being closed; cases from files stay."""
        self._table.removeOfScene()

    def close(self) -> None:
        """The panel goes away."""
        self.removeObservers()

    def update(self, *_args) -> None:
        """What can be pressed."""
        ui, segments = self._ui, self._ui.caseSegmentSelector
        hasSegment = segments.currentNode() is not None and bool(segments.currentSegmentID())
        ui.addCaseButton.enabled = hasSegment and ui.caseVolumeSelector.currentNode() is not None
        ui.removeCaseButton.enabled = bool(self._table.selected)
        ui.casesLabel.text = self._table.problem if self.cases else _("No cases yet.")

    def _onSegmentationChosen(self, segmentationNode: vtkMRMLSegmentationNode | None) -> None:
        """The first segment is taken, until the user chooses another."""
        selector = self._ui.caseSegmentSelector
        segmentIDs = segmentationNode.GetSegmentation().GetSegmentIDs() if segmentationNode else ()
        if segmentIDs and selector.currentSegmentID() not in segmentIDs:
            selector.setCurrentSegmentID(segmentIDs[0])
        self.update()

    def _onAdd(self, *_args) -> None:
        volumeNode, segments = self._ui.caseVolumeSelector.currentNode(), self._ui.caseSegmentSelector
        self._table.add([sceneCase(volumeNode, segments.currentNode(), segments.currentSegmentID())])

    def _onAddScene(self, *_args) -> None:
        self._addFound(casesOfScene())

    def _onAddFolder(self, *_args) -> None:
        path = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("A folder of CTs with outlines"))
        if not path:
            return
        with slicer.util.tryWithErrorDisplay(_("The folder could not be read."), waitCursor=True):
            try:
                self._addFound(casesOfFolder(Path(path)))
            except UserError as error:
                self._say(str(error), isError=True)

    def _addFound(self, found: Found) -> None:
        self._table.add(found.cases)
        lines = [_("Cases found: {count}.").format(count=len(found.cases))]
        lines += [_("Left out: {what}.").format(what=what) for what in found.leftOut]
        self._say("\n".join(lines))

    def _onRemove(self, *_args) -> None:
        self._table.removeSelected()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeRemoved(self, _caller, _event, node: vtk.vtkObject) -> None:
        if not slicer.mrmlScene.IsClosing():
            self._table.recheck(node.GetID())
