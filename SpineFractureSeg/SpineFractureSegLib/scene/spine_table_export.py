"""The spine table as CSV, and the report with pictures as one HTML file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.result_tables import FINDINGS_ROLE, readFindings
from SpineFractureSegLib.scene.run_record import readRecord
from SpineFractureSegLib.scene.spine_table import SPINE_ROLE, readOutside, readSpine
from SpineFractureSegLib.scene.spine_table_picture import imagesAround

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from PIL import Image
    from slicer import vtkMRMLSegmentationNode

    from SpineFractureSegLib.engine.findings import Finding
    from SpineFractureSegLib.engine.vertebrae.vertebra import Vertebra

_SPINE_HEIGHT = 900  # pixels


def saveSpineTable(segmentationNode: vtkMRMLSegmentationNode, path: str | Path) -> None:
    """Raises: UserError, when there are no vertebrae or the file cannot be written."""
    from SpineFractureSegLib.engine.spine_report.table import write_spine_csv

    spine = readSpine(segmentationNode.GetNodeReference(SPINE_ROLE))
    if not spine:
        raise UserError(_("This segmentation has no table of vertebrae: run it with a model that outlines them."))
    write_spine_csv(path, spine)


def saveSpineReport(segmentationNode: vtkMRMLSegmentationNode, path: str | Path) -> None:
    """Raises: UserError, when the segmentation is not of this module or the file cannot be written."""
    from SpineFractureSegLib.engine.spine_report.page import RunFacts, write_spine_page

    record = readRecord(segmentationNode)
    if record is None:
        raise UserError(_("This segmentation was not made by a run of this module: run it for a report."))
    tableNode = segmentationNode.GetNodeReference(SPINE_ROLE)
    spine, findings = readSpine(tableNode), _findings(segmentationNode)
    volumeNode = segmentationNode.GetNodeReference(segmentationNode.GetReferenceImageGeometryReferenceRole())
    facts = RunFacts(
        ct=volumeNode.GetName() if volumeNode else segmentationNode.GetName(),
        model=record.model,
        device=f"{record.device}, {record.precision}",
        seconds=record.seconds,
        threshold=record.threshold,
        warnings=record.warnings,
    )
    outside = [finding for finding in findings if tableNode is None or finding.id in readOutside(tableNode)]
    write_spine_page(path, facts, spine, outside, _pictures(segmentationNode, spine, findings))


def _pictures(
    segmentationNode: vtkMRMLSegmentationNode, spine: Sequence[Vertebra], findings: Sequence[Finding]
) -> list[tuple[Image.Image, str]]:
    """With what stands below each; none where the CT is gone or there is nothing to look at."""
    from SpineFractureSegLib.engine.preview import render_preview
    from SpineFractureSegLib.engine.spine_report.picture import render_spine

    points = [item.centroid_ras_mm for item in (*spine, *findings)]
    images = imagesAround(segmentationNode, points) if points else None
    if images is None:
        return []
    picture = render_spine(*images, spine, height=_SPINE_HEIGHT)
    pictures = [] if picture is None else [(picture.image, _("The spine, straightened along the vertebral bodies."))]
    slices = render_preview(*images, title=segmentationNode.GetName())
    return [*pictures, (slices, _("Axial, sagittal and coronal slice through the largest finding."))]


def _findings(segmentationNode: vtkMRMLSegmentationNode) -> list[Finding]:
    """As the findings table tells."""
    from SpineFractureSegLib.engine.findings import Finding

    tableNode = segmentationNode.GetNodeReference(FINDINGS_ROLE)
    rows = readFindings(tableNode) if tableNode else []
    return [
        Finding(int(number), (r, a, s), volume * 1e3, (width, depth, height), mean, highest)
        for number, volume, r, a, s, width, depth, height, mean, highest in rows
    ]
