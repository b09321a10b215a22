"""Stands in for `slicer.parameterNodeWrapper`: parameters with types, kept in a node of the scene.

Values are stored as Slicer stores them. Known types: bool, int, float, str, pathlib.Path, enums and classes of nodes;
known annotations: Default, WithinRange, Minimum, Maximum, Choice, Decimals, SingleStep.

Known to differ: lists, unions and parameter packs are refused.
"""

import enum
import pathlib
import typing
from dataclasses import dataclass, field

import slicer
import vtk

from .parameter_annotations import Choice, Decimals, Default, Maximum, Minimum, SingleStep, WithinRange
from .parameter_widgets import connectorFor

__all__ = ["Choice", "Decimals", "Default", "Maximum", "Minimum", "SingleStep", "WithinRange", "parameterNodeWrapper"]


@dataclass
class Parameter:
    """One member of a parameter node wrapper."""

    name: str
    kind: type
    annotations: list = field(default_factory=list)
    default: object = None

    @classmethod
    def fromHint(cls, name, hint, default):
        annotations = list(getattr(hint, "__metadata__", ()))
        kind = typing.get_args(hint)[0] if annotations else hint
        known = isinstance(kind, type) and issubclass(
            kind, (bool, int, float, str, pathlib.PurePath, enum.Enum, slicer.vtkMRMLNode)
        )
        if not known:
            raise TypeError(f"parameter {name}: the stand-in of parameterNodeWrapper does not know the type {kind}")
        defaults = [annotation.value for annotation in annotations if isinstance(annotation, Default)]
        parameter = cls(name, kind, [a for a in annotations if not isinstance(a, Default)])
        if default is not None:
            parameter.default = default
        elif defaults:
            parameter.default = defaults[0]
        elif issubclass(kind, enum.Enum):
            parameter.default = next(iter(kind))
        elif not parameter.isNode:
            parameter.default = kind()
        return parameter

    @property
    def isNode(self):
        return issubclass(self.kind, slicer.vtkMRMLNode)

    def read(self, node):
        if self.isNode:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if self.kind is bool:
            return text == "True"
        if issubclass(self.kind, enum.Enum):
            return self.kind[text]
        return self.kind(text)

    def write(self, node, value):
        self.check(value)
        if self.isNode:
            node.SetParameter(self.name, "")
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
        else:
            node.SetParameter(self.name, value.name if isinstance(value, enum.Enum) else str(value))

    def check(self, value):
        if value is None and self.isNode:
            return
        if value is None:
            raise ValueError(f"{self.name}: Value must not be None")
        if not isinstance(value, (int, float) if self.kind is float else self.kind):
            raise TypeError(f"{self.name}: Value must be of type {self.kind}, is {value!r}")
        for annotation in self.annotations:
            if hasattr(annotation, "validate"):
                annotation.validate(value)


class _Wrapper:
    """Base of the classes that parameterNodeWrapper makes."""

    def __init__(self, parameterNode):
        self.parameterNode = parameterNode
        self._links = {}
        self._isUpdatingGui = False
        for parameter in self.allParameters.values():
            if not parameterNode.HasParameter(parameter.name):
                parameter.write(parameterNode, parameter.default)

    def getValue(self, name):
        return self.allParameters[name].read(self.parameterNode)

    def setValue(self, name, value):
        with slicer.util.NodeModify(self.parameterNode):
            self.allParameters[name].write(self.parameterNode, value)

    def default(self, name):
        return Default(self.allParameters[name].default)

    def connectGui(self, gui):
        """Binds the widgets with the dynamic property SlicerParameterName.

        Arguments:
            gui: a widget, or what `slicer.util.childWidgetVariables` gives.

        Returns: a tag for `disconnectGui`.
        """
        import qt

        widgets = gui.findChildren(qt.QWidget) if isinstance(gui, qt.QWidget) else vars(gui).values()
        named = {widget.property("SlicerParameterName"): widget for widget in widgets}
        named.pop(None, None)
        return self.connectParametersToGui(named)

    def connectParametersToGui(self, widgets):
        """As connectGui, with the widgets given by {parameter: widget}."""
        unknown = [name for name in widgets if name not in self.allParameters]
        if unknown:
            raise ValueError(f"Cannot find a param with the given name: {unknown}; found {list(self.allParameters)}")
        connectors = {name: connectorFor(widget, self.allParameters[name]) for name, widget in widgets.items()}
        slots = []
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            slot = self._slot(name, connector)
            connector.signal.connect(slot)
            slots.append((connector.signal, slot))
        observer = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._updateGui())
        tag = max(self._links, default=-1) + 1
        self._links[tag] = (connectors, slots, observer)
        return tag

    def disconnectGui(self, tag):
        if tag in self._links:
            _connectors, slots, observer = self._links.pop(tag)
            for signal, slot in slots:
                signal.disconnect(slot)
            self.RemoveObserver(observer)

    def _slot(self, name, connector):
        def onChanged(*_):
            if not self._isUpdatingGui:
                self.setValue(name, connector.read())

        return onChanged

    def _updateGui(self):
        if self._isUpdatingGui:
            return
        self._isUpdatingGui = True
        try:
            for connectors, _slots, _observer in self._links.values():
                for name, connector in connectors.items():
                    connector.write(self.getValue(name))
        finally:
            self._isUpdatingGui = False

    def StartModify(self):
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified):
        return self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event, callback, priority=0.0):
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag):
        return self.parameterNode.RemoveObserver(tag)

    def Modified(self):
        return self.parameterNode.Modified()


def parameterNodeWrapper(cls):
    """Class decorator: each annotated member becomes a parameter kept in the node that the constructor is given."""
    hints = typing.get_type_hints(cls, include_extras=True)
    parameters = {name: Parameter.fromHint(name, hint, vars(cls).get(name)) for name, hint in hints.items()}
    members = {name: _property(name) for name in parameters}
    return type(cls.__name__, (_Wrapper, cls), {**members, "allParameters": parameters, "__module__": cls.__module__})


def _property(name):
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))
