"""Dice, IoU and the other scores in the panel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.evaluation import referenceVolume
from SpineFractureSegLib.scene.result_tables import scoreColumns, scoreRows, scoresCsv

if TYPE_CHECKING:
    from SpineFractureSegLib.engine.metrics import Scores
    from SpineFractureSegLib.scene.parameter_node import SpineFractureSegParameterNode

_ROW_HEIGHT = 24  # pixels
_LARGE = "font-size: 18pt; font-weight: bold; padding: 6px"


class EvaluationView:
    """Two segment selectors, bound to the parameter node by hand, and what their comparison gave."""

    def __init__(self, ui, logic) -> None:
        self._ui, self._logic = ui, logic
        self._parameters: SpineFractureSegParameterNode | None = None
        self._scores: Scores | None = None
        self._names: dict[str, str] = {}  # of what was compared
        self._updating = False
        for label in (ui.diceLabel, ui.iouLabel):
            label.setStyleSheet(_LARGE)
        ui.scoresTableWidget.verticalHeader().setVisible(False)
        ui.scoresTableWidget.verticalHeader().setDefaultSectionSize(_ROW_HEIGHT)
        ui.scoresTableWidget.horizontalHeader().setStretchLastSection(True)
        for selector in (ui.evaluatedSegmentSelector, ui.referenceSegmentSelector):
            selector.connect(
                "currentNodeChanged(vtkMRMLNode*)", lambda _node, selector=selector: self._onNodeChosen(selector)
            )
            selector.connect("currentSegmentChanged(QString)", self._onSelected)
        ui.evaluateButton.connect("clicked(bool)", self._onEvaluate)
        ui.copyScoresButton.connect("clicked(bool)", self._onCopy)
        ui.saveScoresButton.connect("clicked(bool)", self._onSave)
        self._clear()

    def attach(self, parameters: SpineFractureSegParameterNode | None) -> None:
        """Follows this parameter node from now on."""
        self._parameters = parameters
        self.refresh()

    def refresh(self) -> None:
        """The selectors as the parameter node says."""
        parameters = self._parameters
        if parameters is None or self._updating:
            return
        self._updating = True
        try:
            for selector, node, segmentID in (
                (
                    self._ui.evaluatedSegmentSelector,
                    parameters.evaluatedSegmentation,
                    parameters.evaluatedSegmentID,
                ),
                (
                    self._ui.referenceSegmentSelector,
                    parameters.referenceSegmentation,
                    parameters.referenceSegmentID,
                ),
            ):
                if selector.currentNode() is not node:
                    selector.setCurrentNode(node)
                if node is not None and segmentID and selector.currentSegmentID() != segmentID:
                    selector.setCurrentSegmentID(segmentID)
        finally:
            self._updating = False
        self._enable()

    def outdate(self) -> None:
        """A segment has changed: scores of what it was must not stay."""
        self._clear()

    def _onNodeChosen(self, selector) -> None:
        """The first segment is taken, until the user chooses another."""
        segmentIDs = selector.currentNode().GetSegmentation().GetSegmentIDs() if selector.currentNode() else ()
        if segmentIDs and not self._updating and selector.currentSegmentID() not in segmentIDs:
            selector.setCurrentSegmentID(segmentIDs[0])
        self._onSelected()

    def _onSelected(self, *_args) -> None:
        if self._parameters is None or self._updating:
            return
        self._updating = True
        try:
            evaluated, reference = self._ui.evaluatedSegmentSelector, self._ui.referenceSegmentSelector
            self._parameters.evaluatedSegmentation = evaluated.currentNode()
            self._parameters.evaluatedSegmentID = evaluated.currentSegmentID()
            self._parameters.referenceSegmentation = reference.currentNode()
            self._parameters.referenceSegmentID = reference.currentSegmentID()
        finally:
            self._updating = False
        self._clear()
        self._enable()

    def _enable(self) -> None:
        missing = []
        if not _isChosen(self._ui.evaluatedSegmentSelector):
            missing.append(_("choose the segment to judge"))
        if not _isChosen(self._ui.referenceSegmentSelector):
            missing.append(_("choose a reference segment"))
        self._ui.evaluateButton.enabled = not missing
        self._ui.evaluateButton.toolTip = "; ".join(missing) or _("Compare the two segments on the CT's grid.")

    def _onEvaluate(self, *_args) -> None:
        self._clear()
        evaluated, reference = self._ui.evaluatedSegmentSelector, self._ui.referenceSegmentSelector
        volumeNode = referenceVolume(evaluated.currentNode()) or referenceVolume(reference.currentNode())
        volumeNode = volumeNode or self._parameters.inputVolume
        try:
            with slicer.util.tryWithErrorDisplay(_("The comparison failed."), waitCursor=True):
                try:
                    self._scores = self._logic.evaluate(
                        evaluated.currentNode(),
                        evaluated.currentSegmentID(),
                        reference.currentNode(),
                        reference.currentSegmentID(),
                        volumeNode,
                    )
                except UserError as error:
                    self._say(str(error))
                    return
        finally:
            self._enable()
        self._names = {
            "segment": _segmentName(evaluated),
            "reference": _segmentName(reference),
            "ct": volumeNode.GetName() if volumeNode else "",
        }
        self._show()

    def _show(self) -> None:
        scores, table = self._scores, self._ui.scoresTableWidget
        self._ui.diceLabel.text = f"Dice {scores.dice:.3f}"
        self._ui.iouLabel.text = f"IoU {scores.iou:.3f}"
        rows = scoreRows(scores)
        table.setColumnCount(3)
        table.setHorizontalHeaderLabels(scoreColumns())
        table.setRowCount(len(rows))
        for row, texts in enumerate(rows):
            for column, text in enumerate(texts):
                table.setItem(row, column, qt.QTableWidgetItem(text))
        table.resizeColumnsToContents()
        self._ui.copyScoresButton.enabled = self._ui.saveScoresButton.enabled = True

    def _clear(self) -> None:
        self._scores = None
        self._ui.diceLabel.text, self._ui.iouLabel.text = "Dice \u2013", "IoU \u2013"
        self._ui.scoresTableWidget.setRowCount(0)
        self._ui.copyScoresButton.enabled = self._ui.saveScoresButton.enabled = False
        self._say("")

    def _say(self, message: str) -> None:
        self._ui.evaluationMessageLabel.text = message
        self._ui.evaluationMessageLabel.setStyleSheet("color: #b3261e; font-weight: bold")
        self._ui.evaluationMessageLabel.setVisible(bool(message))

    def _onCopy(self, *_args) -> None:
        text = "\n".join("\t".join(row) for row in scoreRows(self._scores))
        slicer.app.clipboard().setText(text)

    def _onSave(self, *_args) -> None:
        path = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(), _("Save the scores"), "scores.csv", _("CSV files (*.csv)")
        )
        if not path:
            return
        try:
            Path(path).write_text(scoresCsv(self._scores, **self._names), encoding="utf-8")
        except OSError as error:
            self._say(
                _("{path} cannot be written: {reason}; choose another place.").format(path=path, reason=error.strerror)
            )


def _isChosen(selector) -> bool:
    return selector.currentNode() is not None and bool(selector.currentSegmentID())


def _segmentName(selector) -> str:
    segment = selector.currentNode().GetSegmentation().GetSegment(selector.currentSegmentID())
    return f"{selector.currentNode().GetName()}: {segment.GetName()}"
