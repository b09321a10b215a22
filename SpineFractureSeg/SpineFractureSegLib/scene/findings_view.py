"""The findings in the panel: one row per lesion; choosing a row moves all slice views there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from SpineFractureSegLib.scene.result_tables import CENTROID_COLUMNS

if TYPE_CHECKING:
    from slicer import vtkMRMLTableNode


class FindingsView:
    """Shows a findings table node in a table widget."""

    def __init__(self, ui) -> None:
        self._table, self._label = ui.findingsTableWidget, ui.findingsLabel
        self._table.connect("itemSelectionChanged()", self._onSelectionChanged)
        self._table.verticalHeader().setVisible(False)
        self.show(None)

    def show(self, tableNode: vtkMRMLTableNode | None) -> None:
        """The rows of this node; None: no findings to show."""
        table = tableNode.GetTable() if tableNode else None
        columns = [table.GetColumnName(column) for column in range(table.GetNumberOfColumns())] if table else []
        rows = table.GetNumberOfRows() if table else 0
        wasBlocked = self._table.blockSignals(True)
        self._table.clear()
        self._table.setColumnCount(len(columns))
        self._table.setRowCount(rows)
        self._table.setHorizontalHeaderLabels(columns)
        for row in range(rows):
            for column in range(len(columns)):
                item = qt.QTableWidgetItem(table.GetValue(row, column).ToString())
                item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                self._table.setItem(row, column, item)
        self._table.resizeColumnsToContents()
        self._table.blockSignals(wasBlocked)
        self._centroids = [_centroid(table, columns, row) for row in range(rows)]
        self._label.text = _summary(rows) if tableNode else ""

    def _onSelectionChanged(self) -> None:
        row = self._table.currentRow()
        if self._table.selectedItems() and 0 <= row < len(self._centroids):
            jumpTo(self._centroids[row])


def jumpTo(ras: tuple[float, float, float]) -> None:
    """Moves all slice views, and the crosshair, to a point in world coordinates."""
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *ras, slicer.vtkMRMLSliceNode.CenteredJumpSlice)
    crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if crosshair:
        crosshair.SetCrosshairRAS(*ras)


def _centroid(table, columns: list[str], row: int) -> tuple[float, float, float]:
    return tuple(table.GetValue(row, columns.index(name)).ToDouble() for name in CENTROID_COLUMNS)


def _summary(count: int) -> str:
    if count == 0:
        return _("No fracture was found. Fractures can be missed: look yourself.")
    return _("1 finding") if count == 1 else _("{count} findings").format(count=count)
