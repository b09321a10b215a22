"""Another threshold on the result of the last run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.result_tables import FINDINGS_ROLE, tableFor, writeFindings
from SpineFractureSegLib.scene.run_record import readRecord, writeRecord
from SpineFractureSegLib.scene.segmentation_writer import writeSegments
from SpineFractureSegLib.scene.spine_table import SPINE_ROLE, readSpine, updateSpine
from SpineFractureSegLib.scene.volume_reader import ijkToWorld

if TYPE_CHECKING:
    from slicer import vtkMRMLSegmentationNode

    from SpineFractureSegLib.engine.findings import Finding
    from SpineFractureSegLib.scene.kept_result import KeptResult


def rethreshold(
    segmentationNode: vtkMRMLSegmentationNode, kept: KeptResult | None, threshold: float, minVolumeMm3: float | None
) -> list[Finding]:
    """Replaces the segment "Fracture", the findings and the flags of the vertebrae; the run's record keeps its id.

    Raises: UserError, when there is nothing to work on or a number is out of range.
    """
    from SpineFractureSegLib.engine.writers import FRACTURE

    record = readRecord(segmentationNode)
    if kept is None or record is None:
        raise UserError(
            _("The probability of this segmentation is no longer at hand: run it again to change the threshold.")
        )
    volumeNode = segmentationNode.GetNodeReference(segmentationNode.GetReferenceImageGeometryReferenceRole())
    if volumeNode is None:
        raise UserError(_("The CT of this segmentation is no longer in the scene: load it and run again."))
    minVolumeMm3 = record.minVolumeMm3 if minVolumeMm3 is None else minVolumeMm3
    if not 0 < threshold < 1 or minVolumeMm3 < 0:
        raise UserError(
            _("The threshold must lie between 0 and 1 and the smallest finding be 0 mm3 or more, not {found}.").format(
                found=f"{threshold:g}, {minVolumeMm3:g}"
            )
        )
    kept = replace(kept, ijkToWorld=ijkToWorld(volumeNode))
    mask, findings = kept.threshold(threshold, minVolumeMm3)
    writeSegments(segmentationNode, volumeNode, {FRACTURE: mask})
    writeFindings(tableFor(segmentationNode, FINDINGS_ROLE, f"{volumeNode.GetName()} findings"), findings)
    spine = readSpine(segmentationNode.GetNodeReference(SPINE_ROLE))
    updateSpine(segmentationNode, kept.describe(spine, mask, findings, threshold))
    writeRecord(segmentationNode, replace(record, threshold=threshold, minVolumeMm3=minVolumeMm3))
    return findings
