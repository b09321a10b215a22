"""Stands in for what the application does at start: the scene, its application logic and the logics of the modules.

All classes are Slicer's own; here they are created and wired. Three slice views (Red, Green, Yellow) and a 3D view
exist as nodes and logics, without windows; `views` renders them.

Known to differ: colors and terminologies that Slicer reads from files of its installation do not exist.
"""

from pathlib import Path

import slicer
import vtk

from .application import LoadedModule
from .file_io import IOManager
from .layout import LayoutManager
from .subject_hierarchy import followScene

# Module, class of its logic. Colors comes apart: the application logic owns it.
MODULE_LOGICS = {
    "Volumes": "vtkSlicerVolumesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Models": "vtkSlicerModelsLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Units": "vtkSlicerUnitsLogic",
    "Cameras": "vtkSlicerCamerasModuleLogic",
    "Plots": "vtkSlicerPlotsLogic",
}
SLICE_VIEWS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}


def freshScene(application):
    """Makes an empty scene with all logics the scene of the application (`slicer.mrmlScene`)."""
    leaveScene()
    folder = Path(application.temporaryPath)
    scene = slicer.vtkMRMLScene()
    scene.SetRootDirectory(str(folder))
    slicer.mrmlScene = scene
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetTemporaryPath(str(folder))
    logic.SetHomeDirectory(str(folder))
    logic.SetShareDirectory("share")
    logic.SetMRMLScene(scene)
    _addDefaultNodes(scene)
    _wireFileAccess(application, scene, logic, folder)
    colors = slicer.vtkSlicerColorLogic()
    colors.SetMRMLApplicationLogic(logic)
    colors.SetMRMLScene(scene)
    colors.AddDefaultColorNodes()
    logic.SetColorLogic(colors)
    logic.SetModuleLogic("Colors", colors)
    slicer.modules.colors = LoadedModule("Colors", colors)
    for name, className in MODULE_LOGICS.items():
        _addModuleLogic(name, getattr(slicer, className)(), scene, logic, folder)
    views = _addViews(scene, logic)
    followScene(scene)
    application.useScene(logic, IOManager(), LayoutManager(views, logic))


def leaveScene():
    """Empties the scene and ends its observers: called while a scene is destroyed, those of Python crash."""
    if slicer.mrmlScene is not None:
        slicer.mrmlScene.Clear(1)
        slicer.mrmlScene.RemoveAllObservers()


def _addDefaultNodes(scene):
    scene.RegisterNodeClass(slicer.vtkMRMLCommandLineModuleNode())
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    layout = slicer.vtkMRMLLayoutNode()
    layout.SetSingletonTag("vtkMRMLLayoutNode")
    scene.AddNode(layout)


def _wireFileAccess(application, scene, logic, folder):
    """Scene bundles (.mrb) and storage nodes want a cache and a data manager, also for local files."""
    cache = folder / "RemoteIO"
    cache.mkdir(exist_ok=True)
    (cache / ".slicer-cache").touch()
    remote = slicer.vtkMRMLRemoteIOLogic()
    remote.SetMRMLScene(scene)
    remote.GetCacheManager().SetRemoteCacheDirectory(str(cache))
    dataManager = slicer.vtkDataIOManagerLogic()
    dataManager.SetMRMLApplicationLogic(logic)
    dataManager.SetAndObserveDataIOManager(remote.GetDataIOManager())
    logic.SetMRMLSceneDataIO(scene, remote, dataManager)
    application.fileAccess = (remote, dataManager)  # the logic holds weak pointers only


def _addModuleLogic(name, moduleLogic, scene, logic, folder):
    if hasattr(moduleLogic, "SetModuleShareDirectory"):
        moduleLogic.SetModuleShareDirectory(str(folder))
    moduleLogic.SetMRMLApplicationLogic(logic)
    moduleLogic.SetMRMLScene(scene)
    logic.SetModuleLogic(name, moduleLogic)
    setattr(slicer.modules, name.lower(), LoadedModule(name, moduleLogic))


def _addViews(scene, logic):
    """Returns {name: slice logic} of the standard slice views."""
    sliceLogics = vtk.vtkCollection()
    viewLogics = vtk.vtkCollection()
    logic.SetSliceLogics(sliceLogics)
    logic.SetViewLogics(viewLogics)
    views = {}
    for name, orientation in SLICE_VIEWS.items():
        sliceLogic = slicer.vtkMRMLSliceLogic()
        sliceLogic.SetMRMLApplicationLogic(logic)
        sliceLogics.AddItem(sliceLogic)
        sliceLogic.SetMRMLScene(scene)
        node = sliceLogic.AddSliceNode(name)
        node.SetOrientation(orientation)
        node.SetMappedInLayout(1)
        views[name] = sliceLogic
    viewLogic = slicer.vtkMRMLViewLogic()
    viewLogic.SetMRMLApplicationLogic(logic)
    viewLogics.AddItem(viewLogic)
    viewLogic.SetMRMLScene(scene)
    viewLogic.AddViewNode("1").SetMappedInLayout(1)
    return views
