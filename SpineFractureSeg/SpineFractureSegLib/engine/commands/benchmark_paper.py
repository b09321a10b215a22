"""``benchmark paper``: trains and scores the networks of the paper's tables, one after the other or side by side."""

import argparse
import sys
from functools import partial
from pathlib import Path

from SpineFractureSegLib.engine.commands.training_benchmark import add_training_arguments, check_training_arguments
from SpineFractureSegLib.engine.progress_output import progress_to

PRESETS = {
    "full": "the paper's protocol, days",
    "gpu": "minutes of a large GPU",
    "cpu": "small, hours",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    only = "some of the networks; decoder-skips is ours (default: the paper's)"
    add_training_arguments(parser, PRESETS, "network", only)


def run(arguments: argparse.Namespace) -> int:
    from SpineFractureSegLib.engine.paper_benchmark.cases import benchmark_cases
    from SpineFractureSegLib.engine.paper_benchmark.entries import COMPARISON, ENTRIES, chosen_entries
    from SpineFractureSegLib.engine.paper_benchmark.presets import preset
    from SpineFractureSegLib.engine.paper_benchmark.report import write_report
    from SpineFractureSegLib.engine.paper_benchmark.run import keep_cost, kept_results, run_network
    from SpineFractureSegLib.engine.paper_benchmark.tables import Row, markdown, rows_of, verdict
    from SpineFractureSegLib.engine.side_by_side import side_by_side
    from SpineFractureSegLib.engine.simulator.shapes import shape_library

    check_training_arguments(arguments)
    entries = chosen_entries(arguments.only)
    size = preset(arguments.preset)
    folder, on_progress = Path(arguments.output), progress_to(sys.stderr, arguments.progress)
    library = arguments.library or shape_library()
    cases = benchmark_cases(library, folder / "cases", size, arguments.processes, on_progress)
    runs = folder / "runs"

    def report() -> list[Row]:
        return write_report(folder, runs, size, ENTRIES, kept_results(runs, ENTRIES, arguments.seeds))

    each = [(entry, seed) for seed in range(arguments.seeds) for entry in entries]  # all once before any again
    work = partial(run_network, preset=size, cases=cases, folder=runs, device=arguments.device)
    side_by_side(work, each, arguments.jobs, on_progress, report)
    for entry in entries:  # now that nothing runs beside it
        keep_cost(entry, 0, size, runs, arguments.device)
    rows = report()
    print(markdown(rows))
    print(verdict(rows_of(rows, COMPARISON)))
    print(f"Written     {folder / 'paper.md'}, paper.csv, .html, .json and figures beside it")
    return 0
