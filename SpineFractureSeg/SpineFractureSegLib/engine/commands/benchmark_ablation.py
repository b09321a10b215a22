"""``benchmark ablation``: the bundled model's training without each of its parts, one after the other or at once."""

import argparse
import sys
from functools import partial
from pathlib import Path

from SpineFractureSegLib.engine.commands.training_benchmark import add_training_arguments, check_training_arguments
from SpineFractureSegLib.engine.progress_output import progress_to

PRESETS = {"gpu": "the bundled grid at width 32", "cpu": "a coarse grid at width 16"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_training_arguments(parser, PRESETS, "arm", "some of the arms, beside the whole (default: all)")
    parser.add_argument(
        "--real-ct", action="append", default=[], metavar="CT", help="without known fracture; may be repeated"
    )


def run(arguments: argparse.Namespace) -> int:
    from SpineFractureSegLib.engine.ablation_benchmark.arms import ARMS, chosen_arms
    from SpineFractureSegLib.engine.ablation_benchmark.cases import ablation_cases
    from SpineFractureSegLib.engine.ablation_benchmark.presets import preset
    from SpineFractureSegLib.engine.ablation_benchmark.report import write_report
    from SpineFractureSegLib.engine.ablation_benchmark.run import kept_results, run_arm
    from SpineFractureSegLib.engine.ablation_benchmark.table import Row, markdown, verdict
    from SpineFractureSegLib.engine.side_by_side import side_by_side
    from SpineFractureSegLib.engine.simulator.shapes import shape_library

    check_training_arguments(arguments)
    arms = chosen_arms(arguments.only)
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
