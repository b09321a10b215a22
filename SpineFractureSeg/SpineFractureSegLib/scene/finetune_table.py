"""The table of cases in the panel: CT, reference, patient, role, and whether the case can be used."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import qt
from slicer.i18n import tr as _

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.finetune_case import ROLES, FinetuneCase, ScenePair, problemOf, togetherProblem

_PATIENT, _ROLE = 2, 3  # columns
_WIDTHS = (90, 90, 65, 115)  # pixels, of all columns but the last; what is longer is in the tooltip
_ROW_HEIGHT = 26  # pixels
_PROBLEM = "#b3261e"


@dataclass
class _Row:
    case: FinetuneCase
    problem: str | None = None  # None: not looked at yet


class FinetuneTable:
    """``onChanged()`` is called when the cases, or what is known of them, have changed.

    Cases are looked at one by one from Qt's event loop, because reading a large CT takes a moment.
    """

    def __init__(self, ui, onChanged: Callable[[], None]) -> None:
        self._table, self._onChanged = ui.casesTableWidget, onChanged
        self._rows: list[_Row] = []
        self._proposed: dict[str, str] = {}  # name of a case -> role that the engine gives it
        titles = [_("CT"), _("Reference"), _("Patient"), _("Role"), _("Check")]
        self._table.setColumnCount(len(titles))
        self._table.setHorizontalHeaderLabels(titles)
        self._table.verticalHeader().setVisible(False)
        self._table.verticalHeader().setDefaultSectionSize(_ROW_HEIGHT)
        self._table.horizontalHeader().setStretchLastSection(True)
        for column, width in enumerate(_WIDTHS):
            self._table.setColumnWidth(column, width)
        self._table.connect("itemChanged(QTableWidgetItem*)", self._onItemChanged)

    @property
    def cases(self) -> tuple[FinetuneCase, ...]:
        return tuple(row.case for row in self._rows)

    @property
    def problem(self) -> str:
        """Why these cases cannot be fine-tuned with, in one sentence; empty where they can."""
        for row in self._rows:
            if row.problem:
                return f"{row.case.name}: {row.problem}"
        if any(row.problem is None for row in self._rows):
            return _("The cases are being checked.")
        return togetherProblem(self.cases)

    @property
    def selected(self) -> list[int]:
        """Chosen rows."""
        return sorted({index.row() for index in self._table.selectionModel().selectedRows()})

    def add(self, cases: Iterable[FinetuneCase]) -> None:
        """Cases that are there already are left out; a name that is taken gets a number."""
        for case in cases:
            if any(row.case.source == case.source for row in self._rows):
                continue
            isOwnPatient = case.patient == case.name
            name = self._freeName(case.name)
            self._rows.append(_Row(replace(case, name=name, patient=name if isOwnPatient else case.patient)))
        self._changed()
        qt.QTimer.singleShot(0, self._checkNext)

    def removeSelected(self) -> None:
        chosen = set(self.selected)
        self._rows = [row for number, row in enumerate(self._rows) if number not in chosen]
        self._changed()

    def removeOfScene(self) -> None:
        """The scene was closed."""
        self._rows = [row for row in self._rows if not isinstance(row.case.source, ScenePair)]
        self._changed()

    def recheck(self, nodeID: str) -> None:
        """A node of the scene is gone: cases that need it say so."""
        for row in self._rows:
            source = row.case.source
            if isinstance(source, ScenePair) and nodeID in (source.volumeID, source.segmentationID):
                row.problem = None
        self._changed()
        qt.QTimer.singleShot(0, self._checkNext)

    def propose(self, roles: dict[str, str]) -> None:
        """What the engine makes of the cases whose role is left to it."""
        self._proposed = roles
        self._show()

    def _freeName(self, name: str) -> str:
        names, number = {row.case.name for row in self._rows}, 2
        while name in names:
            base = name if number == 2 else name.rpartition(" (")[0]
            name, number = f"{base} ({number})", number + 1
        return name

    def _checkNext(self) -> None:
        row = next((row for row in self._rows if row.problem is None), None)
        if row is None:
            return
        row.problem = problemOf(row.case)
        self._changed()
        qt.QTimer.singleShot(0, self._checkNext)

    def _changed(self) -> None:
        self._proposed = {}
        self._show()
        self._onChanged()

    def _show(self) -> None:
        wasBlocked = self._table.blockSignals(True)
        self._table.setRowCount(len(self._rows))
        for number, row in enumerate(self._rows):
            check = _("checking...") if row.problem is None else row.problem or _("ok")
            for column, text in enumerate((row.case.name, _reference(row.case), row.case.patient, "", check)):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(text)
                if column != _PATIENT:
                    item.setFlags(item.flags() & ~qt.Qt.ItemIsEditable)
                if row.problem and text == check:
                    item.setForeground(qt.QBrush(qt.QColor(_PROBLEM)))
                self._table.setItem(number, column, item)
            self._table.setCellWidget(number, _ROLE, self._roleComboBox(number))
        self._table.blockSignals(wasBlocked)

    def _roleComboBox(self, number: int) -> qt.QComboBox:
        case = self._rows[number].case
        comboBox = qt.QComboBox()
        texts = {"auto": _("auto"), "train": _("learn from"), "validation": _("hold out")}
        if case.role == "auto" and self._proposed.get(case.name) in texts:
            texts["auto"] = _("auto: {role}").format(role=texts[self._proposed[case.name]])
        for role in ROLES:
            comboBox.addItem(texts[role], role)
        comboBox.setCurrentIndex(ROLES.index(case.role))
        comboBox.connect("activated(int)", lambda index, number=number: self._edit(number, role=ROLES[index]))
        return comboBox

    def _onItemChanged(self, item: qt.QTableWidgetItem) -> None:
        if item.column() == _PATIENT:
            self._edit(item.row(), patient=item.text().strip() or self._rows[item.row()].case.name)

    def _edit(self, number: int, **fields) -> None:
        row = self._rows[number]
        row.case = replace(row.case, **fields)
        qt.QTimer.singleShot(0, self._changed)  # not while the widget that was edited is still at work


def _reference(case: FinetuneCase) -> str:
    if not isinstance(case.source, ScenePair):
        return case.source.mask.name
    try:
        _volumeNode, segmentationNode = case.source.nodes
    except UserError:
        return ""
    segment = segmentationNode.GetSegmentation().GetSegment(case.source.segmentID)
    return f"{segmentationNode.GetName()}: {segment.GetName()}" if segment else ""
