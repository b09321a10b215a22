"""Q_PROPERTYs of widgets written in Python: a .ui file can set them and Python code uses them as attributes."""

from PySide6.QtCore import Property


def stored(kind, name, default, changed=None):
    """A property that keeps its value under `_<name>`.

    Arguments:
        kind: type, or name of the C++ type.
        default: value before the first set; a function makes one for each object.
        changed: name of the method that is called after a set, without arguments.
    """
    key = f"_{name}"

    def read(self):
        if key not in self.__dict__:
            self.__dict__[key] = default() if callable(default) else default
        return self.__dict__[key]

    def write(self, value):
        self.__dict__[key] = value
        if changed is not None:
            getattr(self, changed)()

    return Property(kind, read, write)


def withSetters(cls):
    """Class decorator: adds the method `setValue` for a property `value`, as C++ classes have it."""
    for name, value in list(vars(cls).items()):
        setter = f"set{name[0].upper()}{name[1:]}"
        if isinstance(value, Property) and not hasattr(cls, setter):
            setattr(cls, setter, _setter(name))
    return cls


def _setter(name):
    def setProperty(self, value):
        setattr(self, name, value)

    return setProperty
