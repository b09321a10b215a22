"""Which volume of the scene is the CT that the user most likely means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import slicer

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode

_AIR_HU = -500  # every CT of a body has some air around or inside it


def firstCt() -> vtkMRMLScalarVolumeNode | None:
    """The first volume that is a CT by its DICOM modality or by its values; where none is, the first volume."""
    volumes = [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        if node.GetClassName() == "vtkMRMLScalarVolumeNode"  # no label maps, no vectors
        and node.GetImageData() is not None
        and not node.GetHideFromEditors()
    ]
    return next((node for node in volumes if _looksLikeCt(node)), volumes[0] if volumes else None)


def _looksLikeCt(volumeNode: vtkMRMLScalarVolumeNode) -> bool:
    modality = _modality(volumeNode)
    return modality == "CT" if modality else volumeNode.GetImageData().GetScalarRange()[0] < _AIR_HU


def _modality(volumeNode: vtkMRMLScalarVolumeNode) -> str:
    """DICOM's (0008,0060) of the series, where the volume was loaded from DICOM."""
    hierarchyNode = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchyNode.GetItemByDataNode(volumeNode) if hierarchyNode else 0
    return hierarchyNode.GetItemAttribute(item, "DICOM.Modality") if item else ""
