"""The command ``spine-fracture-seg``: subcommands, exit codes and the one place where every exception ends.

Exit codes: 0 done; 1 a fault of the program; 2 something the user can mend, said in one sentence; 130 cancelled.
"""

import argparse
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import NoReturn

from SpineFractureSegLib import __version__
from SpineFractureSegLib.engine.commands import (
    benchmark,
    calibrate,
    data,
    evaluate,
    finetune,
    models,
    segment,
    simulate,
    train,
)
from SpineFractureSegLib.engine.errors import Cancelled, UserError

PROGRAM = "spine-fracture-seg"
COMMANDS: dict[str, ModuleType] = {
    "segment": segment,
    "evaluate": evaluate,
    "models": models,
    "simulate": simulate,
    "data": data,
    "train": train,
    "finetune": finetune,
    "calibrate": calibrate,
    "benchmark": benchmark,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one subcommand; ``argv`` without the program's name, by default the process's arguments."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words  # taken out here, so that it may stand anywhere, after `models list` too
    arguments = _parser().parse_args([word for word in words if word != "--debug"])
    try:
        with _ended_like_interrupted():
            return arguments.run(arguments)
    except UserError as error:
        return _fail(error, 2, debug)
    except (Cancelled, KeyboardInterrupt):
        _print_error("cancelled")
        return 130
    except BrokenPipeError:  # the reader of our output left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        return _fail("there is not enough memory for this; close other programs or crop the CT", 2, debug)
    except Exception as error:
        hint = "" if debug else "; add --debug for the traceback"
        return _fail(f"unexpected {type(error).__name__}: {error}{hint}", 1, debug)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=PROGRAM, description="Finds and outlines spine fractures in CT. Research use only.")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error; may stand anywhere")
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        summary = module.__doc__.split("\n", 1)[0]
        command = subparsers.add_parser(
            name, help=summary, description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one sentence, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {_one_line(message)}; see {self.prog} --help.\n")


@contextmanager
def _ended_like_interrupted() -> Iterator[None]:
    """A program that ends this one politely (SIGTERM) gets what Ctrl-C gets: nothing half-written stays behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _fail(message: object, exit_code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    _print_error(_one_line(message))
    return exit_code


def _print_error(message: str) -> None:
    if sys.stderr.isatty():
        print(file=sys.stderr)  # the progress bar's line stays readable
    print(f"{PROGRAM}: {message}", file=sys.stderr)


def _one_line(message: object) -> str:
    return " ".join(str(message).split())
