"""Stands in for QUiLoader as Slicer has it: it knows the widgets of CTK and MRML, and connects MRML signals.

`slicer.util.loadUI` is Slicer's own and uses it.

Known to differ: a widget class without a stand-in is an error, as is a connection to a slot that does not exist.
"""

import xml.etree.ElementTree as ElementTree

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QObject
from PySide6.QtUiTools import QUiLoader

from . import pythonqt, qt_signals

_classes = {}


def addClasses(*namespaces):
    """Makes the widget classes in these modules known by their C++ names."""
    for namespace in namespaces:
        _classes.update({name: value for name, value in vars(namespace).items() if isinstance(value, type)})


class UiLoader(QUiLoader):
    """Loads a .ui file from a device."""

    def load(self, device, parent=None):
        """Returns the widget; connections are made here, because C++ does not know signals of Python by MRML types."""
        root = ElementTree.fromstring(bytes(device.readAll().data()))
        connections = root.find("connections")
        if connections is not None:
            root.remove(connections)
        _numberEnums(root)
        buffer = QBuffer()
        buffer.setData(QByteArray(ElementTree.tostring(root)))
        buffer.open(QIODevice.ReadOnly)
        with pythonqt.permissive():
            widget = super().load(buffer, parent)
        named = {child.objectName: child for child in (widget, *widget.findChildren(QObject)) if child.objectName}
        for child in named.values():  # PySide6 makes attributes of child widgets, Slicer does not
            for name in named:
                child.__dict__.pop(name, None)
        for connection in connections if connections is not None else ():
            sender, signal, receiver, slot = (
                connection.findtext(part) for part in ("sender", "signal", "receiver", "slot")
            )
            qt_signals.connect(named[sender], signal, named[receiver], slot)
        return widget

    def createWidget(self, className, parent=None, name=""):
        if className not in _classes:
            raise ValueError(f"there is no stand-in for the widget class {className}")
        widget = _classes[className](parent)
        widget.setObjectName(name)
        return widget


def _numberEnums(root):
    """Writes enum values of our widget classes as numbers, as C++ knows nothing of them."""
    for value in [*root.iter("set"), *root.iter("enum")]:
        names = [name.split("::") for name in (value.text or "").split("|")]
        if all(len(name) > 1 and name[0].startswith(("ctk", "qMRML")) and name[0] in _classes for name in names):
            value.text = str(sum(getattr(_classes[name[0]], name[-1]) for name in names))
            value.tag = "number"
