"""Stands in for qMRMLWidget, the widgets of Slicer that derive from it or from CTK, and their bond to the scene."""
# ruff: noqa: N801  classes are called as in C++

from typing import ClassVar

import shiboken6
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from .ctk_sections import ctkCollapsibleButton
from .ctk_widgets import ctkDoubleSpinBox, ctkRangeWidget, ctkSliderWidget
from .qt_properties import stored, withSetters


class Observations:
    """Observers of VTK objects for a widget: they fall silent when its C++ half is gone.

    Arguments:
        widget: a QWidget.
    """

    def __init__(self, widget):
        self._widget = widget
        self._tags = []

    def add(self, caller, event, slot):
        """Calls `slot()` on each event."""

        def call(*_):
            if shiboken6.isValid(self._widget):
                slot()

        self._tags.append((caller, caller.AddObserver(event, call)))

    def clear(self):
        for caller, tag in self._tags:
            caller.RemoveObserver(tag)
        self._tags = []


class qMRMLWidget(QWidget):
    """A widget that knows the scene; in a .ui file it passes it on to others by its signal."""

    mrmlSceneChanged = Signal(object)
    CPP_SIGNALS: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene = None

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


class qSlicerWidget(qMRMLWidget):
    """As qMRMLWidget."""


@withSetters
class qSlicerScriptedLoadableModuleWidget(qSlicerWidget):
    """The C++ widget around the Python widget of a scripted module, which `self()` gives."""

    isEntered = stored(bool, "isEntered", False)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._pythonWidget = None
        QVBoxLayout(self)

    def self(self):
        return self._pythonWidget


class qMRMLCollapsibleButton(ctkCollapsibleButton):
    """A collapsible button that knows the scene."""

    def setMRMLScene(self, scene):
        pass


@withSetters
class qMRMLSliderWidget(ctkSliderWidget):
    """A slider with the unit of a quantity, which is not shown here."""

    quantity = stored(str, "quantity", "")

    def setMRMLScene(self, scene):
        pass


@withSetters
class qMRMLSpinBox(ctkDoubleSpinBox):
    """A spin box with the unit of a quantity, which is not shown here."""

    quantity = stored(str, "quantity", "")

    def setMRMLScene(self, scene):
        pass


class qMRMLRangeWidget(ctkRangeWidget):
    """Here only so that Slicer's own parameterNodeWrapper finds the class."""
