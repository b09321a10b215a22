"""Stands in for qSlicerCoreIOManager: loading and saving by `slicer.util.load*`, `saveNode` and `saveScene`.

The reading and writing itself is Slicer's own (storage nodes and module logics); only the choice of the reader is not.

Known to differ: a file belongs to one type by its name alone; there are no readers of texts, markups and DICOM.
"""

from pathlib import Path

import slicer
import vtk

# The first fit counts: ".seg.nrrd" before ".nrrd".
FILE_TYPES = {
    "SceneFile": (".mrml", ".mrb"),
    "SegmentationFile": (".seg.nrrd", ".seg.nhdr", ".seg.vtm"),
    "TransformFile": (".h5", ".tfm"),
    "VolumeFile": (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd"),
    "ModelFile": (".vtk", ".vtp", ".stl", ".obj", ".ply"),
    "TableFile": (".csv", ".tsv"),
}
NODE_CLASSES = {
    "SegmentationFile": "vtkMRMLSegmentationNode",
    "VolumeFile": "vtkMRMLVolumeNode",
    "TransformFile": "vtkMRMLTransformNode",
    "ModelFile": "vtkMRMLModelNode",
    "TableFile": "vtkMRMLTableNode",
}
# Bits of vtkSlicerVolumesLogic::LoadingOptions.
VOLUME_OPTIONS = {"labelmap": 1, "center": 2, "singleFile": 4, "autoWindowLevel": 8, "discardOrientation": 16}


class IOManager:
    """Loads into and saves from `slicer.mrmlScene`."""

    def fileType(self, fileName):
        name = str(fileName).lower()
        for fileType, extensions in FILE_TYPES.items():
            if name.endswith(extensions):
                return fileType
        return "NoFile"

    def registeredFileReaderCount(self, fileType):
        return int(fileType in FILE_TYPES)

    def fileWriterFileType(self, node, fileFormat=""):
        for fileType, nodeClass in NODE_CLASSES.items():
            if node.IsA(nodeClass):
                return fileType
        return "NoFile"

    def loadNodes(self, fileType, properties, collection=None, messages=None):
        path = Path(properties["fileName"])
        if not path.exists():
            node = None
        elif fileType == "SceneFile":
            return _loadScene(path, bool(properties.get("clear")))
        else:
            node = _loadNode(fileType, path, properties)
        if node is None:
            if messages is not None:
                messages.AddMessage(vtk.vtkCommand.ErrorEvent, f"{path} could not be read as {fileType}")
            return False
        if collection is not None:
            collection.AddItem(node)
        return True

    def loadScene(self, path, clear=True):
        return _loadScene(Path(path), clear)

    def saveNodes(self, fileType, properties, messages=None):
        path = Path(properties["fileName"]).absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        scene = slicer.mrmlScene
        if fileType == "SceneFile":
            if path.suffix.lower() == ".mrb":
                return bool(scene.WriteToMRB(str(path)))
            scene.SetURL(str(path))
            scene.SetRootDirectory(str(path.parent))
            return bool(scene.Commit(str(path)))
        node = scene.GetNodeByID(properties["nodeID"])
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode(str(path))
        storage = node.GetStorageNode()
        storage.SetFileName(str(path))
        if "useCompression" in properties:
            storage.SetUseCompression(properties["useCompression"])
        return bool(storage.WriteData(node))

    def saveScene(self, path, thumbnail=None):
        return self.saveNodes("SceneFile", {"fileName": path})


def _loadScene(path, clear):
    scene = slicer.mrmlScene
    if path.suffix.lower() == ".mrb":
        return bool(scene.ReadFromMRB(str(path), clear))
    scene.SetURL(str(path))
    return bool(scene.Connect() if clear else scene.Import())


def _loadNode(fileType, path, properties):
    name = properties.get("name") or path.name.split(".")[0]  # Qt's QFileInfo::baseName
    if fileType == "VolumeFile":
        return _loadVolume(path, name, properties)
    if fileType == "SegmentationFile":
        logic = slicer.modules.segmentations.logic()
        return logic.LoadSegmentationFromFile(str(path), True, properties.get("name", ""), None)
    if fileType in NODE_CLASSES:
        return _loadThroughStorage(NODE_CLASSES[fileType], path, name)
    return None


def _loadVolume(path, name, properties):
    options = sum(bit for option, bit in VOLUME_OPTIONS.items() if properties.get(option))
    node = slicer.modules.volumes.logic().AddArchetypeVolume(str(path), name, options, None)
    if node is not None and properties.get("show", True):
        selection = slicer.app.applicationLogic().GetSelectionNode()
        if node.IsA("vtkMRMLLabelMapVolumeNode"):
            selection.SetActiveLabelVolumeID(node.GetID())
        else:
            selection.SetActiveVolumeID(node.GetID())
        slicer.app.applicationLogic().PropagateVolumeSelection()
    return node


def _loadThroughStorage(nodeClass, path, name):
    scene = slicer.mrmlScene
    node = scene.AddNewNodeByClass(nodeClass, scene.GetUniqueNameByString(name))
    node.AddDefaultStorageNode(str(path))
    if not node.GetStorageNode().ReadData(node):
        scene.RemoveNode(node)
        return None
    if node.IsA("vtkMRMLDisplayableNode"):
        node.CreateDefaultDisplayNodes()
    return node
