"""Signals as PythonQt connects them: `widget.connect('clicked(bool)', slot)`.

As in Slicer a slot gets as many arguments as the signature names and the slot takes. Unlike in Slicer, where it is a
line in the log, a signature that does not exist is an error.

A stand-in of a C++ widget lists in `CPP_SIGNALS` the C++ signatures of its Python signals: {"currentNodeChanged(
vtkMRMLNode*)": "currentNodeChanged"}.
"""

import inspect

from PySide6.QtCore import QMetaObject


def connect(sender, signature, *target):
    """`connect(signature, slot)` or `connect(signature, receiver, 'slot(...)')`; returns True."""
    slot = _slotOf(target)
    signal = signalOf(sender, signature)
    call = _call(slot, _argumentCount(signature))
    _connections(sender).append((signature, slot, call))
    signal.connect(call)
    return True


def disconnect(sender, signature, *target):
    """Ends the connections of `signature` to the slot, or all of them made by signature if none is given."""
    slots = [_slotOf(target)] if target else None
    kept = []
    for connection in _connections(sender):
        if connection[0] == signature and (slots is None or connection[1] in slots):
            signalOf(sender, signature).disconnect(connection[2])
        else:
            kept.append(connection)
    found = len(kept) < len(_connections(sender))
    _connections(sender)[:] = kept
    return found


def signalOf(sender, signature):
    """Returns the signal that can be connected.

    Raises:
        ValueError: `sender` has no signal of this signature.
    """
    normalized = bytes(QMetaObject.normalizedSignature(signature).data()).decode()
    declared = {}
    for base in reversed(type(sender).__mro__):
        declared.update(getattr(base, "CPP_SIGNALS", {}))
    if normalized in declared:
        return getattr(sender, declared[normalized])
    name = normalized.split("(")[0]
    if sender.metaObject().indexOfSignal(normalized) < 0 or "(" not in normalized:
        raise ValueError(f"{sender.metaObject().className()} has no signal {signature}")
    return getattr(sender, name)


def _call(slot, count):
    """Returns a function of `count` arguments that calls the slot with no more of them than it takes.

    PySide6 chooses among the signals of one name by the number of arguments.
    """
    taken = min(count, _positionalCount(slot))
    return (
        lambda: slot(),
        lambda a: slot(*(a,)[:taken]),
        lambda a, b: slot(*(a, b)[:taken]),
        lambda a, b, c: slot(*(a, b, c)[:taken]),
        lambda a, b, c, d: slot(*(a, b, c, d)[:taken]),
    )[count]


def _slotOf(target):
    if len(target) == 2:
        receiver, slotSignature = target
        slot = getattr(receiver, slotSignature.split("(")[0], None)
        if slot is None:
            raise ValueError(f"{type(receiver).__name__} has no slot {slotSignature}")
        return slot
    return target[0]


def _argumentCount(signature):
    inside = signature[signature.index("(") + 1 : signature.rindex(")")].strip()
    return len(inside.split(",")) if inside else 0


def _positionalCount(slot):
    try:
        parameters = inspect.signature(slot).parameters.values()
    except (TypeError, ValueError):  # a function of C++
        return 100
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return 100
    return sum(
        parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD) for parameter in parameters
    )


def _connections(sender):
    return sender.__dict__.setdefault("_connectionsBySignature", [])
