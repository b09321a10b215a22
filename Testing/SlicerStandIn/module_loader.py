"""Loads a scripted module as the application does: the module class first, its widget when it is first shown.

Known to differ: modules are loaded after `startupCompleted`, which is sent for each of them.
"""
# ruff: noqa: N801  classes are called as in C++

import importlib.util
import sys
from pathlib import Path

import slicer

from .application import LoadedModule
from .events import process_events

_loaded = []


class qSlicerScriptedLoadableModule(LoadedModule):
    """A scripted module; the module class knows it as `parent` and describes itself in its attributes."""

    def __init__(self, path, pythonModule):
        self.categories, self.dependencies, self.contributors, self.associatedNodeTypes = [], [], [], []
        self.helpText = self.acknowledgementText = ""
        self.hidden, self.icon, self.index = False, None, -1
        self._pythonModule = pythonModule
        super().__init__(path.stem, path=str(path))
        self._isComplete = True

    def __setattr__(self, name, value):
        if hasattr(self, "_isComplete") and not hasattr(self, name):
            raise AttributeError(f"qSlicerScriptedLoadableModule has no attribute {name}")
        super().__setattr__(name, value)

    def widgetRepresentation(self):
        if self.widget is None:
            self.widget = self._createWidget()
        return self.widget

    def _createWidget(self):
        widget = slicer.qSlicerScriptedLoadableModuleWidget()
        widget.setMRMLScene(slicer.mrmlScene)
        pythonWidget = getattr(self._pythonModule, f"{self.name}Widget")(widget)
        widget._pythonWidget = pythonWidget
        self.widget = widget  # setup() may ask for it
        pythonWidget.setup()
        setattr(slicer.modules, f"{self.name}Widget", pythonWidget)
        return widget


def load_module(path):
    """Loads the scripted module in the file `path`, shows its panel and returns its Python widget.

    Afterwards `slicer.util.getModuleWidget`, `getModuleLogic` and `modulePath` find it.
    """
    path = Path(path).resolve()
    pythonModule = _importFile(path)
    module = qSlicerScriptedLoadableModule(path, pythonModule)
    setattr(slicer.modules, path.stem.lower(), module)
    setattr(slicer.moduleNames, path.stem, path.stem)
    instance = getattr(pythonModule, path.stem)(module)
    setattr(slicer.modules, f"{path.stem}Instance", instance)
    _loaded.append(module)
    slicer.app.completeStartup()
    slicer.util.selectModule(path.stem)
    return slicer.util.getModuleWidget(path.stem)


def unload_module(widget):
    """Unloads the module of this Python widget: `cleanup()` is called and the panel deleted."""
    module = slicer.app.moduleManager().module(widget.moduleName)
    slicer.app.moduleManager().emit("moduleAboutToBeUnloaded(QString)", module.name)
    selector = slicer.util.mainWindow().moduleSelector()
    if selector.selectedModule == module.name:
        selector.selectedModule = ""
    for name in (module.name.lower(), f"{module.name}Instance", f"{module.name}Widget"):
        delattr(slicer.modules, name)
    delattr(slicer.moduleNames, module.name)
    _loaded.remove(module)
    module.widget.deleteLater()
    module.widget = None
    process_events()


def unload_all():
    """Unloads what is still loaded."""
    for module in list(_loaded):
        unload_module(module.widgetRepresentation().self())


def _importFile(path):
    """A module file is read once per process, as in the application."""
    known = sys.modules.get(path.stem)
    if known is not None and Path(known.__file__ or "").resolve() == path:
        return known
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    specification = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module
    specification.loader.exec_module(module)
    return module
