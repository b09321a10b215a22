"""``benchmark ablation``: the bundled model's training without each of its parts, one after the other or at once."""

import argparse
import sys
from functools import partial
from pathlib import Path

from SpineFractureSegLib.engine.progress_output import add_progress_argument, progress_to

PRESETS = ("gpu", "cpu")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", required=True, metavar="FOLDER")
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        default="cpu",
        help="gpu: the bundled grid at width 32; cpu: a coarse grid at width 16 (default: cpu)",
    )
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each arm (default: 1)")
    parser.add_argument("--only", nargs="+", metavar="ARM", help="some of the arms, beside the whole (default: all)")
    parser.add_argument(
        "--real-ct", action="append", default=[], metavar="CT", help="without known fracture; may be repeated"
    )
    parser.add_argument("--library", metavar="FOLDER", help="spines; default: the shape library of the clone")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    parser.add_argument("--jobs", type=int, default=1, help="arms at once, each with a share of the cores (default: 1)")
    parser.add_argument("--processes", type=int, default=1, help="processes that simulate")
    add_progress_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    from SpineFractureSegLib.engine.ablation_benchmark.arms import ARMS, chosen_arms
    from SpineFractureSegLib.engine.ablation_benchmark.cases import ablation_cases
    from SpineFractureSegLib.engine.ablation_benchmark.presets import preset
    from SpineFractureSegLib.engine.ablation_benchmark.report import write_report
    from SpineFractureSegLib.engine.ablation_benchmark.run import kept_results, run_arm
    from SpineFractureSegLib.engine.ablation_benchmark.table import Row, markdown, verdict
    from SpineFractureSegLib.engine.device import choose_device
    from SpineFractureSegLib.engine.errors import UserError
    from SpineFractureSegLib.engine.side_by_side import side_by_side
    from SpineFractureSegLib.engine.simulator.shapes import shape_library

    if min(arguments.seeds, arguments.processes, arguments.jobs) < 1:
        raise UserError("--seeds, --processes and --jobs must be 1 or more.")
    arms = chosen_arms(arguments.only)
    choose_device(arguments.device)  # first: what is wrong with it is said before the long work
    size = preset(arguments.preset)
    folder, on_progress = Path(arguments.output), progress_to(sys.stderr, arguments.progress)
    library = arguments.library or shape_library()
    cases = ablation_cases(library, folder / "cases", size, arms, arguments.real_ct, arguments.processes, on_progress)
    runs = folder / "runs"

    def report() -> list[Row]:
        return write_report(folder, size, kept_results(runs, ARMS, arguments.seeds))

    each = [(arm, seed) for seed in range(arguments.seeds) for arm in arms]  # all once before any again
    work = partial(run_arm, preset=size, cases=cases, folder=runs, device=arguments.device)
    side_by_side(work, each, arguments.jobs, on_progress, report)
    rows = report()
    print(markdown(rows))
    print(verdict(rows))
    print(f"Written     {folder / 'ablation.md'}, ablation.csv and .json beside it")
    return 0
