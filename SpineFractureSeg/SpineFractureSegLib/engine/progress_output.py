"""How the command line shows progress, always on stderr: a bar on a terminal, or JSON lines for other programs."""

import argparse
import json
import time
from typing import TextIO

from SpineFractureSegLib.engine.progress import ProgressCallback, no_progress

MODES = ("bar", "json", "none")

_WIDTH = 28  # characters of the bar
_INTERVAL_S = 0.05  # a terminal is not redrawn more often


def add_progress_argument(parser: argparse.ArgumentParser) -> None:
    """``--progress bar|json|none``, the same for every command that takes long."""
    parser.add_argument("--progress", choices=MODES, default="bar", help="on stderr; a bar on a terminal only")


def progress_to(stream: TextIO, mode: str = "bar") -> ProgressCallback:
    """An ``on_progress`` that writes to the stream.

    Arguments: ``mode`` "bar" draws one line over and over, and nothing where the stream is no terminal; "json" writes
    one object with ``stage``, ``done`` and ``total`` a step; "none" writes nothing.
    """
    if mode == "json":

        def write_line(done: int, total: int, stage: str) -> None:
            write_json_line(stream, {"stage": stage, "done": done, "total": total})

        return write_line
    return _Bar(stream) if mode == "bar" and stream.isatty() else no_progress


def write_json_line(stream: TextIO, fields: dict) -> None:
    """One object in ASCII, sent at once."""
    stream.write(json.dumps(fields) + "\n")
    stream.flush()


class _Bar:
    """``sagittal slices  [#########                   ]  33 %   70/210``; each stage keeps its line when finished."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._drawn_at = 0.0

    def __call__(self, done: int, total: int, stage: str) -> None:
        now, finished = time.monotonic(), done >= total
        if now - self._drawn_at < _INTERVAL_S and not finished:
            return
        self._drawn_at = now
        share = min(done / total, 1.0) if total > 0 else 1.0
        bar = "#" * round(share * _WIDTH)
        line = f"\r{stage:<24.24} [{bar:<{_WIDTH}}] {share:4.0%} {done:>6}/{total}"
        self._stream.write(line + ("\n" if finished else ""))
        self._stream.flush()
