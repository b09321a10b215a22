"""The files of one run of ``segment``: whether they can be written, and writing them together or not at all."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk
from PIL import Image

from SpineFractureSegLib.engine.atomic_file import check_place
from SpineFractureSegLib.engine.commands.segment_summary import caption
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.metrics import Scores
from SpineFractureSegLib.engine.output_set import OutputSet
from SpineFractureSegLib.engine.pipeline import SegmentationResult
from SpineFractureSegLib.engine.preview import render_preview, write_preview
from SpineFractureSegLib.engine.report import segmentation_report, write_json
from SpineFractureSegLib.engine.spine_region import VERTEBRA_PROBABILITY
from SpineFractureSegLib.engine.spine_report.dicom_source import read_source, require_dicom_packages
from SpineFractureSegLib.engine.spine_report.outside import findings_outside
from SpineFractureSegLib.engine.spine_report.page import RunFacts, write_spine_page
from SpineFractureSegLib.engine.spine_report.picture import render_spine
from SpineFractureSegLib.engine.spine_report.table import write_spine_csv
from SpineFractureSegLib.engine.volume import VolumeRead
from SpineFractureSegLib.engine.writers import (
    IMAGE_SUFFIXES,
    check_output_path,
    write_labels,
    write_mask,
    write_probability,
)

_PAGE_SPINE_HEIGHT = 900  # pixels
_SUFFIXES = {"report": ".json", "preview": ".png", "spine_table": ".csv", "html": ".html"}
_DICOM_SUFFIX = ".dcm"
_NAMES = ("output", "probability", "bodies", "report", "preview", "spine_table", "html", "dicom_seg", "dicom_sr")


@dataclass(frozen=True)
class RunFiles:
    """What a run was made from and came to."""

    read: VolumeRead
    result: SegmentationResult
    threshold: float
    reference: sitk.Image | None
    scores: Scores | None  # against the reference


def output_paths(arguments: argparse.Namespace) -> list[str]:
    """Of the files that were asked for."""
    return [path for name in _NAMES if (path := getattr(arguments, name)) is not None]


def check_outputs(arguments: argparse.Namespace) -> None:
    """What would only fail after the long work fails now.

    Raises: UserError.
    """
    paths = output_paths(arguments)
    inputs = {Path(path).resolve() for path in (arguments.ct, arguments.reference, arguments.levels) if path}
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
    for image in (arguments.probability, arguments.bodies):
        if image:
            check_output_path(image, IMAGE_SUFFIXES)
    for name, suffix in _SUFFIXES.items():
        if getattr(arguments, name):
            check_place(getattr(arguments, name), suffix)
    if arguments.dicom_sr and not arguments.dicom_seg:
        raise UserError("--dicom-sr refers to the segmentation of the same run: give --dicom-seg, too.")
    for path in (arguments.dicom_seg, arguments.dicom_sr):
        if path:
            check_place(path, _DICOM_SUFFIX)
            require_dicom_packages()


def write_outputs(arguments: argparse.Namespace, run: RunFiles) -> None:
    """Writes what was asked for.

    Raises: UserError; then nothing of it is there.
    """
    result, compress = run.result, not arguments.uncompressed
    vertebrae = result.vertebrae >= VERTEBRA_PROBABILITY if arguments.vertebrae else None
    with OutputSet() as outputs:
        write_mask(outputs.place(arguments.output), result.mask, vertebrae, compress=compress)
        if arguments.probability:
            write_probability(outputs.place(arguments.probability), result.probability, compress=compress)
        if arguments.bodies:
            write_labels(outputs.place(arguments.bodies), result.labels, compress=compress)
        if arguments.report:
            report = segmentation_report(result, ct=arguments.ct, warnings=run.read.warnings, scores=run.scores)
            write_json(outputs.place(arguments.report), report)
        if arguments.preview:
            write_preview(outputs.place(arguments.preview), _preview(arguments, run))
        if arguments.spine_table:
            write_spine_csv(outputs.place(arguments.spine_table), result.spine)
        if arguments.html:
            _write_html(outputs.place(arguments.html), arguments, run)
        if arguments.dicom_seg:
            _write_dicom(arguments, outputs, run, vertebrae)


def _preview(arguments: argparse.Namespace, run: RunFiles) -> Image.Image:
    return render_preview(
        run.read.image,
        run.result.mask,
        reference=run.reference,
        vertebrae=run.result.vertebrae,
        spine=run.result.spine,
        title=Path(arguments.ct).name,
        caption=caption(run.result, run.scores),
    )


def _write_html(path: Path, arguments: argparse.Namespace, run: RunFiles) -> None:
    result, ct = run.result, run.read.image
    facts = RunFacts(
        ct=Path(arguments.ct).name,
        model=f"{result.model.name}, version {result.model.version}",
        device=f"{result.device}, {result.precision}",
        seconds=result.seconds,
        threshold=run.threshold,
        warnings=(*run.read.warnings, *result.warnings),
    )
    spine = render_spine(ct, result.mask, result.spine, height=_PAGE_SPINE_HEIGHT)
    slices = render_preview(ct, result.mask, reference=run.reference, vertebrae=result.vertebrae, title=facts.ct)
    pictures = [] if spine is None else [(spine.image, "The spine, straightened along the vertebral bodies.")]
    pictures.append((slices, "Axial, sagittal and coronal slice through the largest finding."))
    outside = findings_outside(result.findings, result.mask, result.probability, result.labels)
    write_spine_page(path, facts, result.spine, outside, pictures)


def _write_dicom(
    arguments: argparse.Namespace, outputs: OutputSet, run: RunFiles, vertebrae: sitk.Image | None
) -> None:
    from SpineFractureSegLib.engine.spine_report.dicom_seg import make_segmentation, write_dicom
    from SpineFractureSegLib.engine.spine_report.dicom_sr import make_report

    result, source = run.result, read_source(run.read.series)
    model = {"model": result.model.name, "version": result.model.version}
    segmentation = make_segmentation(source, result.mask, vertebrae, **model)
    write_dicom(outputs.place(arguments.dicom_seg), segmentation)
    if arguments.dicom_sr:
        report = make_report(source, segmentation, result.mask, result.spine, **model)
        write_dicom(outputs.place(arguments.dicom_sr), report)
