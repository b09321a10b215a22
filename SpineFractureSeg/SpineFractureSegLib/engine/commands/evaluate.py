"""Compare a segmentation with a reference: Dice, IoU, surface distances, lesions found and missed.

  spine-fracture-seg evaluate fractures.seg.nrrd drawn_by_hand.seg.nrrd --report scores.json

Both are label maps or Slicer segmentations (NIfTI, NRRD, MHA); every label counts as fracture. The scores are those
of the foreground; `iou_two_class` is the mean over foreground and background and is named so.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prediction", metavar="PREDICTION", help="the mask to judge")
    parser.add_argument("reference", metavar="REFERENCE", help="the mask that is taken as true")
    parser.add_argument("--report", metavar="JSON", help="all scores as JSON")


def run(arguments: argparse.Namespace) -> int:
    from SpineFractureSegLib.engine.atomic_file import check_place
    from SpineFractureSegLib.engine.errors import UserError
    from SpineFractureSegLib.engine.mask_reader import read_mask
    from SpineFractureSegLib.engine.metrics import evaluate
    from SpineFractureSegLib.engine.report import write_json

    if arguments.report and Path(arguments.report).resolve() in {
        Path(path).resolve() for path in (arguments.prediction, arguments.reference)
    }:
        raise UserError(f"'{arguments.report}' is an input and would be overwritten; choose another report.")
    if arguments.report:
        check_place(arguments.report, ".json")
    scores = evaluate(read_mask(arguments.prediction), read_mask(arguments.reference)).to_json()
    if arguments.report:
        write_json(arguments.report, scores)
    for name, value in scores.items():
        print(f"{name:<28} {_shown(value)}")
    return 0


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_shown(item)}" for key, item in value.items())
    return f"{value:.4f}" if isinstance(value, float) else str(value)
