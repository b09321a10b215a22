"""The engine as a process of its own: how it is called, and how it is ended with all that it started.

Slicer's interpreter PythonSlicer is a launcher: the engine runs in its child, so that ending the process that was
started is not enough.
"""

from __future__ import annotations

import contextlib
import locale
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from subprocess import Popen

    import psutil

END_WITHIN_S = 2.0
_POLL_S = 0.02


def commandLine(arguments: list[str]) -> list[str]:
    """The command that runs the engine's command line with these arguments, in Slicer's Python."""
    interpreter = shutil.which("PythonSlicer") or sys.executable
    return [interpreter, str(Path(__file__).resolve().parents[1] / "__main__.py"), *arguments]


def environmentAdditions() -> dict[str, str]:
    """Each line arrives when it is written, and in the encoding that Slicer's own end of the pipe reads."""
    encoding = locale.getpreferredencoding(False)
    return {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": f"{encoding}:backslashreplace"}


def findWorker(process: Popen, pid: int) -> psutil.Process | None:
    """The process that says that it is the engine, where it is ``process`` or comes from it."""
    import psutil

    with contextlib.suppress(psutil.Error):
        worker = psutil.Process(pid)
        if process.pid in (worker.pid, *(parent.pid for parent in worker.parents())):
            return worker
    return None


def endTree(process: Popen, worker: psutil.Process | None = None) -> None:
    """Kills the process, all its descendants and the worker, and waits until they are gone, two seconds at most.

    Args:
        process: the launcher; one that is already gone is fine.
        worker: from ``findWorker``; it outlives a launcher that was killed by someone else.
    """
    import psutil

    tree = {worker} if worker is not None else set()
    if process.poll() is None:
        with contextlib.suppress(psutil.Error):
            tree.add(psutil.Process(process.pid))
    tree = _withDescendants(tree)
    for member in tree:
        with contextlib.suppress(psutil.Error):
            member.kill()
    deadline = time.monotonic() + END_WITHIN_S
    while any(_isAlive(member) for member in tree) and time.monotonic() < deadline:
        process.poll()  # takes note of its end, without which it stays in the list of processes
        time.sleep(_POLL_S)
    process.poll()


def _withDescendants(tree: set[psutil.Process]) -> set[psutil.Process]:
    """All are suspended first: one that is looked for its children must not start another meanwhile."""
    import psutil

    while True:
        found = set()
        for member in tree:
            with contextlib.suppress(psutil.Error):
                member.suspend()
                found.update(member.children())
        if found <= tree:
            return tree
        tree = tree | found


def _isAlive(member: psutil.Process) -> bool:
    import psutil

    try:
        return member.is_running() and member.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
