"""Masks and probabilities on a CT's grid, into nodes that lie exactly on the CT.

Each segment gets a layer of its own, cropped to what is in it: fracture and vertebrae overlap, and segments that share
a layer would erase each other. What the user chose for display stays: names, colors, visibility, opacity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import numpy_to_vtk

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.subject_hierarchy import placeBeside

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode, vtkOrientedImageData

    from SpineFractureSegLib.engine.writers import Segment

LABELMAP = slicer.vtkSegmentationConverter.GetBinaryLabelmapRepresentationName()
_OPACITY_3D = {"Vertebrae": 0.4}  # of new segments: the fracture lies inside of the vertebra
_SHOWN_FROM = 0.01  # probabilities below are see-through, so that the volume can be laid over the CT


def prepareSegmentation(
    volumeNode: vtkMRMLScalarVolumeNode, segmentationNode: vtkMRMLSegmentationNode | None = None
) -> vtkMRMLSegmentationNode:
    """The node to write into, tied to the CT: source volume, source geometry, parent transform, place beside it.

    Args:
        segmentationNode: one to go on with; None: a new one. One that holds segments of other origin stays under its
            own parent transform, because they would move with it.

    Raises: UserError, when masks cannot be added to the node without changing the other segments.
    """
    if segmentationNode is None:
        name = _("{ct} fractures").format(ct=volumeNode.GetName())
        segmentationNode = slicer.mrmlScene.AddNewNodeByClass(
            "vtkMRMLSegmentationNode", slicer.mrmlScene.GenerateUniqueName(name)
        )
    _makeRoomForLabelmaps(segmentationNode)
    if not _otherSegments(segmentationNode):
        segmentationNode.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    _matrixBetween(volumeNode, segmentationNode)  # finds out now whether writing will be possible
    segmentationNode.CreateDefaultDisplayNodes()
    segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
    placeBeside(segmentationNode, volumeNode)
    return segmentationNode


def writeSegments(
    segmentationNode: vtkMRMLSegmentationNode, volumeNode: vtkMRMLScalarVolumeNode, masks: dict[Segment, np.ndarray]
) -> None:
    """Creates the segments, or replaces what is in them; other segments are not touched. An empty mask is allowed.

    Args:
        segmentationNode: from ``prepareSegmentation``.
        volumeNode: the CT whose grid the masks are on.
        masks: by segment, (slice, row, column), set where not 0.

    Raises: ValueError, when a mask has another size than the CT; UserError, as ``prepareSegmentation``.
    """
    shape = volumeNode.GetImageData().GetDimensions()[::-1]
    for segment, mask in masks.items():
        if mask.shape != shape:
            raise ValueError(f"the mask of {segment.id} has the shape {mask.shape}, the CT {shape}")
    ijkToSegmentation = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(ijkToSegmentation)
    vtk.vtkMatrix4x4.Multiply4x4(_matrixBetween(volumeNode, segmentationNode), ijkToSegmentation, ijkToSegmentation)
    with slicer.util.NodeModify(segmentationNode):
        for segment, mask in masks.items():
            labelmap = _croppedLabelmap(mask, ijkToSegmentation)
            if segmentationNode.GetSegmentation().GetSegment(segment.id) is None:
                _addSegment(segmentationNode, segment, labelmap)
            else:
                _replaceContent(segmentationNode, segment.id, labelmap)


def writeProbability(
    probabilityNode: vtkMRMLScalarVolumeNode, volumeNode: vtkMRMLScalarVolumeNode, probability: np.ndarray
) -> None:
    """Fills a volume node and puts it on the CT; it is not selected for the views.

    Args:
        probabilityNode: its display choices stay, where it has a display node.
        probability: 0 to 1, (slice, row, column) on the CT's grid.

    Raises: UserError, when the two nodes are one.
    """
    if probabilityNode is volumeNode:
        raise UserError(
            _('The probability would overwrite the CT "{name}" itself: choose another volume for it.').format(
                name=volumeNode.GetName()
            )
        )
    if probabilityNode.GetDisplayNode() is None:
        _showProbability(probabilityNode)
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    with slicer.util.NodeModify(probabilityNode):
        if probabilityNode.GetName() in (None, "", probabilityNode.GetNodeTagName()):
            name = _("{ct} fracture probability").format(ct=volumeNode.GetName())
            probabilityNode.SetName(slicer.mrmlScene.GenerateUniqueName(name))
        slicer.util.updateVolumeFromArray(probabilityNode, probability.astype(np.float32, copy=False))
        probabilityNode.SetIJKToRASMatrix(matrix)
        probabilityNode.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    placeBeside(probabilityNode, volumeNode)


def _showProbability(probabilityNode: vtkMRMLScalarVolumeNode) -> None:
    """A display node of fixed range: black over red and yellow to white. Made while there are no voxels to look at."""
    probabilityNode.CreateDefaultDisplayNodes()
    displayNode = probabilityNode.GetDisplayNode()
    displayNode.SetAndObserveColorNodeID(
        slicer.vtkMRMLColorLogic.GetColorTableNodeID(slicer.vtkMRMLColorTableNode.Iron)
    )
    displayNode.AutoWindowLevelOff()
    displayNode.SetWindowLevelMinMax(0.0, 1.0)
    displayNode.AutoThresholdOff()
    displayNode.SetThreshold(_SHOWN_FROM, 1.0)
    displayNode.ApplyThresholdOn()


def _otherSegments(segmentationNode: vtkMRMLSegmentationNode) -> list[str]:
    """IDs of the segments that are not ours to replace."""
    from SpineFractureSegLib.engine.writers import FRACTURE, VERTEBRAE

    ids = segmentationNode.GetSegmentation().GetSegmentIDs()
    return [segmentID for segmentID in ids if segmentID not in (FRACTURE.id, VERTEBRAE.id)]


def _makeRoomForLabelmaps(segmentationNode: vtkMRMLSegmentationNode) -> None:
    """A segmentation keeps one source representation for all its segments; ours must be the labelmap."""
    segmentation = segmentationNode.GetSegmentation()
    if segmentation.GetSourceRepresentationName() == LABELMAP:
        return
    if segmentation.GetNumberOfSegments():
        raise UserError(
            _(
                'The source representation of the segmentation "{name}" is "{found}", "{expected}" is needed: '
                "choose another segmentation, or change it in the Segmentations module."
            ).format(
                name=segmentationNode.GetName(), found=segmentation.GetSourceRepresentationName(), expected=LABELMAP
            )
        )
    segmentation.SetSourceRepresentationName(LABELMAP)


def _matrixBetween(volumeNode: vtkMRMLScalarVolumeNode, segmentationNode: vtkMRMLSegmentationNode) -> vtk.vtkMatrix4x4:
    """From the CT's own RAS, under its transform, to the segmentation's."""
    transform, linear = vtk.vtkGeneralTransform(), vtk.vtkTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
        volumeNode.GetParentTransformNode(), segmentationNode.GetParentTransformNode(), transform
    )
    if not slicer.vtkMRMLTransformNode.IsGeneralTransformLinear(transform, linear):
        raise UserError(
            _(
                'Between "{volume}" and the segmentation "{segmentation}" lies a non-linear transform, a linear one or '
                "none is needed: harden it on the segmentation, or choose a new segmentation."
            ).format(volume=volumeNode.GetName(), segmentation=segmentationNode.GetName())
        )
    return linear.GetMatrix()


def _croppedLabelmap(mask: np.ndarray, ijkToSegmentation: vtk.vtkMatrix4x4) -> vtkOrientedImageData:
    """uint8 image of the box around what is set, with the CT's own indices."""
    from SpineFractureSegLib.engine.postprocess import bounding_box

    labelmap = slicer.vtkOrientedImageData()
    labelmap.SetGeometryFromImageToWorldMatrix(ijkToSegmentation)
    box = bounding_box(mask)
    if box is None:
        labelmap.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)  # no voxels, but of a type that surfaces are made from
    else:
        labelmap.SetExtent([bound for axis in reversed(box) for bound in (axis.start, axis.stop - 1)])
        values = (mask[box] != 0).astype(np.uint8)
        labelmap.GetPointData().SetScalars(numpy_to_vtk(values.ravel(), deep=True))
    return labelmap


