"""What a run found, in the panel: a row per vertebra, or per finding where no vertebrae are known.

Flagged vertebrae come first, then the findings outside of all vertebral bodies, then the other vertebrae. Choosing a
row, or a place in the picture of the spine, moves all slice views there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.result_tables import readFindings
from SpineFractureSegLib.scene.spine_table import readOutside, readSpine
from SpineFractureSegLib.scene.spine_table_picture import SpinePictureView

if TYPE_CHECKING:
    from slicer import vtkMRMLNode, vtkMRMLSegmentationNode

    from SpineFractureSegLib.engine.vertebrae.vertebra import Vertebra

_ROW_HEIGHT = 24  # pixels
_LEVELS = [f"C{k}" for k in range(1, 8)] + [f"T{k}" for k in range(1, 13)] + [f"L{k}" for k in range(1, 6)] + ["S1"]
_DASH = "\u2013"


@dataclass(frozen=True)
class _Row:
    """One row of the table."""

    cells: tuple[str, ...]
    center: tuple[float, float, float]  # world
    details: str = ""
    flagged: bool = False
    number: int | None = None  # of the vertebra; None: a finding


class FindingsView:
    """Shows the tables of a segmentation; ``say(sentence, isError)`` is called with what went wrong."""

    def __init__(self, ui, logic, say: Callable[..., None]) -> None:
        self._ui, self._logic, self._say = ui, logic, say
        self._table, self._label = ui.findingsTableWidget, ui.findingsLabel
        self._node: vtkMRMLSegmentationNode | None = None
        self._rows: list[_Row] = []
        self._picture = SpinePictureView(ui.spinePictureLabel, jumpTo)
        self._table.verticalHeader().setVisible(False)
        self._table.verticalHeader().setDefaultSectionSize(_ROW_HEIGHT)
        self._table.horizontalHeader().setStretchLastSection(True)
        self._table.connect("itemSelectionChanged()", self._onSelectionChanged)
        ui.levelComboBox.addItem(_("(numbered)"), "")
        for level in _LEVELS:
            ui.levelComboBox.addItem(level, level)
        ui.levelComboBox.connect("activated(int)", self._onLevelChosen)
        ui.levelsSelector.connect("nodeActivated(vtkMRMLNode*)", self._onLevelsNodeChosen)
        ui.saveSpineTableButton.connect("clicked(bool)", self._onSaveTable)
        ui.saveSpineReportButton.connect("clicked(bool)", self._onSaveReport)
        self.show(None)

    def show(self, segmentationNode: vtkMRMLSegmentationNode | None) -> None:
        """What belongs to this segmentation; None: nothing to show."""
        self._node = segmentationNode
        findingsNode = self._logic.findingsTable(segmentationNode) if segmentationNode else None
        spineNode = self._logic.spineTable(segmentationNode) if segmentationNode else None
        findings, spine = readFindings(findingsNode) if findingsNode else [], readSpine(spineNode)
        if spine:
            outside = [values for values in findings if values[0] in readOutside(spineNode)]
            self._fill(_spineTitles(), _spineRows(spine, outside))
            self._label.text = _spineSummary(spine, len(outside))
        else:
            self._fill(_findingTitles(), [_Row(_findingCells(values), values[2:5]) for values in findings])
            self._label.text = _findingsSummary(len(findings)) if findingsNode else ""
        self._picture.show(segmentationNode, spine)
        self._ui.saveSpineTableButton.enabled = bool(spine)
        self._ui.saveSpineReportButton.enabled = findingsNode is not None
        self._onSelectionChanged()

    def _fill(self, titles: Sequence[str], rows: Sequence[_Row]) -> None:
        wasBlocked = self._table.blockSignals(True)
        self._table.clear()
        self._table.setColumnCount(len(titles))
        self._table.setRowCount(len(rows))
        self._table.setHorizontalHeaderLabels(titles)
        for index, row in enumerate(rows):
            for column, text in enumerate(row.cells):
                item = qt.QTableWidgetItem(text)
                item.setTextAlignment(qt.Qt.AlignCenter)
                item.setToolTip(row.details)
                if row.flagged:
                    font = item.font()
                    font.setBold(True)
                    item.setFont(font)
                self._table.setItem(index, column, item)
        self._table.resizeColumnsToContents()
        self._table.blockSignals(wasBlocked)
        self._rows = list(rows)

    def _chosen(self) -> _Row | None:
        index = self._table.currentRow()
        return self._rows[index] if self._table.selectedItems() and 0 <= index < len(self._rows) else None

    def _onSelectionChanged(self) -> None:
        row = self._chosen()
        self._ui.levelComboBox.enabled = row is not None and row.number is not None
        if row is not None:
            level = row.cells[0] if row.cells[0] in _LEVELS else ""
            self._ui.levelComboBox.setCurrentIndex(self._ui.levelComboBox.findData(level))
            jumpTo(row.center)

    def _onLevelChosen(self, index: int) -> None:
        number = self._chosen().number
        self._try(lambda: self._logic.nameVertebra(self._node, number, self._ui.levelComboBox.itemData(index)))
        self.show(self._node)
        self._table.selectRow(next(index for index, row in enumerate(self._rows) if row.number == number))

    def _onLevelsNodeChosen(self, _levelsNode: vtkMRMLNode | None) -> None:
        self._say("")
        self.nameFromChosenNode()

    def nameFromChosenNode(self) -> None:
        """Names the vertebrae after the chosen segmentation or label map, where there are both."""
        levelsNode = self._ui.levelsSelector.currentNode()
        if levelsNode is None or self._node is None or not self._logic.vertebrae(self._node):
            return
        with slicer.util.tryWithErrorDisplay(_("The vertebrae could not be named."), waitCursor=True):
            try:
                self._logic.nameVertebraeFrom(self._node, levelsNode)
            except UserError as error:
                self._say(str(error), isError=True)
        self.show(self._node)

    def _onSaveTable(self, *_args) -> None:
        self._save(_("Save the table of vertebrae"), "spine.csv", _("CSV files (*.csv)"), self._logic.saveSpineTable)

    def _onSaveReport(self, *_args) -> None:
        self._save(_("Save the report"), "spine.html", _("HTML files (*.html)"), self._logic.saveSpineReport)

    def _save(self, title: str, name: str, kind: str, write: Callable[..., None]) -> None:
        path = qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), title, name, kind)
        if path:
            with slicer.util.tryWithErrorDisplay(_("The file could not be saved."), waitCursor=True):
                self._try(lambda: write(self._node, path))

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
            self._say("")
        except UserError as error:
            self._say(str(error), isError=True)


def jumpTo(ras: tuple[float, float, float]) -> None:
    """Moves all slice views, and the crosshair, to a point in world coordinates."""
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *ras, slicer.vtkMRMLSliceNode.CenteredJumpSlice)
    crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if crosshair:
        crosshair.SetCrosshairRAS(*ras)


def _spineTitles() -> list[str]:
    return [
        _("Vertebra"),
        _("Fracture"),
        _("Ant./mid./post. (mm)"),
        _("Loss"),
        _("Grade"),
        _("HU"),
    ]


def _spineRows(spine: Sequence[Vertebra], outside: Sequence[Sequence[float]]) -> list[_Row]:
    flagged = [_vertebraRow(vertebra) for vertebra in spine if vertebra.flagged]
    others = [_vertebraRow(vertebra) for vertebra in spine if not vertebra.flagged]
    return [*flagged, *(_outsideRow(values) for values in outside), *others]


def _vertebraRow(vertebra: Vertebra) -> _Row:
    loss = vertebra.height_loss
    cells = (
        vertebra.level or str(vertebra.number),
        f"{vertebra.fracture_probability:.2f}",
        " / ".join(_fixed(value, 1) for value in (vertebra.anterior_mm, vertebra.middle_mm, vertebra.posterior_mm)),
        _DASH if loss is None else f"{100 * max(loss.values()):.0f} %",
        _DASH if vertebra.genant is None else str(vertebra.genant),
        _fixed(vertebra.trabecular_hu, 0),
    )
    size = _(
        "Heights at the front, in the middle and at the back; largest loss of height; Genant grade; mean of the "
        "trabecular bone. Width {width} mm, depth {depth} mm."
    ).format(width=_fixed(vertebra.width_mm, 1), depth=_fixed(vertebra.depth_mm, 1))
    return _Row(cells, vertebra.centroid_ras_mm, "\n".join([size, *vertebra.notes]), vertebra.flagged, vertebra.number)


def _outsideRow(values: Sequence[float]) -> _Row:
    """A finding among the vertebrae."""
    number, volume, extent, probability, _center = _findingCells(values)
    details = _("{volume} mL, {extent} mm, outside of vertebral bodies").format(volume=volume, extent=extent)
    name = _("finding {number}").format(number=number)
    return _Row((name, probability, *[_DASH] * 4), values[2:5], details, flagged=True)


def _findingTitles() -> list[str]:
    return [_("No."), _("Volume (mL)"), _("Extent (mm)"), _("Probability"), _("Center R, A, S (mm)")]


def _findingCells(values: Sequence[float]) -> tuple[str, ...]:
    """One row of ``readFindings`` as the panel's columns."""
    number, volume, r, a, s, width, depth, height, mean, _maximum = values
    return (
        f"{number:.0f}",
        f"{volume:.1f}",
        f"{width:.0f} \u00d7 {depth:.0f} \u00d7 {height:.0f}",
        f"{mean:.2f}",
        f"{r:.1f}, {a:.1f}, {s:.1f}",
    )


def _fixed(value: float | None, places: int) -> str:
    return _DASH if value is None else f"{value:.{places}f}"


def _spineSummary(spine: Sequence[Vertebra], outside: int) -> str:
    flagged = sum(vertebra.flagged for vertebra in spine)
    if flagged + outside == 0:
        return _("{count} vertebrae, none flagged. Fractures can be missed: look yourself.").format(count=len(spine))
    summary = _("{flagged} of {count} vertebrae flagged").format(flagged=flagged, count=len(spine))
    return summary + (_("; findings outside of their bodies: {count}").format(count=outside) if outside else "")


def _findingsSummary(count: int) -> str:
    if count == 0:
        return _("No fracture was found. Fractures can be missed: look yourself.")
    return _("1 finding") if count == 1 else _("{count} findings").format(count=count)
