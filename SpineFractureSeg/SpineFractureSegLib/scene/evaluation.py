"""A segment against a reference segment, on the CT's grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.result_tables import SCORES_ROLE, tableFor, writeScores
from SpineFractureSegLib.scene.segment_reader import segmentOnGrid

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode

    from SpineFractureSegLib.engine.metrics import Scores


def evaluateSegments(
    segmentationNode: vtkMRMLSegmentationNode,
    segmentID: str,
    referenceSegmentationNode: vtkMRMLSegmentationNode,
    referenceSegmentID: str,
    volumeNode: vtkMRMLScalarVolumeNode | None = None,
) -> Scores:
    """Scores of the first segment; they are also written into a table that its node refers to.

    Raises: UserError, when a segment is missing, empty or outside of the CT, when the two do not overlap at all (their
    Dice and IoU are 0: nearly always one of another CT or level), or when no CT tells the grid.
    """
    from SpineFractureSegLib.engine.metrics import evaluate

    if segmentationNode is None or referenceSegmentationNode is None:
        raise UserError(_("Two segments are needed to compare: choose the segmentation and the reference."))
    if segmentationNode is referenceSegmentationNode and segmentID == referenceSegmentID:
        raise UserError(_("A segment was to be compared with itself: choose another reference."))
    volumeNode = volumeNode or referenceVolume(segmentationNode) or referenceVolume(referenceSegmentationNode)
    if volumeNode is None:
        raise UserError(
            _("Neither segmentation refers to a CT whose grid could be used: give the CT, or set its source geometry.")
        )
    scores = evaluate(
        segmentOnGrid(segmentationNode, segmentID, volumeNode),
        segmentOnGrid(referenceSegmentationNode, referenceSegmentID, volumeNode),
    )
    if not scores.overlap_voxels:
        raise UserError(
            _("The two segments do not overlap: Dice and IoU are 0; check that both belong to the same CT.")
        )
    writeScores(tableFor(segmentationNode, SCORES_ROLE, f"{volumeNode.GetName()} scores"), scores)
    return scores


def referenceVolume(segmentationNode: vtkMRMLSegmentationNode) -> vtkMRMLScalarVolumeNode | None:
    """The volume that the segmentation was made on, where it is still in the scene and has voxels."""
    node = segmentationNode.GetNodeReference(segmentationNode.GetReferenceImageGeometryReferenceRole())
    return node if node is not None and node.GetImageData() is not None else None
