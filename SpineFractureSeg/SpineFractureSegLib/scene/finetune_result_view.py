"""Before and after in the panel: the verdict, the table of the held-out cases, and what can be done with the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.engine_run import EngineRun
from SpineFractureSegLib.scene.finetune_comparison import showHeldOut
from SpineFractureSegLib.scene.finetune_result import columns

if TYPE_CHECKING:
    from SpineFractureSegLib.scene.finetune_result import FinetuneResult

_ROW_HEIGHT = 24  # pixels
_WORSE, _BETTER = "color: #b3261e; font-weight: bold", "font-weight: bold"


class FinetuneResultView:
    """``onKept()`` is called when a model that is worse was taken all the same, ``onClosed()`` when the user is done
    with the run, ``say(sentence, isError)`` with what happened."""

    def __init__(self, ui, onKept: Callable[[], None], onClosed: Callable[[], None], say: Callable[..., None]) -> None:
        self._ui, self._onKept, self._onClosed, self._say = ui, onKept, onClosed, say
        self._result: FinetuneResult | None = None
        self._isKept = False
        self._import: EngineRun | None = None
        table = ui.comparisonTableWidget
        table.verticalHeader().setVisible(False)
        table.verticalHeader().setDefaultSectionSize(_ROW_HEIGHT)
        table.horizontalHeader().setStretchLastSection(True)
        table.connect("itemSelectionChanged()", self._update)
        ui.showComparisonButton.connect("clicked(bool)", self._onShow)
        ui.keepModelButton.connect("clicked(bool)", self._onKeep)
        ui.closeRunButton.connect("clicked(bool)", self._onClose)

    @property
    def result(self) -> FinetuneResult | None:
        return self._result

    def show(self, result: FinetuneResult | None) -> None:
        """None: nothing to show."""
        self._result = result
        self._isKept = result is not None and not result.worse
        self._ui.finetuneResultGroupBox.setVisible(result is not None)
        if result is None:
            return
        table, rows = self._ui.comparisonTableWidget, result.rows()
        table.setColumnCount(len(columns()))
        table.setHorizontalHeaderLabels(columns())
        table.setRowCount(len(rows))
        for row, texts in enumerate(rows):
            for column, text in enumerate(texts):
                table.setItem(row, column, qt.QTableWidgetItem(text))
        table.resizeColumnsToContents()
        if result.heldOut:
            table.selectRow(1)
        self._ui.verdictLabel.text = "\n".join([result.verdict, *_remarks(result)])
        self._ui.verdictLabel.setStyleSheet(_WORSE if result.worse else _BETTER)
        self._update()

    def stop(self) -> None:
        """The panel goes away."""
        if self._import is not None:
            self._import.cancel()

    def _update(self) -> None:
        if self._result is None:
            return
        self._ui.showComparisonButton.enabled = self._chosen() is not None
        self._ui.keepModelButton.setVisible(self._result.worse)
        self._ui.keepModelButton.enabled = not self._isKept and self._import is None

    def _chosen(self):
        """The held-out case of the chosen row; the first row is the mean, the last may be the simulated cases."""
        row = self._ui.comparisonTableWidget.currentRow() - 1
        return self._result.heldOut[row] if 0 <= row < len(self._result.heldOut) else None

    def _onShow(self, *_args) -> None:
        self._try(lambda: showHeldOut(self._result.folder, self._chosen()), _("The case could not be shown."))

    def _onKeep(self, *_args) -> None:
        result = self._result
        arguments = ["models", "import", str(result.model), f"--name={result.modelName}"]
        self._import = EngineRun(arguments, lambda: None, lambda: None)
        self._try(lambda: self._import.start(onFinished=self._onImported), _("The model could not be kept."))
        self._update()

    def _onImported(self, _result: None, error: Exception | None) -> None:
        self._import = None
        if error is None:
            self._isKept = True
            self._say(_("The model {name} is in the list of models now.").format(name=self._result.modelName))
            self._onKept()
        else:
            self._say(str(error), isError=True)
        self._update()

    def _onClose(self, *_args) -> None:
        question = _("The new model was not kept: remove it with all of this run?")
        if not self._isKept and not slicer.util.confirmOkCancelDisplay(question):
            return
        self._try(self._result.folder.remove, _("The run could not be removed."))
        self.show(None)
        self._onClosed()

    def _try(self, action: Callable[[], None], failure: str) -> None:
        with slicer.util.tryWithErrorDisplay(failure, waitCursor=True):
            try:
                action()
            except UserError as error:
                self._say(str(error), isError=True)


def _remarks(result: FinetuneResult) -> list[str]:
    trained = _("Trained for {minutes:.0f} minutes, {epochs} epochs; the best was {best}.").format(
        minutes=result.minutes, epochs=result.epochs, best=result.bestEpoch
    )
    kept = _("{share:.0%} of the change was kept: the more, the more is lost on other cases.").format(
        share=result.keptShare
    )
    leftOut = [_("{name} was left out: {reason}").format(name=name, reason=why) for name, why in result.leftOut.items()]
    return [trained, kept, *leftOut, *result.warnings]
