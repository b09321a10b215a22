"""Threshold and smallest finding in the panel: the outline follows them without another run.

Only the user's hand on the two values changes an outline. Choosing another segmentation or another model moves the
values to what belongs to it, and changes nothing in the scene.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from SpineFractureSegLib.engine.errors import UserError

if TYPE_CHECKING:
    from slicer import vtkMRMLSegmentationNode

    from SpineFractureSegLib.scene.model_chooser import ModelChooser
    from SpineFractureSegLib.scene.parameter_node import SpineFractureSegParameterNode

_DELAY_MS = 150  # the outline follows when the slider rests that long


class ThresholdControl:
    """``onApplied()`` is called when an outline has changed, ``say(sentence, isError)`` with what went wrong."""

    def __init__(
        self, ui, logic, models: ModelChooser, onApplied: Callable[[], None], say: Callable[..., None]
    ) -> None:
        self._logic, self._models = logic, models
        self._onApplied, self._say = onApplied, say
        self._parameters: SpineFractureSegParameterNode | None = None
        self._seen = (None, 0.0, 0.0)  # output segmentation, threshold, smallest finding
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_DELAY_MS)
        self._timer.connect("timeout()", self._apply)
        ui.modelValuesButton.connect("clicked(bool)", self._onReset)

    def attach(self, parameters: SpineFractureSegParameterNode) -> None:
        """Follows this parameter node; a new one gets the values of the model."""
        self._parameters = parameters
        if parameters.valuesOfModel != self._models.modelName:
            self.takeModelValues()
        self.accept()

    def detach(self) -> None:
        self._timer.stop()
        self._parameters = None

    def accept(self, segmentationNode: vtkMRMLSegmentationNode | None = None) -> None:
        """The values as they are belong to the segmentation, or to the chosen one: there is nothing to apply."""
        parameters = self._parameters
        node = segmentationNode or parameters.outputSegmentation
        self._seen = (node, parameters.threshold, parameters.minVolume)

    def takeModelValues(self) -> None:
        """Another model was chosen: its own threshold and smallest finding."""
        card, parameters = self._models.card, self._parameters
        if card is None:
            return
        self._seen = (parameters.outputSegmentation, card.threshold, card.min_volume_mm3)
        parameters.threshold = card.threshold
        parameters.minVolume = card.min_volume_mm3
        parameters.valuesOfModel = self._models.modelName

    def follow(self, isRunning: bool) -> bool:
        """Looks at the parameters that have just changed; returns whether another segmentation was chosen."""
        parameters = self._parameters
        node, values = parameters.outputSegmentation, (parameters.threshold, parameters.minVolume)
        seenNode, *seenValues = self._seen
        self._seen = (node, *values)
        if node is not seenNode:
            self._adopt(node)
            return True
        if values != tuple(seenValues) and not isRunning and self._belongsToModel(node):
            self._timer.start()
        return False

    def _belongsToModel(self, node: vtkMRMLSegmentationNode | None) -> bool:
        """Whether the outline was made by the chosen model, and its probability is at hand."""
        record = self._logic.runRecord(node)
        isModels = record is not None and record.modelName == self._models.modelName
        return isModels and self._logic.canApplyThreshold(node)

    def _adopt(self, node: vtkMRMLSegmentationNode | None) -> None:
        """The values say how the segmentation was made."""
        record = self._logic.runRecord(node)
        if record is not None and record.modelName == self._models.modelName:
            self._seen = (node, record.threshold, record.minVolumeMm3)
            self._parameters.threshold = record.threshold
            self._parameters.minVolume = record.minVolumeMm3

    def _apply(self) -> None:
        parameters = self._parameters
        if parameters is None or parameters.outputSegmentation is None:
            return
        with slicer.util.tryWithErrorDisplay(_("The threshold could not be applied."), waitCursor=True):
            try:
                self._logic.applyThreshold(parameters.outputSegmentation, parameters.threshold, parameters.minVolume)
                self._say("")
            except UserError as error:
                self._say(str(error), isError=True)
        self._onApplied()

    def _onReset(self, *_args) -> None:
        """The button: as another value set by hand, so that the outline follows."""
        card = self._models.card
        if card is not None and self._parameters is not None:
            self._parameters.threshold = card.threshold
            self._parameters.minVolume = card.min_volume_mm3
