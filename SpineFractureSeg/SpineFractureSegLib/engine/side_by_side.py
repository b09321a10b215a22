"""Trainings side by side, each in a process of its own with its share of the cores.

One small network does not keep many cores busy: two with one core each do about twice the work of one with two.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

import torch

from SpineFractureSegLib.engine.progress import ProgressCallback, no_progress


def side_by_side(
    work: Callable[..., object],
    runs: Sequence[tuple[Any, ...]],
    jobs: int,
    on_progress: ProgressCallback,
    on_result: Callable[[], object],
) -> None:
    """Calls ``work(*run, on_progress=...)`` for each of the runs.

    Args:
        work: can be pickled, a function of a module or a ``functools.partial`` of one. What it did before it does not
            do again.
        runs: the first arguments of each call, begun in this order.
        jobs: how many at once. With one, all happens in this process, and every step is told.
        on_progress: with several jobs it is told of finished runs alone.
        on_result: called after every run.

    Raises: what ``work`` raises; what runs beside a run that fails is ended.
    """
    if jobs == 1:
        for run in runs:
            work(*run, on_progress=on_progress)
            on_result()
        return
    threads = max(available_cores() // jobs, 1)
    others = multiprocessing.active_children()
    spawned = multiprocessing.get_context("spawn")  # a forked process cannot use a GPU that its parent uses
    with ProcessPoolExecutor(jobs, spawned, initializer=_begin, initargs=(threads,)) as pool:
        started = [pool.submit(work, *run, on_progress=no_progress) for run in runs]
        on_progress(0, len(runs), "networks")
        try:
            for done, run in enumerate(as_completed(started), start=1):
                run.result()
                on_result()
                on_progress(done, len(runs), "networks")
        except BaseException:
            # the pool then gives up what waits by itself; cancelled here, it would print a traceback
            for process in multiprocessing.active_children():
                if process not in others:
                    process.terminate()
            raise


def available_cores() -> int:
    """That this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begin(threads: int) -> None:
    """Of a new process. It ends when its parent is gone: two must never write to one folder."""
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
