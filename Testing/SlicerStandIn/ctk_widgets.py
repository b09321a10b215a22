"""Stands in for the widgets of CTK that a module panel uses, and for Slicer's sliders derived from them.

Known to differ: they look plain; ranges do not round; paths are not completed nor remembered.
"""
# ruff: noqa: N801  classes are called as in C++

from pathlib import Path

from PySide6.QtCore import Property, Qt, Signal
from PySide6.QtGui import QColor
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSlider,
    QTextBrowser,
    QToolButton,
    QWidget,
)

from .qt_properties import stored, withSetters


@withSetters
class ctkSliderWidget(QWidget):
    """A slider beside a spin box; the spin box holds the value."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)

    STEPS = 1000

    def __init__(self, parent=None):
        super().__init__(parent)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._slider, self._spinBox = QSlider(Qt.Horizontal), QDoubleSpinBox()
        self._slider.setRange(0, self.STEPS)
        self._spinBox.setRange(0, 99)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._spinBox)
        self._slider.sliderMoved.connect(self._onSliderMoved)
        self._spinBox.valueChanged.connect(self._onValueChanged)

    value = Property(float, lambda self: self._spinBox.value, lambda self, value: self._spinBox.setValue(float(value)))
    minimum = Property(float, lambda self: self._spinBox.minimum, lambda self, value: self._limit("setMinimum", value))
    maximum = Property(float, lambda self: self._spinBox.maximum, lambda self, value: self._limit("setMaximum", value))
    decimals = Property(int, lambda self: self._spinBox.decimals, lambda self, value: self._spinBox.setDecimals(value))
    singleStep = Property(
        float, lambda self: self._spinBox.singleStep, lambda self, value: self._spinBox.setSingleStep(value)
    )
    suffix = Property(str, lambda self: self._spinBox.suffix, lambda self, value: self._spinBox.setSuffix(value))
    prefix = Property(str, lambda self: self._spinBox.prefix, lambda self, value: self._spinBox.setPrefix(value))
    tracking = stored(bool, "tracking", True)
    pageStep = stored(float, "pageStep", 1.0)
    popupSlider = stored(bool, "popupSlider", False)
    spinBoxVisible = stored(bool, "spinBoxVisible", True)

    def setRange(self, minimum, maximum):
        self._limit("setMinimum", minimum)
        self._limit("setMaximum", maximum)

    def reset(self):
        self._spinBox.setValue(self._spinBox.minimum)

    def _limit(self, setter, value):
        getattr(self._spinBox, setter)(value)
        self._moveSlider()

    def _onSliderMoved(self, step):
        span = self._spinBox.maximum - self._spinBox.minimum
        self._spinBox.setValue(self._spinBox.minimum + span * step / self.STEPS)

    def _onValueChanged(self, value):
        self._moveSlider()
        self.valueIsChanging.emit(value)
        self.valueChanged.emit(value)

    def _moveSlider(self):
        span = self._spinBox.maximum - self._spinBox.minimum
        share = (self._spinBox.value - self._spinBox.minimum) / span if span > 0 else 0
        self._slider.setValue(round(self.STEPS * share))


class ctkDoubleSlider(ctkSliderWidget):
    """A slider of real numbers."""


@withSetters
class ctkDoubleSpinBox(QDoubleSpinBox):
    """A spin box of real numbers."""


@withSetters
class ctkRangeWidget(QWidget):
    """Two numbers; here only so that Slicer's own parameterNodeWrapper finds the class."""

    valuesChanged = Signal(float, float)


class ctkDoubleRangeSlider(ctkRangeWidget):
    """As ctkRangeWidget."""


@withSetters
class ctkPathLineEdit(QWidget):
    """A line for the path of a file or folder, with a button that asks for it."""

    currentPathChanged = Signal(str)
    Dirs, Files, Drives = 0x001, 0x002, 0x004
    Readable, Writable, Executable = 0x010, 0x020, 0x040

    def __init__(self, parent=None):
        super().__init__(parent)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._edit, self._button = QLineEdit(), QToolButton()
        self._button.setText("...")
        layout.addWidget(self._edit)
        layout.addWidget(self._button)
        self._edit.textChanged.connect(self.currentPathChanged)
        self._button.clicked.connect(self.browse)

    currentPath = Property(str, lambda self: self._edit.text, lambda self, path: self._edit.setText(str(path)))
    filters = stored(int, "filters", 3)
    nameFilters = stored("QStringList", "nameFilters", list)
    settingKey = stored(str, "settingKey", "")
    showHistoryButton = stored(bool, "showHistoryButton", True)
    label = stored(str, "label", "")

    def addCurrentPathToHistory(self):
        pass

    def browse(self, *_):
        path = QFileDialog.getOpenFileName(self)
        if path:
            self.currentPath = path


@withSetters
class ctkDirectoryButton(QPushButton):
    """A button that shows and asks for a folder."""

    directoryChanged = Signal(str)

    def setDirectory(self, directory):
        directory = str(Path(directory).absolute()) if directory else ""
        if directory != self.directory:
            self.__dict__["_directory"] = directory
            self.setText(directory)
            self.directoryChanged.emit(directory)

    directory = Property(str, lambda self: self.__dict__.get("_directory", ""), setDirectory)


class ctkCheckBox(QCheckBox):
    """A check box."""


@withSetters
class ctkComboBox(QComboBox):
    """A combo box that shows a text while nothing is chosen."""

    defaultText = stored(str, "defaultText", "")
    scrollWheelEffect = stored(int, "scrollWheelEffect", 0)


class ctkPushButton(QPushButton):
    """A push button."""


class ctkMenuButton(QPushButton):
    """A push button with a menu beside it."""


@withSetters
class ctkCheckablePushButton(QPushButton):
    """A push button with a check box in it."""

    checkBoxControlsButtonToggleState = stored(bool, "checkBoxControlsButtonToggleState", False)


@withSetters
class ctkColorPickerButton(QPushButton):
    """A button that asks for a color."""

    colorChanged = Signal(QColor)

    def setColor(self, color):
        if color != self.color:
            self.__dict__["_color"] = QColor(color)
            self.colorChanged.emit(self.color)

    color = Property(QColor, lambda self: self.__dict__.get("_color", QColor()), setColor)


@withSetters
class ctkFittedTextBrowser(QTextBrowser):
    """A text as high as it needs."""

    collapsed = stored(bool, "collapsed", False)
    collapsible = stored(bool, "collapsible", False)
    showDetailsText = stored(str, "showDetailsText", "")
    hideDetailsText = stored(str, "hideDetailsText", "")

    def setCollapsibleText(self, text):
        self.setHtml(text)
