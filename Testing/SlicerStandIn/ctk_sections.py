"""Stands in for the sections of CTK that fold.

Known to differ: a child that code shows or hides while its section is folded is not remembered as such.
"""
# ruff: noqa: N801  classes are called as in C++

from PySide6.QtCore import Property, Qt, Signal
from PySide6.QtWidgets import QGroupBox, QSizePolicy, QToolButton, QWidget

from .qt_properties import stored, withSetters


class _Fold:
    """Hides the children of a widget and shows the same ones again.

    Arguments:
        widget: the parent.
        header: the child that stays visible, or None.
    """

    def __init__(self, widget, header=None):
        self._widget, self._header = widget, header
        self._hidden = []
        self.isFolded = False

    def set(self, folded):
        self.isFolded = folded
        if not folded:
            for child in self._hidden:
                child.setVisible(True)
            self._hidden = []
        else:
            self.hideChildren()

    def hideChildren(self):
        """Again when the widget is shown: a .ui file folds it before it has children."""
        for child in self._widget.children():
            isHiddenByCode = isinstance(child, QWidget) and (
                child.testAttribute(Qt.WA_WState_ExplicitShowHide) and child.isHidden()
            )
            if isinstance(child, QWidget) and child is not self._header and not isHiddenByCode:
                child.setVisible(False)
                self._hidden.append(child)


@withSetters
class ctkCollapsibleButton(QWidget):
    """A headed section that folds."""

    contentsCollapsed = Signal(bool)
    toggled = Signal(bool)
    clicked = Signal(bool)

    def __init__(self, *arguments):
        parent = next((argument for argument in arguments if isinstance(argument, QWidget)), None)
        super().__init__(parent)
        self._button = QToolButton(self)
        self._fold = _Fold(self, self._button)
        self._button.setToolButtonStyle(Qt.ToolButtonTextBesideIcon)
        self._button.setArrowType(Qt.DownArrow)
        self._button.setSizePolicy(QSizePolicy.Ignored, QSizePolicy.Fixed)
        self._button.setStyleSheet("QToolButton { text-align: left; font-weight: bold; padding: 3px; }")
        self._button.clicked.connect(self._toggle)
        self.setText(next((argument for argument in arguments if isinstance(argument, str)), ""))

    def setText(self, text):
        self._button.setText(text)
        self.setContentsMargins(0, self._button.sizeHint().height() + 2, 0, 0)

    def setCollapsed(self, collapsed):
        if collapsed == self._fold.isFolded:
            return
        self._fold.set(collapsed)
        self._button.setArrowType(Qt.RightArrow if collapsed else Qt.DownArrow)
        self.contentsCollapsed.emit(collapsed)
        self.toggled.emit(not collapsed)

    def setChecked(self, checked):
        self.setCollapsed(not checked)

    text = Property(str, lambda self: self._button.text, setText)
    collapsed = Property(bool, lambda self: self._fold.isFolded, setCollapsed)
    checked = Property(bool, lambda self: not self._fold.isFolded, setChecked)
    flat = stored(bool, "flat", False)

    def _toggle(self, *_):
        self.setCollapsed(not self.collapsed)
        self.clicked.emit(self.checked)

    def resizeEvent(self, event):
        self._button.setGeometry(0, 0, self.width, self._button.sizeHint().height())

    def showEvent(self, event):
        if self.collapsed:
            self._fold.hideChildren()


@withSetters
class ctkCollapsibleGroupBox(QGroupBox):
    """A group box that folds."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._fold = _Fold(self)

    def setCollapsed(self, collapsed):
        if collapsed != self._fold.isFolded:
            self._fold.set(collapsed)

    collapsed = Property(bool, lambda self: self._fold.isFolded, setCollapsed)

    def showEvent(self, event):
        if self.collapsed:
            self._fold.hideChildren()
