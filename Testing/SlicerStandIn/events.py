"""Running the event loop in tests, and the exceptions that slots and observers raised meanwhile.

Qt slots and VTK observers are called from C++, which prints an exception and goes on. Python hands each of these to
`sys.excepthook`: that is where they are collected, for the test to fail.
"""

import sys
import time

slot_errors = []


def collect_slot_errors():
    """From now on an exception that C++ swallowed is added to `slot_errors` (and printed as before)."""
    previous = sys.excepthook

    def hook(kind, error, trace):
        slot_errors.append(error)
        previous(kind, error, trace)

    sys.excepthook = hook


def process_events(seconds=0.0):
    """Runs the Qt event loop for `seconds`, at least once, deferred deletions included."""
    end = time.monotonic() + seconds
    _run_once()
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(0.01, left))
        _run_once()


def wait_until(condition, timeout_s=60.0):
    """Runs the Qt event loop until `condition()` is true; returns whether it became true within `timeout_s`."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            return False
        process_events(0.01)
    return True


def run_pending_events(*arguments):
    """QApplication.processEvents, which PySide6 lets raise what a slot raised; here that is collected, too."""
    import qt

    try:
        qt.QCoreApplication.processEvents(*arguments)
    except Exception as error:
        slot_errors.append(error)


def _run_once():
    import qt

    run_pending_events()
    qt.QCoreApplication.sendPostedEvents(None, qt.QEvent.DeferredDelete)
