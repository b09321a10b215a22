"""Stands in for PythonQt: gives the classes of PySide6 the manners that Python code meets inside Slicer.

- Each Q_PROPERTY is an attribute: `button.enabled = True`, `edit.text`; so `edit.text()` fails, as it does in Slicer.
- `connect`, `disconnect` by signature (see `qt_signals`), `name`, `className()`, `delete()`, `exec_()`.
- Setting an attribute that a C++ object does not have is an error.

The classes of PySide6 themselves are changed, for the whole process.

Known to differ: enums are not numbers; arguments are converted as PySide6 does it; an object that lost its C++ half
raises RuntimeError where PythonQt gives None.
"""

import contextlib
import types

import shiboken6
from PySide6 import QtCore, QtGui, QtWidgets

from . import qt_signals

QT_MODULES = (QtCore, QtGui, QtWidgets)
# Handled apart (objectName) or virtual, which C++ asks for by calling.
NO_ATTRIBUTES = {"objectName", "sizeHint", "minimumSizeHint"}
# A property that shares its name with a static function.
STATIC_FUNCTIONS = {("QTimer", "singleShot")}

_strict = True


@contextlib.contextmanager
def permissive():
    """While it lasts, attributes that do not exist may be set: the loader of .ui files does that."""
    global _strict
    _strict = False
    try:
        yield
    finally:
        _strict = True


def applyManners():
    """Changes the classes of PySide6; once per process."""
    values = [getattr(module, name) for module in QT_MODULES for name in dir(module)]
    classes = {value for value in values if isinstance(value, type) and issubclass(value, QtCore.QObject)}
    for cls in sorted(classes, key=lambda cls: len(cls.__mro__)):  # bases first
        _makePropertiesAttributes(cls)
        cls.__setattr__ = _setAttribute  # each class of PySide6 has its own
    _addMethods()


class _Attribute(property):
    """A Q_PROPERTY; on the class itself what PySide6 had there, which may be a static function."""

    ofClass = None

    def __get__(self, instance, owner=None):
        if instance is None and self.ofClass is not None:
            return self.ofClass
        return super().__get__(instance, owner)


def _makePropertiesAttributes(cls):
    metaObject = cls.staticMetaObject
    for index in range(metaObject.propertyOffset(), metaObject.propertyCount()):
        qtProperty = metaObject.property(index)
        if qtProperty.isReadable() and qtProperty.name() not in NO_ATTRIBUTES:
            setattr(cls, qtProperty.name(), _attributeFor(cls, qtProperty))


def _attributeFor(cls, qtProperty):
    name = qtProperty.name()
    getter = getattr(cls, name, None)
    setter = getattr(cls, f"set{name[0].upper()}{name[1:]}", None)
    callGetter = callable(getter) and (cls.__name__, name) not in STATIC_FUNCTIONS

    def read(self):
        return getter(self) if callGetter else self.property(name)

    def write(self, value):
        if setter is not None:
            setter(self, value)
        elif not self.setProperty(name, value):
            raise AttributeError(f"property {name} of {type(self).__name__} cannot be set to {value!r}")

    attribute = _Attribute(read, write if qtProperty.isWritable() else None)
    attribute.ofClass = getter if callGetter else _singleShot
    return attribute


_pendingTimers = set()


def _singleShot(milliseconds, slot):
    """QTimer.singleShot; PySide6's own would go through the changed `connect`."""
    timer = QtCore.QTimer()
    timer.setSingleShot(True)

    def fire():
        _pendingTimers.discard(timer)
        slot()

    timer.timeout.connect(fire)
    _pendingTimers.add(timer)
    timer.start(milliseconds)


def _setAttribute(self, name, value):
    cls = type(self)
    isStandIn = cls.__module__.startswith(("PySide6", __package__))
    if _strict and isStandIn and not name.startswith("_") and not hasattr(cls, name):
        raise AttributeError(f"{cls.__name__} has no attribute {name}, and an object of C++ cannot be given a new one")
    for base in cls.__mro__:  # what object.__setattr__ does, which may not be called on objects of PySide6
        if name in base.__dict__:
            descriptor = base.__dict__[name]
            if isinstance(descriptor, QtCore.Property):
                return descriptor.fset(self, value)
            if hasattr(type(descriptor), "__set__"):
                return descriptor.__set__(self, value)
            break
    self.__dict__[name] = value


def _addMethods():
    QObject = QtCore.QObject
    getName, setName = QObject.objectName, QObject.setObjectName
    name = property(lambda self: getName(self), lambda self, value: setName(self, value))
    QObject.objectName = QObject.name = name
    QObject.className = lambda self: self.metaObject().className()
    QObject.delete = lambda self: shiboken6.delete(self)
    QtWidgets.QDialog.exec_ = QtWidgets.QDialog.exec
    QtWidgets.QMenu.exec_ = QtWidgets.QMenu.exec
    getAttribute = QObject.__getattribute__
    # PySide6 answers these two before it looks at the class.
    bySignature = {"connect": qt_signals.connect, "disconnect": qt_signals.disconnect}

    def get(self, name):
        if name in bySignature:
            return types.MethodType(bySignature[name], self)
        try:
            return getAttribute(self, name)
        except AttributeError:
            if name[:1].isupper():  # an enum value through an instance
                return getattr(type(self), name)
            raise

    QObject.__getattribute__ = get