def _addSegment(segmentationNode: vtkMRMLSegmentationNode, segment: Segment, labelmap: vtkOrientedImageData) -> None:
    """Other representations that the segmentation has, such as the closed surface, are made by Slicer."""
    added = slicer.vtkSegment()
    added.SetName(segment.name)
    added.SetColor(segment.color)
    added.SetNameAutoGenerated(False)
    added.SetColorAutoGenerated(False)
    added.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), segment.terminology)
    added.AddRepresentation(LABELMAP, labelmap)
    segmentationNode.GetSegmentation().AddSegment(added, segment.id)
    displayNode = segmentationNode.GetDisplayNode()
    if displayNode is not None and segment.id in _OPACITY_3D:
        displayNode.SetSegmentOpacity3D(segment.id, _OPACITY_3D[segment.id])


def _replaceContent(segmentationNode: vtkMRMLSegmentationNode, segmentID: str, labelmap: vtkOrientedImageData) -> None:
    segmentation = segmentationNode.GetSegmentation()
    segmentation.SeparateSegmentLabelmap(segmentID)  # takes it out of the layer that it may share with other segments
    segment = segmentation.GetSegment(segmentID)
    segment.SetLabelValue(1)
    segment.AddRepresentation(LABELMAP, labelmap)
    slicer.vtkSlicerSegmentationsModuleLogic.ReconvertAllRepresentations(segmentationNode, [segmentID])
    # an exchanged image tells nobody: these are the events that Slicer's own functions send
    segmentation.InvokeEvent(slicer.vtkSegmentation.SourceRepresentationModified, segmentID)
    segmentation.InvokeEvent(slicer.vtkSegmentation.RepresentationModified, segmentID)
