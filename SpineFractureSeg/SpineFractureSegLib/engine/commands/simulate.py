"""Simulate fractures on real spines: cases to train and to test on.

  spine-fracture-seg simulate --count 20 --output cases
  spine-fracture-seg simulate --split test --held-out --count 24 --images --output test-cases
  spine-fracture-seg simulate --ct ct.nii.gz --labels vertebrae.nii.gz --count 5 --images --output mine

Without --ct and --labels the spines of the shape library are used, with their real CTs as negatives. A case is one
.npz file: CT at 1 mm, vertebral bodies, which of them are fractured, and the height losses. --images also writes each
case as CT, label map and segmentation that any viewer opens. The same seed gives the same cases; an interrupted call
goes on where it was stopped.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from SpineFractureSegLib.engine.progress_output import add_progress_argument, progress_to


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", required=True, metavar="FOLDER")
    parser.add_argument("--count", type=int, default=20, help="simulated cases (default: 20)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--library", metavar="FOLDER", help="default: the shape library of the clone")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="train")
    parser.add_argument("--ct", metavar="CT", help="CT to put fractures into, instead of the library")
    parser.add_argument("--labels", metavar="L", help="vertebra label map, with --ct or alone")
    parser.add_argument("--label-ids", choices=("verse", "totalsegmentator"), default="verse")
    parser.add_argument("--held-out", action="store_true", help="scanners and patterns that training never draws")
    parser.add_argument("--images", action="store_true", help="also write images that any viewer opens")
    parser.add_argument("--processes", type=int, default=1)
    add_progress_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    from SpineFractureSegLib.engine.case import load_case
    from SpineFractureSegLib.engine.errors import UserError
    from SpineFractureSegLib.engine.simulator.config import HELD_OUT, SimulationConfig
    from SpineFractureSegLib.engine.simulator.generate import generate_cases
    from SpineFractureSegLib.engine.simulator.shapes import save_spine, shape_library

    if arguments.count < 0 or arguments.processes < 1:
        raise UserError("--count must be 0 or more and --processes 1 or more.")
    if arguments.ct and not arguments.labels:
        raise UserError("--ct needs --labels, a vertebra label map of the same patient, to know where to fracture.")
    with tempfile.TemporaryDirectory() as own:
        library, split = arguments.library or shape_library(), arguments.split
        if arguments.labels:
            library, split = own, "train"
            save_spine(Path(own) / "spine.npz", _own_spine(arguments))
        made = generate_cases(
            library,
            split,
            arguments.count,
            arguments.output,
            seed=arguments.seed,
            config=HELD_OUT if arguments.held_out else SimulationConfig(),
            processes=arguments.processes,
            on_progress=progress_to(sys.stderr, arguments.progress),
        )
    if arguments.images:
        from SpineFractureSegLib.engine.simulator.export import write_case_images

        for path in made.simulated:
            write_case_images(load_case(path), Path(arguments.output) / "images")
    print(f"{len(made.simulated)} simulated cases and {len(made.real_negatives)} real CTs in {made.folder}")
    return 0


def _own_spine(arguments: argparse.Namespace):
    from SpineFractureSegLib.engine.errors import UserError
    from SpineFractureSegLib.engine.simulator.shape_builder import TOTALSEGMENTATOR_TO_VERSE, VERSE_IDS, build_spine

    for path in (arguments.ct, arguments.labels):
        if path and not Path(path).is_file():
            raise UserError(f"There is no file {path}.")
    ids = TOTALSEGMENTATOR_TO_VERSE if arguments.label_ids == "totalsegmentator" else VERSE_IDS
    spine = build_spine(
        arguments.ct,
        arguments.labels,
        label_ids=ids,
        name="spine",
        patient=Path(arguments.labels).name,
        split="train",
        source=arguments.labels,
        licence="the user's own",
    )
    if not spine.ids:
        raise UserError(f"{arguments.labels} holds no vertebral body with {arguments.label_ids} ids; try --label-ids.")
    return spine
