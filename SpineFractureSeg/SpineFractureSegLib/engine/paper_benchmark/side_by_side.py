"""Networks trained side by side, each in a process of its own with its share of the cores.

One small network does not keep many cores busy: two with one core each do about twice the work of one with two.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import torch

from SpineFractureSegLib.engine.paper_benchmark.cases import CasePaths
from SpineFractureSegLib.engine.paper_benchmark.entries import Entry
from SpineFractureSegLib.engine.paper_benchmark.presets import Preset
from SpineFractureSegLib.engine.paper_benchmark.run import run_network
from SpineFractureSegLib.engine.progress import ProgressCallback, no_progress


def run_networks(
    runs: Sequence[tuple[Entry, int]],
    preset: Preset,
    cases: CasePaths,
    folder: str | Path,
    device: str,
    jobs: int,
    on_progress: ProgressCallback,
    on_result: Callable[[], object],
) -> None:
    """Trains and scores what is not there yet.

    Args:
        runs: networks with the seeds of their first weights, begun in this order.
        preset, cases, folder, device: as ``run_network``.
        jobs: how many at once. With one, all happens in this process, and every step is told.
        on_progress: as ``train``; with several jobs it is told of finished networks alone.
        on_result: called after every network.

    Raises: as ``run_network``; what runs beside a network that fails is ended, and goes on with the next call.
    """
    if jobs == 1:
        for entry, seed in runs:
            run_network(entry, seed, preset, cases, folder, device, on_progress)
            on_result()
        return
    threads = max(available_cores() // jobs, 1)
    others = multiprocessing.active_children()
    spawned = multiprocessing.get_context("spawn")  # a forked process cannot use a GPU that its parent uses
    with ProcessPoolExecutor(jobs, spawned, initializer=_begin, initargs=(threads,)) as pool:
        started = [pool.submit(run_network, *run, preset, cases, folder, device, no_progress) for run in runs]
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
