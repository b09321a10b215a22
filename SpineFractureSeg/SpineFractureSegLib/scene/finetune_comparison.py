"""A held-out case side by side: as the model before outlines it, and as the new one does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import slicer
from slicer.i18n import tr as _

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.segment_reader import segmentOnGrid
from SpineFractureSegLib.scene.volume_reader import ijkToWorld

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode

    from SpineFractureSegLib.scene.finetune_folder import FinetuneFolder
    from SpineFractureSegLib.scene.finetune_result import HeldOut

_VIEWS = ("Red", "Yellow")  # of Slicer's side by side layout, left and right
_ATTRIBUTE = "SpineFractureSeg.Comparison"  # of the nodes that are made here, with the case's name in it
_COLORS = {"before": (0.20, 0.45, 0.95), "after": (0.90, 0.20, 0.15), "reference": (0.25, 0.85, 0.35)}


def showHeldOut(folder: FinetuneFolder, case: HeldOut) -> None:
    """Shows two sagittal views through the middle of the reference: before on the left, after on the right.

    The copies of the run's folder are loaded, so that it does not matter what became of the scene. The reference is an
    outline in both views; other segmentations are hidden, and what an earlier call loaded is removed.

    Raises: UserError, when a file cannot be loaded.
    """
    _removeOfEarlierCall()
    ct, mask = folder.files(case.name)
    volumeNode = _load(slicer.util.loadVolume, ct, case.name)
    reference = _load(slicer.util.loadSegmentation, mask, _("{name} reference").format(name=case.name))
    before = _load(slicer.util.loadSegmentation, case.maskBefore, _("{name} before").format(name=case.name))
    after = _load(slicer.util.loadSegmentation, case.maskAfter, _("{name} after").format(name=case.name))
    for segmentationNode in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        if segmentationNode.GetDisplayNode() is not None:
            segmentationNode.GetDisplayNode().SetVisibility(False)
    layoutManager = slicer.app.layoutManager()
    layoutManager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView)
    center = _center(reference, volumeNode)
    sliceNodeIDs = []
    for view in _VIEWS:
        sliceLogic = layoutManager.sliceWidget(view).sliceLogic()
        sliceNode = sliceLogic.GetSliceNode()
        sliceNodeIDs.append(sliceNode.GetID())
        sliceLogic.GetSliceCompositeNode().SetBackgroundVolumeID(volumeNode.GetID())
        sliceNode.SetOrientation("Sagittal")
        sliceLogic.FitSliceToBackground()
        sliceNode.JumpSlice(*center)
    _display(before, "before", sliceNodeIDs[:1], fill=True)
    _display(after, "after", sliceNodeIDs[1:], fill=True)
    _display(reference, "reference", sliceNodeIDs, fill=False)


def _load(load, path: Path, name: str):
    try:
        node = load(str(path), {"name": name})
    except RuntimeError as error:
        raise UserError(
            _("{path} cannot be loaded: load the CT of this case by hand and segment it with both models.").format(
                path=path
            )
        ) from error
    node.SetAttribute(_ATTRIBUTE, name)
    return node


def _display(segmentationNode: vtkMRMLSegmentationNode, role: str, viewIDs: list[str], fill: bool) -> None:
    segmentationNode.CreateDefaultDisplayNodes()
    displayNode = segmentationNode.GetDisplayNode()
    displayNode.SetViewNodeIDs(viewIDs)
    displayNode.SetVisibility(True)
    displayNode.SetVisibility2DFill(fill)
    segmentation = segmentationNode.GetSegmentation()
    for segmentID in segmentation.GetSegmentIDs():
        segmentation.GetSegment(segmentID).SetColor(_COLORS[role])


def _center(segmentationNode: vtkMRMLSegmentationNode, volumeNode: vtkMRMLScalarVolumeNode) -> np.ndarray:
    """RAS mm of the middle of all segments."""
    import SimpleITK as sitk

    masks = [
        sitk.GetArrayFromImage(segmentOnGrid(segmentationNode, segmentID, volumeNode))
        for segmentID in segmentationNode.GetSegmentation().GetSegmentIDs()
    ]
    k, j, i = np.argwhere(np.any(masks, axis=0)).mean(axis=0)
    return (ijkToWorld(volumeNode) @ (i, j, k, 1))[:3]


def _removeOfEarlierCall() -> None:
    for className in ("vtkMRMLSegmentationNode", "vtkMRMLScalarVolumeNode"):
        for node in slicer.util.getNodesByClass(className):
            if node.GetAttribute(_ATTRIBUTE):
                slicer.mrmlScene.RemoveNode(node)
