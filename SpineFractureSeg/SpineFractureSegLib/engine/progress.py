"""How long work reports itself and is stopped. The engine prints nothing: it calls these two functions.

``on_progress(done, total, stage)``: ``done`` of ``total`` steps are finished in the stage with this name, for example
``(32, 210, "sagittal slices")``. ``should_stop()``: asked between batches; True ends the work with ``Cancelled``.
"""

from collections.abc import Callable

from SpineFractureSegLib.engine.errors import Cancelled

ProgressCallback = Callable[[int, int, str], None]
StopQuery = Callable[[], bool]


def no_progress(done: int, total: int, stage: str) -> None:
    """Default ``on_progress``: say nothing."""


def never_stop() -> bool:
    """Default ``should_stop``: run to the end."""
    return False


def raise_if_stopped(should_stop: StopQuery) -> None:
    """Raises: Cancelled, when the caller wants the work to end."""
    if should_stop():
        raise Cancelled("Stopped on request.")
