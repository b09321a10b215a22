"""Find and outline spine fractures in a CT.

  spine-fracture-seg segment ct.nii.gz --output fractures.seg.nrrd --report findings.json --preview picture.png

CT is a NIfTI, NRRD or MHA file, or a DICOM folder or file of a series. The output lies on the CT's exact grid:
.seg.nrrd opens in 3D Slicer as a segmentation, with --vertebrae of two segments; .nii.gz, .nii, .nrrd and .mha hold 0
and 1. With --reference the report and the picture also say how well the result agrees with a mask drawn by hand.

Each vertebra is measured: --spine-table and --html write fracture probability, heights, Genant grade and trabecular
Hounsfield units. Vertebrae are numbered from the top; their levels are known with --levels (a label map of
TotalSegmentator, SPINEPS or VerSe, or a Slicer segmentation) or --level (one vertebra named by a point in it, RAS in
mm: --level L3@-4.5,20,310). From DICOM, --dicom-seg and --dicom-sr write a segmentation and a structured report.

The files appear together when all is done, or not at all. With --progress json, stderr begins with one object of
device, precision, model, version and pid, and goes on with one of stage, done and total a step. Exit code 0: done; 2:
something to mend, said in one sentence; 130: cancelled.

Research use only, not a medical device.
"""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from SpineFractureSegLib.engine.preprocessing import PLANES
from SpineFractureSegLib.engine.progress_output import add_progress_argument, progress_to, write_json_line

if TYPE_CHECKING:
    import SimpleITK as sitk

    from SpineFractureSegLib.engine.model_file import Model
    from SpineFractureSegLib.engine.pipeline import SegmentationResult

_OF_VERTEBRAE = ("vertebrae", "spine_table", "levels", "level")  # arguments that need the vertebra channel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ct", metavar="CT", help="file, or DICOM folder")
    parser.add_argument("--output", required=True, metavar="OUT", help="segmentation: .seg.nrrd, .nii.gz, .nrrd, .mha")
    parser.add_argument("--vertebrae", action="store_true", help="a second segment, the vertebral bodies (.seg.nrrd)")
    parser.add_argument("--probability", metavar="P", help="probability of fracture as an image: .nii.gz, .nrrd, .mha")
    parser.add_argument("--report", metavar="JSON", help="findings, device, model, seconds, warnings")
    parser.add_argument("--preview", metavar="PNG", help="picture of three slices and the straightened spine")
    parser.add_argument("--spine-table", metavar="CSV", help="one row per vertebra: probability, heights, grade, HU")
    parser.add_argument("--html", metavar="HTML", help="report to read: pictures, vertebrae, findings; one file")
    parser.add_argument("--bodies", metavar="B", help="vertebral bodies by number as an image: .nii.gz, .nrrd, .mha")
    parser.add_argument("--dicom-seg", metavar="DCM", help="segmentation as DICOM, of a CT that was read from DICOM")
    parser.add_argument("--dicom-sr", metavar="DCM", help="the vertebrae as a DICOM structured report (TID 1500)")
    names = parser.add_mutually_exclusive_group()
    names.add_argument("--levels", metavar="MAP", help="label map of vertebrae that tells their levels")
    names.add_argument("--level", metavar="L3@R,A,S", help="one vertebra's level, and a point in it, in mm")
    parser.add_argument("--reference", metavar="R", help="a mask to compare with; nonzero is fracture")
    parser.add_argument("--model", metavar="NAME|PATH", help="default: the bundled model; see `models list`")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    parser.add_argument("--planes", type=_planes, metavar="A,B", help="planes to segment, by default the model's")
    parser.add_argument("--threshold", type=_probability, metavar="T", help="between 0 and 1, by default the model's")
    parser.add_argument("--min-volume", type=_volume, metavar="MM3", help="smallest finding, by default the model's")
    parser.add_argument("--batch-size", type=_positive, metavar="N", help="slices at once, by default what fits")
    parser.add_argument("--series", help="number or UID of the series, where a DICOM folder has several")
    parser.add_argument("--uncompressed", action="store_true", help="larger images, sooner written (not .nii.gz)")
    add_progress_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    from SpineFractureSegLib.engine.commands.segment_outputs import RunFiles, check_outputs, output_paths, write_outputs
    from SpineFractureSegLib.engine.commands.segment_summary import summary
    from SpineFractureSegLib.engine.mask_reader import read_mask
    from SpineFractureSegLib.engine.metrics import evaluate
    from SpineFractureSegLib.engine.model_file import load_model
    from SpineFractureSegLib.engine.pipeline import segment_ct
    from SpineFractureSegLib.engine.report import NOTICE
    from SpineFractureSegLib.engine.spine_report.dicom_source import read_source
    from SpineFractureSegLib.engine.volume import read_ct

    check_outputs(arguments)
    name_levels = _levels(arguments)
    read = read_ct(arguments.ct, series=arguments.series)
    if arguments.dicom_seg:
        read_source(read.series)
    reference = read_mask(arguments.reference) if arguments.reference else None
    if reference is not None:
        _refuse_elsewhere(read.image, reference)
    model = load_model(arguments.model)
    _refuse_without_vertebrae(arguments, model)
    if arguments.progress == "json":
        write_json_line(sys.stderr, _facts(arguments, model))
    result = segment_ct(
        read.image,
        model,
        device=arguments.device,
        planes=arguments.planes,
        threshold=arguments.threshold,
        min_volume_mm3=arguments.min_volume,
        batch_size=arguments.batch_size,
        on_progress=progress_to(sys.stderr, arguments.progress),
    )
    result = name_levels(result)
    scores = None if reference is None else evaluate(result.mask, reference)
    threshold = model.card.threshold if arguments.threshold is None else arguments.threshold
    write_outputs(arguments, RunFiles(read, result, threshold, reference, scores))

    for warning in [*read.warnings, *result.warnings]:
        print(f"warning: {warning}", file=sys.stderr)
    print("\n".join([*summary(result, scores), f"Written     {', '.join(output_paths(arguments))}", NOTICE]))
    return 0


