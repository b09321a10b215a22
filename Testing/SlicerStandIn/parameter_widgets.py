"""Stands in for the connectors of `slicer.parameterNodeWrapper`: which widget shows which type of parameter.

As in Slicer the exact class of the widget counts, and a pair that Slicer does not know is an error.
"""

import enum
import pathlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Connector:
    """A widget bound to a parameter: its signal, and functions that read and write its value."""

    signal: Any
    read: Any
    write: Any


def connectorFor(widget, parameter):
    """Returns the Connector.

    Raises:
        RuntimeError: Slicer knows no connector for this widget and type.
    """
    import ctk
    import qt
    import slicer

    cls, kind = type(widget), parameter.kind
    isCombo = cls in (qt.QComboBox, ctk.ctkComboBox)
    if kind is bool and cls in (qt.QCheckBox, ctk.ctkCheckBox):
        return Connector(widget.stateChanged, lambda: widget.checked, widget.setChecked)
    if kind is bool and cls is qt.QPushButton and widget.checkable:
        return Connector(widget.toggled, lambda: widget.checked, widget.setChecked)
    if kind is int and cls in (qt.QSlider, qt.QSpinBox):
        _applyRange(widget, parameter, -(2**31), 2**31 - 1)
        return Connector(widget.valueChanged, lambda: widget.value, widget.setValue)
    numberWidgets = (
        qt.QDoubleSpinBox,
        ctk.ctkSliderWidget,
        ctk.ctkDoubleSlider,
        ctk.ctkDoubleSpinBox,
        slicer.qMRMLSliderWidget,
        slicer.qMRMLSpinBox,
    )
    if kind in (int, float) and cls in numberWidgets:
        _applyRange(widget, parameter, float("-inf"), float("inf"))
        return Connector(widget.valueChanged, lambda: kind(widget.value), widget.setValue)
    if isCombo and issubclass(kind, enum.Enum):
        return _comboConnector(
            widget, list(kind), lambda value: value.label() if hasattr(value, "label") else value.name
        )
    if isCombo and kind in (int, float, str, bool):
        choices = _find(parameter, "choices")
        if choices is None:
            raise RuntimeError(f"{parameter.name}: a combo box requires the Choice annotation")
        return _comboConnector(widget, list(choices), str)
    if kind is str and cls is qt.QLineEdit:
        return Connector(widget.textChanged, lambda: widget.text, lambda value: _setText(widget, value))
    if kind is str and cls is qt.QTextEdit:
        return Connector(widget.textChanged, widget.toPlainText, widget.setPlainText)
    if issubclass(kind, pathlib.PurePath) and cls is ctk.ctkPathLineEdit:
        return Connector(widget.currentPathChanged, lambda: kind(widget.currentPath), widget.setCurrentPath)
    if issubclass(kind, pathlib.PurePath) and cls is ctk.ctkDirectoryButton:
        return Connector(widget.directoryChanged, lambda: kind(widget.directory), lambda v: widget.setDirectory(str(v)))
    if parameter.isNode and cls is slicer.qMRMLNodeComboBox:
        widget.nodeTypes = [kind.__name__]
        return Connector(widget.currentNodeChanged, widget.currentNode, widget.setCurrentNode)
    raise RuntimeError(f"Unable to create GUI connector from datatype {kind} to widget type {cls}")


def _comboConnector(widget, values, label):
    widget.clear()
    widget.addItems([label(value) for value in values])
    return Connector(
        widget.currentIndexChanged,
        lambda: values[widget.currentIndex],
        lambda value: widget.setCurrentIndex(values.index(value)),
    )


def _applyRange(widget, parameter, lowest, highest):
    decimals, step = _find(parameter, "value", "Decimals"), _find(parameter, "value", "SingleStep")
    if decimals is not None:
        widget.decimals = decimals
    if step is not None:
        widget.singleStep = step
    minimum, maximum = _find(parameter, "minimum"), _find(parameter, "maximum")
    if "Slider" in type(widget).__name__ and None in (minimum, maximum):
        raise RuntimeError(f"{parameter.name}: a slider requires a minimum and a maximum")
    widget.setMinimum(lowest if minimum is None else minimum)
    widget.setMaximum(highest if maximum is None else maximum)


def _find(parameter, attribute, className=None):
    for annotation in parameter.annotations:
        if hasattr(annotation, attribute) and className in (None, type(annotation).__name__):
            return getattr(annotation, attribute)
    return None


def _setText(widget, value):
    if value != widget.text:  # keeps the cursor where it is
        widget.setText(value)
