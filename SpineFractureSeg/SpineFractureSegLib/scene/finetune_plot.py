"""Loss and validation Dice of a fine-tuning by epoch, in a plot view of Slicer.

The nodes belong to a run, not to a patient: they are not saved with the scene, and are made anew after it was closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import slicer
import vtk
from slicer.i18n import tr as _

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slicer import vtkMRMLPlotChartNode, vtkMRMLPlotSeriesNode, vtkMRMLTableNode

_ATTRIBUTE = "SpineFractureSeg.FinetunePlot"  # of the nodes: which part of the plot they are
_EPOCH = "Epoch"  # columns of the table
_COLORS = {"Loss": (0.84, 0.37, 0.05), "Dice": (0.12, 0.47, 0.71)}


@dataclass(frozen=True)
class Epoch:
    """What came of one round of training."""

    number: int  # 1 is the first
    loss: float  # mean over its training slices
    dice: float  # on the held-out cases


class FinetunePlot:
    """``add`` the epochs as they come; ``show`` once, which changes the layout of the views."""

    def __init__(self) -> None:
        self._epochs: dict[int, Epoch] = {}
        self._isShown = False

    @property
    def epochs(self) -> tuple[Epoch, ...]:
        return tuple(self._epochs[number] for number in sorted(self._epochs))

    def clear(self) -> None:
        """A new run: no epochs; nodes that are in the scene show none."""
        self._epochs = {}
        self._refresh()

    def add(self, epoch: Epoch) -> None:
        """A resumed run tells its first epochs again: a number that is known is replaced."""
        self._epochs[epoch.number] = epoch
        if self._isShown and _node("chart") is None:  # the scene was closed meanwhile
            self.show()
        self._refresh()

    def show(self) -> vtkMRMLPlotChartNode:
        """Puts the chart into a plot view, in a layout that has one."""
        tableNode = _node("table") or _addNode("vtkMRMLTableNode", "table", _("Fine-tuning"))
        self._fill(tableNode)
        chartNode = _node("chart") or _chart(tableNode)
        slicer.modules.plots.logic().ShowChartInLayout(chartNode)
        self._isShown = True
        return chartNode

    def _refresh(self) -> None:
        if (tableNode := _node("table")) is not None:
            self._fill(tableNode)

    def _fill(self, tableNode: vtkMRMLTableNode) -> None:
        columns = {
            _EPOCH: [epoch.number for epoch in self.epochs],
            "Loss": [epoch.loss for epoch in self.epochs],
            "Dice": [epoch.dice for epoch in self.epochs],
        }
        with slicer.util.NodeModify(tableNode):
            tableNode.RemoveAllColumns()
            for name, values in columns.items():
                tableNode.AddColumn(_column(name, values))
            tableNode.SetUseColumnTitleAsColumnHeader(True)


def _chart(tableNode: vtkMRMLTableNode) -> vtkMRMLPlotChartNode:
    chartNode = _addNode("vtkMRMLPlotChartNode", "chart", _("Fine-tuning"))
    titles = {"Loss": _("Training loss"), "Dice": _("Dice of the held-out cases")}
    for column, title in titles.items():
        series = _node(column) or _addNode("vtkMRMLPlotSeriesNode", column, title)
        _describe(series, tableNode, column)
        chartNode.AddAndObservePlotSeriesNodeID(series.GetID())
    chartNode.SetTitle(_("Fine-tuning"))
    chartNode.SetXAxisTitle(_("Epoch"))
    chartNode.SetYAxisTitle("")
    return chartNode


def _describe(series: vtkMRMLPlotSeriesNode, tableNode: vtkMRMLTableNode, column: str) -> None:
    series.SetAndObserveTableNodeID(tableNode.GetID())
    series.SetXColumnName(_EPOCH)
    series.SetYColumnName(column)
    series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    series.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleSolid)
    series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleCircle)  # a first epoch alone makes no line
    series.SetColor(_COLORS[column])


def _addNode(className: str, part: str, name: str):
    node = slicer.mrmlScene.AddNewNodeByClass(className, name)
    node.SetAttribute(_ATTRIBUTE, part)
    node.SetSaveWithScene(False)
    return node


def _node(part: str):
    """The node of the scene that is this part of the plot, or None."""
    for className in ("vtkMRMLTableNode", "vtkMRMLPlotChartNode", "vtkMRMLPlotSeriesNode"):
        for node in slicer.util.getNodesByClass(className):
            if node.GetAttribute(_ATTRIBUTE) == part:
                return node
    return None


def _column(name: str, values: Iterable[float]) -> vtk.vtkDoubleArray:
    column = vtk.vtkDoubleArray()
    column.SetName(name)
    for value in values:
        column.InsertNextValue(value)
    return column