def _levels(arguments: argparse.Namespace) -> "Callable[[SegmentationResult], SegmentationResult]":
    """What names the vertebrae of a result; what the user gave for it is read now, before the long work."""
    from SpineFractureSegLib.engine.errors import UserError
    from SpineFractureSegLib.engine.vertebrae.levels import (
        levels_from_map,
        levels_from_point,
        parse_named_point,
        read_level_map,
    )

    level_map = read_level_map(arguments.levels) if arguments.levels else None
    point = parse_named_point(arguments.level) if arguments.level else None

    def name_levels(result: "SegmentationResult") -> "SegmentationResult":
        try:
            if level_map is not None and result.spine:
                return replace(result, spine=levels_from_map(result.spine, result.labels, *level_map))
            if point is not None:
                return replace(result, spine=levels_from_point(result.spine, result.labels, *point))
        except UserError as error:  # the segmentation is worth more than its names
            return replace(result, warnings=[*result.warnings, f"The vertebrae are not named: {error}"])
        return result

    return name_levels


def _refuse_elsewhere(ct: "sitk.Image", reference: "sitk.Image") -> None:
    """A reference of another place is refused before the long work: nothing at all can be compared with it."""
    import SimpleITK as sitk

    from SpineFractureSegLib.engine.metrics import evaluate

    if ct.GetDimension() == 3:
        nothing = sitk.Image(ct.GetSize(), sitk.sitkUInt8)
        nothing.CopyInformation(ct)
        evaluate(nothing, reference)


def _refuse_without_vertebrae(arguments: argparse.Namespace, model: "Model") -> None:
    from SpineFractureSegLib.engine.errors import UserError

    asked = [name for name in _OF_VERTEBRAE if getattr(arguments, name)]
    if asked and "vertebra" not in model.network_config.outputs:
        options = " and ".join(f"--{name.replace('_', '-')}" for name in asked)
        raise UserError(
            f"The model {model.card.name} outlines fractures only, no vertebrae: leave out {options} or choose "
            "another model."
        )


def _facts(arguments: argparse.Namespace, model: "Model") -> dict:
    """What a program that watches this run shows from the start; the process's id, because a launcher has its own."""
    from SpineFractureSegLib.engine.device import choose_placement

    placement, _ = choose_placement(arguments.device, arguments.batch_size)
    return {
        "device": str(placement.device),
        "precision": placement.precision_name,
        "model": model.card.name,
        "version": model.card.version,
        "pid": os.getpid(),
    }


def _planes(text: str) -> tuple[str, ...]:
    planes = tuple(part.strip() for part in text.split(","))
    if set(planes) - set(PLANES) or len(set(planes)) < len(planes):
        raise argparse.ArgumentTypeError(f"planes are different ones of {', '.join(PLANES)}, not {text!r}")
    return planes


def _probability(text: str) -> float:
    return _number(text, "a number between 0 and 1", lambda value: 0.0 < value < 1.0)


def _volume(text: str) -> float:
    return _number(text, "a volume in mm3, 0 or more", lambda value: 0.0 <= value < float("inf"))


def _positive(text: str) -> int:
    return int(_number(text, "a whole number from 1 on", lambda value: 1 <= value < 2**31 and value == int(value)))


def _number(text: str, expected: str, is_valid: Callable[[float], bool]) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not is_valid(value):
        raise argparse.ArgumentTypeError(f"expected {expected}, found {text!r}")
    return value
