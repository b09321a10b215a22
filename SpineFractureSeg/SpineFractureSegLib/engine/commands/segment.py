"""Find and outline spine fractures in a CT.

  spine-fracture-seg segment ct.nii.gz --output fractures.seg.nrrd --report findings.json --preview picture.png

CT is a NIfTI, NRRD or MHA file, or a DICOM folder or file of a series. The output lies on the CT's exact grid:
.seg.nrrd opens in 3D Slicer as a segmentation, with --vertebrae of two segments; .nii.gz, .nii, .nrrd and .mha hold 0
and 1. With --reference the report and the picture also say how well the result agrees with a mask drawn by hand. The
files appear together when all is done, or not at all. With --progress json, stderr begins with one object of device,
precision, model, version and pid, and goes on with one of stage, done and total a step. Exit code 0: done; 2: something
to mend, said in one sentence; 130: cancelled.

Research use only, not a medical device.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from SpineFractureSegLib.engine.preprocessing import PLANES
from SpineFractureSegLib.engine.progress_output import add_progress_argument, progress_to, write_json_line

if TYPE_CHECKING:
    import SimpleITK as sitk

    from SpineFractureSegLib.engine.metrics import Scores
    from SpineFractureSegLib.engine.model_file import Model
    from SpineFractureSegLib.engine.pipeline import SegmentationResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ct", metavar="CT", help="file, or DICOM folder")
    parser.add_argument("--output", required=True, metavar="OUT", help="segmentation: .seg.nrrd, .nii.gz, .nrrd, .mha")
    parser.add_argument("--vertebrae", action="store_true", help="a second segment, the vertebral bodies (.seg.nrrd)")
    parser.add_argument("--probability", metavar="P", help="probability of fracture as an image: .nii.gz, .nrrd, .mha")
    parser.add_argument("--report", metavar="JSON", help="findings, device, model, seconds, warnings")
    parser.add_argument("--preview", metavar="PNG", help="picture of three slices with outlines")
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
    from SpineFractureSegLib.engine.mask_reader import read_mask
    from SpineFractureSegLib.engine.metrics import evaluate
    from SpineFractureSegLib.engine.model_file import load_model
    from SpineFractureSegLib.engine.output_set import OutputSet
    from SpineFractureSegLib.engine.pipeline import segment_ct
    from SpineFractureSegLib.engine.preview import render_preview, write_preview
    from SpineFractureSegLib.engine.report import NOTICE, segmentation_report, write_json
    from SpineFractureSegLib.engine.spine_region import VERTEBRA_PROBABILITY
    from SpineFractureSegLib.engine.volume import read_ct
    from SpineFractureSegLib.engine.writers import write_mask, write_probability

    _check_outputs(arguments)
    read = read_ct(arguments.ct, series=arguments.series)
    reference = read_mask(arguments.reference) if arguments.reference else None
    if reference is not None:
        _refuse_elsewhere(read.image, reference)
    model = load_model(arguments.model)
    if arguments.vertebrae:
        _refuse_without_vertebrae(model)
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
    scores = None if reference is None else evaluate(result.mask, reference)

    vertebrae = result.vertebrae >= VERTEBRA_PROBABILITY if arguments.vertebrae else None
    compress = not arguments.uncompressed
    with OutputSet() as outputs:
        write_mask(outputs.place(arguments.output), result.mask, vertebrae, compress=compress)
        if arguments.probability:
            write_probability(outputs.place(arguments.probability), result.probability, compress=compress)
        if arguments.report:
            report = segmentation_report(result, ct=arguments.ct, warnings=read.warnings, scores=scores)
            write_json(outputs.place(arguments.report), report)
        if arguments.preview:
            picture = render_preview(
                read.image,
                result.mask,
                reference=reference,
                vertebrae=result.vertebrae,
                title=Path(arguments.ct).name,
                caption=_caption(result, scores),
            )
            write_preview(outputs.place(arguments.preview), picture)

    for warning in [*read.warnings, *result.warnings]:
        print(f"warning: {warning}", file=sys.stderr)
    print("\n".join([*_summary(result, scores), f"Written     {', '.join(_output_paths(arguments))}", NOTICE]))
    return 0


def _check_outputs(arguments: argparse.Namespace) -> None:
    """What would only fail after the long work fails now."""
    from SpineFractureSegLib.engine.atomic_file import check_place
    from SpineFractureSegLib.engine.errors import UserError
    from SpineFractureSegLib.engine.writers import IMAGE_SUFFIXES, check_output_path

    paths = _output_paths(arguments)
    inputs = {Path(path).resolve() for path in (arguments.ct, arguments.reference) if path}
    for number, path in enumerate(paths):
        if Path(path).resolve() in inputs:
            raise UserError(f"{path} is an input of this run and would be overwritten; choose another output.")
        if Path(path).resolve() in {Path(other).resolve() for other in paths[:number]}:
            raise UserError(f"{path} is named for two outputs; give each its own file.")
    if arguments.vertebrae and not arguments.output.lower().endswith(".seg.nrrd"):
        raise UserError(
            f"--vertebrae makes a second segment, which '{Path(arguments.output).name}' cannot hold; choose .seg.nrrd."
        )
    check_output_path(arguments.output)
    if arguments.probability:
        check_output_path(arguments.probability, IMAGE_SUFFIXES)
    if arguments.report:
        check_place(arguments.report, ".json")
    if arguments.preview:
        check_place(arguments.preview, ".png")


def _refuse_elsewhere(ct: "sitk.Image", reference: "sitk.Image") -> None:
    """A reference of another place is refused before the long work: nothing at all can be compared with it."""
    import SimpleITK as sitk

    from SpineFractureSegLib.engine.metrics import evaluate

    if ct.GetDimension() == 3:
        nothing = sitk.Image(ct.GetSize(), sitk.sitkUInt8)
        nothing.CopyInformation(ct)
        evaluate(nothing, reference)


def _refuse_without_vertebrae(model: "Model") -> None:
    from SpineFractureSegLib.engine.errors import UserError

    if "vertebra" not in model.network_config.outputs:
        raise UserError(
            f"The model {model.card.name} outlines fractures only, no vertebrae: leave out --vertebrae or choose "
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


def _output_paths(arguments: argparse.Namespace) -> list[str]:
    paths = (arguments.output, arguments.probability, arguments.report, arguments.preview)
    return [path for path in paths if path is not None]


def _summary(result: "SegmentationResult", scores: "Scores | None") -> list[str]:
    """What a person wants to see at once."""
    lines = [
        f"Model       {result.model.name}, version {result.model.version}",
        f"Device      {result.device}, {result.precision}, batch {result.batch_size}",
        f"Time        {result.seconds:.1f} s",
        f"Findings    {len(result.findings)}",
    ]
    if result.findings:
        lines.append(f"  {'id':>3}  {'volume':>9}  {'center R, A, S (mm)':>24}  {'extent (mm)':>15}  probability")
    for finding in result.findings:
        center = ", ".join(f"{value:.1f}" for value in finding.centroid_ras_mm)
        extent = " x ".join(f"{value:.0f}" for value in finding.extent_mm)
        lines.append(
            f"  {finding.id:>3}  {finding.volume_mm3 / 1000:>6.1f} mL  {center:>24}  {extent:>15}  "
            f"mean {finding.probability_mean:.2f}, max {finding.probability_max:.2f}"
        )
    if scores is not None:
        lines.append(f"Reference   {_agreement(scores)}")
    return lines


def _caption(result: "SegmentationResult", scores: "Scores | None") -> tuple[str, ...]:
    """The lines below the picture."""
    count = len(result.findings)
    found = f"{count} finding{'' if count == 1 else 's'}"
    if result.findings:
        largest = result.findings[0]
        found += f"; largest {largest.volume_mm3 / 1000:.1f} mL, mean probability {largest.probability_mean:.2f}"
    lines = [f"{found}  |  model {result.model.name} {result.model.version}, {result.device}, {result.seconds:.1f} s"]
    if scores is not None:
        lines.append(f"Against the reference: {_agreement(scores)}")
    return tuple(lines)


def _agreement(scores: "Scores") -> str:
    if scores.both_empty:
        return "no fracture in either"
    return f"Dice {scores.dice:.3f}, IoU {scores.iou:.3f}"


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
