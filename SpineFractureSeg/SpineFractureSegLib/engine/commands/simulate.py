"""Simulate fractures on real spines: cases to train and to test on.

  spine-fracture-seg simulate --count 20 --output cases
  spine-fracture-seg simulate --split test --held-out --count 24 --images --output test-cases
  spine-fracture-seg simulate --ct ct.nii.gz --labels vertebrae.nii.gz --count 5 --images --output mine
  spine-fracture-seg simulate --ct ct.nii.gz --labels vertebrae.nii.gz --vertebra 22 --type wedge --output one
  spine-fracture-seg simulate --gallery --output gallery

Without --ct and --labels the spines of the shape library are used, with their real CTs as negatives. A case is one
.npz file: CT at 1 mm, vertebral bodies, which of them are fractured, and the height losses. --images also writes each
case as CT, label map and segmentation that any viewer opens. --vertebra fractures one vertebra of the CT, by VerSe id
(1-7 C1-C7, 8-19 T1-T12, 20-24 L1-L5, 26 sacrum), and writes CT and reference on the CT's own grid; all else stays as
it is. --gallery writes one contact sheet (.png) per type of fracture, one of intact vertebrae that look suspicious, one
of worn discs, and a figure of the height ratios beside those of real fractures, those of --shapes among them. The same
seed gives the same result; an interrupted call goes on where it was stopped.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from SpineFractureSegLib.engine.commands.shape_arguments import add_mesh_arguments, check_mesh_arguments
from SpineFractureSegLib.engine.progress_output import add_progress_argument, progress_to

# as in fractures.py and part_fractures.py, without loading numpy for every command's help; a test holds them together
KINDS = ("wedge", "lateral", "biconcave", "crush", "burst", "split", "pincer", "chance")
PART_KINDS = ("odontoid", "spinous", "transverse", "arch", "sacral_wing", "sacral_body")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", required=True, metavar="FOLDER")
    parser.add_argument("--count", type=int, default=20, help="simulated cases (default: 20)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--library", metavar="FOLDER", help="default: the shape library of the clone")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="train")
    parser.add_argument("--ct", metavar="CT", help="CT to put fractures into, instead of the library")
    parser.add_argument("--labels", metavar="L", help="vertebra label map, with --ct or alone")
    parser.add_argument("--label-ids", choices=("verse", "totalsegmentator"), default="verse")
    parser.add_argument("--vertebra", type=int, metavar="ID", help="fracture this one alone, on the CT's own grid")
    parser.add_argument("--type", choices=(*KINDS, *PART_KINDS), default="wedge", help="with --vertebra")
    parser.add_argument("--height-loss", type=_range, default=(0.3, 0.5), metavar="LOW,HIGH", help="with --vertebra")
    parser.add_argument("--held-out", action="store_true", help="scanners and patterns that training never draws")
    parser.add_argument("--gallery", action="store_true", help="contact sheets to look at, instead of cases")
    add_mesh_arguments(parser, "with --gallery: ")
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
    check_mesh_arguments(arguments)
    if arguments.shapes and not arguments.gallery:
        raise UserError("--shapes adds real shapes to the gallery's figure of heights; give --gallery as well.")
    if arguments.vertebra is not None:
        return _fracture_one(arguments)
    with tempfile.TemporaryDirectory() as own:
        library, split = arguments.library or shape_library(), arguments.split
        if arguments.labels:
            library, split = own, "train"
            save_spine(Path(own) / "spine.npz", _own_spine(arguments))
        if arguments.gallery:
            return _gallery(arguments, library)
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
    if made.cpu_seconds is not None:
        print(f"{made.cpu_seconds:.2f} seconds of processor time per simulated volume")
    return 0


def _gallery(arguments: argparse.Namespace, library: str | Path) -> int:
    from SpineFractureSegLib.engine.benchmark.mesh_shapes import shapes_of_table
    from SpineFractureSegLib.engine.simulator.gallery import write_gallery
    from SpineFractureSegLib.engine.simulator.height_figure import collect_ratios, write_height_figure
    from SpineFractureSegLib.engine.simulator.shapes import load_library

    spines = [spine for spine in load_library(library) if spine.ids]
    real = shapes_of_table(arguments.shapes, arguments.shapes_table, spines) if arguments.shapes else []
    shapes = [(shape.spine, shape.grades) for shape in real]
    paths = write_gallery(
        spines,
        arguments.output,
        seed=arguments.seed,
        on_progress=progress_to(sys.stderr, arguments.progress),
    )
    figure, numbers = write_height_figure(collect_ratios(spines, seed=arguments.seed, shapes=shapes), arguments.output)
    print(f"{len(paths)} contact sheets, {figure.name} and {numbers.name} in {arguments.output}")
    return 0


def _fracture_one(arguments: argparse.Namespace) -> int:
    import SimpleITK as sitk

    from SpineFractureSegLib.engine.errors import UserError
    from SpineFractureSegLib.engine.output_set import OutputSet
    from SpineFractureSegLib.engine.simulator.fracture_ct import fracture_ct
    from SpineFractureSegLib.engine.volume import read_ct, read_image
    from SpineFractureSegLib.engine.writers import write_mask

    if not arguments.ct:
        raise UserError("--vertebra needs --ct and --labels: the CT to put the fracture into, and where its bones are.")
    try:
        ct, reference, truth = fracture_ct(
            read_ct(arguments.ct).image,
            read_image(arguments.labels),
            arguments.vertebra,
            arguments.type,
            arguments.height_loss,
            arguments.seed,
            _label_ids(arguments),
        )
    except ValueError as error:
        raise UserError(f"This fracture cannot be made: {error}.") from error
    folder = Path(arguments.output)
    folder.mkdir(parents=True, exist_ok=True)
    with OutputSet() as outputs:
        sitk.WriteImage(ct, str(outputs.place(folder / "simulated_ct.nii.gz")), useCompression=True)
        write_mask(outputs.place(folder / "simulated_fracture.seg.nrrd"), reference)
    about = truth["vertebrae"][str(arguments.vertebra)]
    print(f"{arguments.type} of {arguments.vertebra} in {folder}; {about['part']}, height lost: {about['height_loss']}")
    return 0


def _label_ids(arguments: argparse.Namespace) -> dict[int, int]:
    from SpineFractureSegLib.engine.simulator.shape_builder import TOTALSEGMENTATOR_TO_VERSE, VERSE_IDS

    return TOTALSEGMENTATOR_TO_VERSE if arguments.label_ids == "totalsegmentator" else VERSE_IDS


def _range(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = 1.0, 0.0
    if not 0.1 <= low < high <= 0.7:
        raise argparse.ArgumentTypeError(f"expected two shares such as 0.3,0.5 between 0.1 and 0.7, found {text!r}")
    return low, high


def _own_spine(arguments: argparse.Namespace):
    from SpineFractureSegLib.engine.errors import UserError
    from SpineFractureSegLib.engine.simulator.shape_builder import build_spine

    for path in (arguments.ct, arguments.labels):
        if path and not Path(path).is_file():
            raise UserError(f"There is no file {path}.")
    spine = build_spine(
        arguments.ct,
        arguments.labels,
        label_ids=_label_ids(arguments),
        name="spine",
        patient=Path(arguments.labels).name,
        split="train",
        source=arguments.labels,
        licence="the user's own",
    )
    if not spine.ids:
        raise UserError(f"{arguments.labels} holds no vertebral body with {arguments.label_ids} ids; try --label-ids.")
    return spine
