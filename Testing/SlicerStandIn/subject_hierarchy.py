"""Stands in for the plugin logic of the subject hierarchy: an item for each new node that a user sees as data.

In Slicer this is qSlicerSubjectHierarchyPluginLogic, which is Qt and not in slicer-core. As there, nodes hidden from
editors get no item, an imported scene brings its own items first, and a removed node takes its item with it.

Known to differ: items have no owner plugin (the name is empty), and segments have no items of their own.
"""

import slicer
import vtk

DATA_CLASSES = (
    "vtkMRMLVolumeNode",
    "vtkMRMLSegmentationNode",
    "vtkMRMLMarkupsNode",
    "vtkMRMLModelNode",
    "vtkMRMLTransformNode",
    "vtkMRMLTableNode",
    "vtkMRMLTextNode",
    "vtkMRMLSequenceNode",
)


def followScene(scene):
    """Keeps the subject hierarchy of `scene` in step with its nodes from now on."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAdded(scene, _event, node):
        if node.IsA("vtkMRMLSubjectHierarchyNode"):
            hierarchy.ResolveSubjectHierarchy(scene)
        elif not scene.IsImporting():
            _addItem(scene, node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAboutToBeRemoved(scene, _event, node):
        if scene.IsClosing() or node.IsA("vtkMRMLSubjectHierarchyNode"):
            return
        hierarchyNode = hierarchy.GetSubjectHierarchyNode(scene)
        item = hierarchyNode.GetItemByDataNode(node)
        if item:
            hierarchyNode.RemoveItem(item, False, False)

    def onImportEnded(scene, _event):
        hierarchy.ResolveSubjectHierarchy(scene)
        for index in range(scene.GetNumberOfNodes()):
            _addItem(scene, scene.GetNthNode(index))

    def onCloseStarted(scene, _event):
        # The C++ code finds items by the address of their node: an item left here would be taken for a later node's.
        hierarchyNode = scene.GetSubjectHierarchyNode()
        if hierarchyNode is not None:
            hierarchyNode.RemoveAllItems(False)

    def onCloseEnded(scene, _event):
        hierarchy.ResolveSubjectHierarchy(scene)

    scene.AddObserver(scene.NodeAddedEvent, onNodeAdded)
    scene.AddObserver(scene.NodeAboutToBeRemovedEvent, onNodeAboutToBeRemoved)
    scene.AddObserver(scene.EndImportEvent, onImportEnded)
    scene.AddObserver(scene.StartCloseEvent, onCloseStarted)
    scene.AddObserver(scene.EndCloseEvent, onCloseEnded)
    hierarchy.ResolveSubjectHierarchy(scene)


def _addItem(scene, node):
    if node is None or node.GetHideFromEditors() or not any(node.IsA(name) for name in DATA_CLASSES):
        return
    hierarchyNode = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    if not hierarchyNode.GetItemByDataNode(node):
        hierarchyNode.CreateItem(hierarchyNode.GetSceneItemID(), node)
