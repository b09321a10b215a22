"""A CT node to a segmentation node: what the scene needs before and after the engine's job.

The scene is touched only when the job has succeeded, so that a run that is cancelled or fails leaves it as it was.
Nodes are remembered by ID and looked up again afterwards, because the user may delete them while the job runs.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.engine_job import EngineJob, EngineResult, SegmentationSettings
from SpineFractureSegLib.scene.installation import requirePackages
from SpineFractureSegLib.scene.kept_result import KeptResult
from SpineFractureSegLib.scene.result_tables import FINDINGS_ROLE, tableFor, writeFindings
from SpineFractureSegLib.scene.run_record import RunRecord, writeRecord
from SpineFractureSegLib.scene.segmentation_writer import prepareSegmentation, writeProbability, writeSegments
from SpineFractureSegLib.scene.spine_table import spineFromReport, updateSpine
from SpineFractureSegLib.scene.volume_reader import checkVolume, ctFromVolume, ijkToWorld

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode

PROBABILITY_ROLE = "SpineFractureSeg.Probability"  # of the segmentation node


@dataclass(frozen=True)
class WrittenRun:
    """What a successful run left: in the scene, and beside it."""

    segmentationNode: vtkMRMLSegmentationNode
    record: RunRecord
    kept: KeptResult


class SegmentationRun:
    """``job`` does the work; ``write`` puts its result into the scene.

    Raises: UserError, when the volume cannot be segmented or packages are missing.
    """

    def __init__(
        self,
        volumeNode: vtkMRMLScalarVolumeNode,
        segmentationNode: vtkMRMLSegmentationNode | None,
        settings: SegmentationSettings,
        probability: bool | vtkMRMLScalarVolumeNode,
        allowSequenceFrame: bool = False,
    ) -> None:
        checkVolume(volumeNode, allowSequenceFrame=allowSequenceFrame)
        requirePackages()
        if segmentationNode is not None and not segmentationNode.IsA("vtkMRMLSegmentationNode"):
            raise UserError(
                _("{name} is no segmentation node: give one, or none for a new one.").format(
                    name=segmentationNode.GetName()
                )
            )
        if probability is volumeNode:
            raise UserError(_("The probability would overwrite the CT itself: choose another volume."))
        self._settings = settings
        self._volumeID = volumeNode.GetID()
        self._segmentationID = segmentationNode.GetID() if segmentationNode else None
        self._wantsProbability = bool(probability)
        self._probabilityID = probability.GetID() if hasattr(probability, "GetID") else None
        self.job = EngineJob(ctFromVolume(volumeNode, allowSequenceFrame=allowSequenceFrame), settings)

    def write(self, result: EngineResult) -> WrittenRun:
        """The result as nodes. Of a failure in between nothing new stays in the scene.

        Raises: UserError, when the CT is gone or has become another one.
        """
        scene = slicer.mrmlScene
        volumeNode = scene.GetNodeByID(self._volumeID)
        if volumeNode is None:
            raise UserError(_("The CT was removed from the scene while it was segmented: the result was dropped."))
        imageData = volumeNode.GetImageData()
        if imageData is None or imageData.GetDimensions()[::-1] != result.fracture.shape:
            raise UserError(_("The CT was changed while it was segmented: the result was dropped, run it again."))
        nodesBefore = {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}
        scene.StartState(scene.BatchProcessState)
        try:
            return self._writeAll(volumeNode, result)
        except BaseException:
            for index in reversed(range(scene.GetNumberOfNodes())):
                node = scene.GetNthNode(index)
                if node is not None and node.GetID() not in nodesBefore:
                    scene.RemoveNode(node)
            raise
        finally:
            scene.EndState(scene.BatchProcessState)

    def _writeAll(self, volumeNode: vtkMRMLScalarVolumeNode, result: EngineResult) -> WrittenRun:
        from SpineFractureSegLib.engine.writers import FRACTURE, VERTEBRAE

        segmentationNode = prepareSegmentation(volumeNode, self._node(self._segmentationID))
        masks = {FRACTURE: result.fracture}
        if result.vertebrae is not None:
            masks[VERTEBRAE] = result.vertebrae
        writeSegments(segmentationNode, volumeNode, masks)

        kept = KeptResult.fromArray(result.probability, ijkToWorld(volumeNode), result.bodies)
        record = RunRecord.fromReport(result.report, self._settings)
        mask, findings = kept.threshold(record.threshold, record.minVolumeMm3)
        writeFindings(tableFor(segmentationNode, FINDINGS_ROLE, f"{volumeNode.GetName()} findings"), findings)
        spine = spineFromReport(result.report)
        updateSpine(segmentationNode, kept.describe(spine, mask, findings, record.threshold))
        writeRecord(segmentationNode, record)

        # a probability of an earlier run must not be taken for this one's
        segmentationNode.SetNodeReferenceID(PROBABILITY_ROLE, None)
        if self._wantsProbability:
            probabilityNode = self._node(self._probabilityID)
            if probabilityNode is None:
                probabilityNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
                probabilityNode.SetName(f"{volumeNode.GetName()} fracture probability")
            writeProbability(probabilityNode, volumeNode, result.probability)
            segmentationNode.SetNodeReferenceID(PROBABILITY_ROLE, probabilityNode.GetID())
        for warning in record.warnings:
            logging.warning(warning)
        return WrittenRun(segmentationNode, record, kept)

    @staticmethod
    def _node(nodeID: str | None) -> object | None:
        return slicer.mrmlScene.GetNodeByID(nodeID) if nodeID else None
