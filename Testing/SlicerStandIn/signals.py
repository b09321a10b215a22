"""Signals of stand-ins that are no QObject: connected by their C++ signature, as PythonQt does."""


class NamedSignals:
    """Has the methods `connect`, `disconnect` and `emit` for the signatures named in `signals`.

    Raises:
        ValueError: the signature is not one of `signals` (Slicer would print a warning and go on).
    """

    signals = ()

    def __init__(self):
        self._slots = {signature: [] for signature in self.signals}

    def connect(self, signature, slot):
        self._slotsOf(signature).append(slot)
        return True

    def disconnect(self, signature, slot):
        self._slotsOf(signature).remove(slot)
        return True

    def emit(self, signature, *arguments):
        for slot in list(self._slotsOf(signature)):
            slot(*arguments)

    def _slotsOf(self, signature):
        if signature not in self._slots:
            raise ValueError(f"{type(self).__name__} has no signal {signature}; there are {list(self._slots)}")
        return self._slots[signature]
