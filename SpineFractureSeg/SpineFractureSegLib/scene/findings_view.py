"""The findings in the panel: one row per lesion; choosing a row moves all slice views there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from SpineFractureSegLib.scene.result_tables import readFindings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slicer import vtkMRMLTableNode

_ROW_HEIGHT = 24  # pixels


class FindingsView:
    """Shows a findings table node, its many columns as few, in a table widget."""

    def __init__(self, ui) -> None:
        self._table, self._label = ui.findingsTableWidget, ui.findingsLabel
        self._centroids: list[tuple[float, float, float]] = []  # world, of each row
        self._table.verticalHeader().setVisible(False)
        self._table.verticalHeader().setDefaultSectionSize(_ROW_HEIGHT)
        self._table.horizontalHeader().setStretchLastSection(True)
        self._table.connect("itemSelectionChanged()", self._onSelectionChanged)
        self.show(None)

    def show(self, tableNode: vtkMRMLTableNode | None) -> None:
        """The rows of this node; None: no findings to show."""
        rows = readFindings(tableNode) if tableNode else []
        titles = [_("No."), _("Volume (mL)"), _("Extent (mm)"), _("Probability"), _("Center R, A, S (mm)")]
        wasBlocked = self._table.blockSignals(True)
        self._table.clear()
        self._table.setColumnCount(len(titles))
        self._table.setRowCount(len(rows))
        self._table.setHorizontalHeaderLabels(titles)
        for row, values in enumerate(rows):
            for column, text in enumerate(_cells(values)):
                item = qt.QTableWidgetItem(text)
                item.setTextAlignment(qt.Qt.AlignCenter)
                self._table.setItem(row, column, item)
        self._table.resizeColumnsToContents()
        self._table.blockSignals(wasBlocked)
        self._centroids = [values[2:5] for values in rows]
        self._label.text = _summary(len(rows)) if tableNode else ""

    def _onSelectionChanged(self) -> None:
        row = self._table.currentRow()
        if self._table.selectedItems() and 0 <= row < len(self._centroids):
            jumpTo(self._centroids[row])


def _cells(values: Sequence[float]) -> tuple[str, ...]:
    """One row of ``readFindings`` as the panel's columns."""
    number, volume, r, a, s, width, depth, height, mean, _maximum = values
    return (
        f"{number:.0f}",
        f"{volume:.1f}",
        f"{width:.0f} \u00d7 {depth:.0f} \u00d7 {height:.0f}",
        f"{mean:.2f}",
        f"{r:.1f}, {a:.1f}, {s:.1f}",
    )


def jumpTo(ras: tuple[float, float, float]) -> None:
    """Moves all slice views, and the crosshair, to a point in world coordinates."""
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *ras, slicer.vtkMRMLSliceNode.CenteredJumpSlice)
    crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if crosshair:
        crosshair.SetCrosshairRAS(*ras)


def _summary(count: int) -> str:
    if count == 0:
        return _("No fracture was found. Fractures can be missed: look yourself.")
    return _("1 finding") if count == 1 else _("{count} findings").format(count=count)
