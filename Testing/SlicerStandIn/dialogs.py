"""Stands in for dialogs that wait for the user: they are recorded and answered at once.

- `SlicerStandIn.shown_messages`: list of (kind, text), kind one of error, warning, info, confirm, message.
- `SlicerStandIn.answer`: True says Ok, Yes or Retry to a confirmation, False says Cancel, No or Close.
- `SlicerStandIn.next_file`: what a file or folder dialog answers; "" is Cancel.
- `SlicerStandIn.opened_urls`: what the desktop would have opened, as text.

Known to differ: buttons added to a box by `addButton` are never chosen, and other dialogs (`QDialog.exec_`) do wait.
"""
# ruff: noqa: N801  classes are called as in C++

from PySide6.QtWidgets import QFileDialog, QMessageBox

import SlicerStandIn

from .qt_properties import stored, withSetters

YES = (QMessageBox.Ok, QMessageBox.Yes, QMessageBox.Retry, QMessageBox.Save, QMessageBox.Open)
NO = (QMessageBox.Cancel, QMessageBox.No, QMessageBox.Close, QMessageBox.Abort)
KINDS = {
    QMessageBox.Critical: "error",
    QMessageBox.Warning: "warning",
    QMessageBox.Information: "info",
    QMessageBox.Question: "confirm",
}


@withSetters
class ctkMessageBox(QMessageBox):
    """The box behind all of `slicer.util`'s displays and confirmations."""

    dontShowAgainVisible = stored(bool, "dontShowAgainVisible", False)
    dontShowAgainSettingsKey = stored(str, "dontShowAgainSettingsKey", "")


def install(qt):
    """Makes message boxes, file dialogs and the opening of addresses in `qt` record and answer."""
    QMessageBox.exec = QMessageBox.exec_ = _answerBox
    for name, kind in (("critical", "error"), ("warning", "warning"), ("information", "info"), ("question", "confirm")):
        setattr(QMessageBox, name, staticmethod(_answerFunction(kind)))
    for name in ("getOpenFileName", "getSaveFileName", "getExistingDirectory"):
        setattr(QFileDialog, name, staticmethod(lambda *_, **__: str(SlicerStandIn.next_file)))
    QFileDialog.getOpenFileNames = staticmethod(
        lambda *_, **__: (str(SlicerStandIn.next_file),) if SlicerStandIn.next_file else ()
    )
    qt.QDesktopServices = DesktopServices


class DesktopServices:
    """Stands in for QDesktopServices."""

    @staticmethod
    def openUrl(url):
        SlicerStandIn.opened_urls.append(url.toString())
        return True


def forget():
    """Back to no messages, the answer True and no file."""
    SlicerStandIn.shown_messages.clear()
    SlicerStandIn.opened_urls.clear()
    SlicerStandIn.answer = True
    SlicerStandIn.next_file = ""


def _answerBox(box):
    buttons = box.standardButtons
    isConfirmation = any(bool(buttons & button) for button in NO)
    kind = "confirm" if isConfirmation else KINDS.get(box.icon, "message")
    return _answer(kind, box.text, buttons)


def _answerFunction(kind):
    def show(parent, title, text, buttons=None, defaultButton=None):
        if buttons is None:
            buttons = QMessageBox.Yes | QMessageBox.No if kind == "confirm" else QMessageBox.Ok
        return _answer(kind, text, buttons)

    return show


def _answer(kind, text, buttons):
    SlicerStandIn.shown_messages.append((kind, text))
    wanted = YES if SlicerStandIn.answer or kind != "confirm" else NO
    return next((button for button in wanted if bool(buttons & button)), QMessageBox.Ok)
