"""What the benchmarks that train have in common on the command line: ``benchmark paper`` and ``benchmark ablation``."""

import argparse

from SpineFractureSegLib.engine.progress_output import add_progress_argument


def add_training_arguments(parser: argparse.ArgumentParser, presets: dict[str, str], each: str, only: str) -> None:
    """Adds them.

    Args:
        presets: name -> how large it is; ``cpu`` is the default.
        each: what is trained: "network".
        only: help of ``--only``.
    """
    parser.add_argument("--output", required=True, metavar="FOLDER")
    sizes = "; ".join(f"{name}: {size}" for name, size in presets.items())
    parser.add_argument("--preset", choices=tuple(presets), default="cpu", help=f"{sizes} (default: cpu)")
    parser.add_argument("--seeds", type=int, default=1, help=f"trainings of each {each} (default: 1)")
    parser.add_argument("--only", nargs="+", metavar=each.upper(), help=only)
    parser.add_argument("--library", metavar="FOLDER", help="spines; default: the shape library of the clone")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    parser.add_argument(
        "--jobs", type=int, default=1, help=f"{each}s at once, each with its share of the cores (default: 1)"
    )
    parser.add_argument("--processes", type=int, default=1, help="processes that simulate")
    add_progress_argument(parser)


def check_training_arguments(arguments: argparse.Namespace) -> None:
    """Says what is wrong with them before the long work.

    Raises: UserError.
    """
    from SpineFractureSegLib.engine.device import choose_device
    from SpineFractureSegLib.engine.errors import UserError

    if min(arguments.seeds, arguments.processes, arguments.jobs) < 1:
        raise UserError("--seeds, --processes and --jobs must be 1 or more.")
    choose_device(arguments.device)
