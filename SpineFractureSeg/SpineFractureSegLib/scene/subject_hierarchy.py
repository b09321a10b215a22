"""The place of new nodes in the tree that the Data module shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import slicer

if TYPE_CHECKING:
    from slicer import vtkMRMLNode


def placeBeside(node: vtkMRMLNode, neighborNode: vtkMRMLNode) -> None:
    """Moves a node that still lies at the top of the tree under the neighbor's parent, for example its DICOM study.

    A node that the user has put elsewhere stays there.
    """
    hierarchyNode = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    if hierarchyNode is None:
        return
    item, neighbor = (hierarchyNode.GetItemByDataNode(n) for n in (node, neighborNode))
    if item and neighbor and hierarchyNode.GetItemParent(item) == hierarchyNode.GetSceneItemID():
        hierarchyNode.SetItemParent(item, hierarchyNode.GetItemParent(neighbor))
