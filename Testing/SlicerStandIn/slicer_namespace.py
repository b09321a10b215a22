"""Stands in for what `import slicer` gives inside the application.

slicer-core copies each name of `slicer.util` into `slicer`, which Slicer does not: left there, code would pass here
and fail in Slicer. Modules that are top level in Slicer are inside `slicer_core` in the package.
"""

import importlib
import os
import sys
import types
from pathlib import Path

import slicer
import slicer.util

TOP_LEVEL_MODULES = {
    "vtkSegmentationCore": "vtkSegmentationCore",
    "vtkSegmentationCorePython": "vtkSegmentationCore",
    "vtkAddon": "vtkAddonPython",
}
PYTHON_HALF = ("i18n", "ScriptedLoadableModule", "parameterNodeWrapper", "packaging")
# Left in `slicer` by the loop in slicer-core's __init__.py.
LOOP_VARIABLES = ("module", "info", "me", "item_name", "iter_modules", "extend_path", "import_module")


def prepare():
    """Takes away what only the package has and adds the empty `slicer.modules` and `slicer.moduleNames`."""
    for name, value in list(vars(slicer.util).items()):
        if not name.startswith("_") and getattr(slicer, name, None) is value:
            delattr(slicer, name)
    for name in LOOP_VARIABLES:
        vars(slicer).pop(name, None)
    for alias, name in TOP_LEVEL_MODULES.items():
        sys.modules.setdefault(alias, importlib.import_module(f"slicer_core.{name}"))
    for name in ("modules", "moduleNames"):
        _addModule(name, types.ModuleType(f"slicer.{name}"))


def addPythonHalf():
    """Adds slicer.i18n, ScriptedLoadableModule, parameterNodeWrapper and packaging: Slicer's own, or the stand-in's.

    Raises:
        ValueError: SLICER_PYTHON_SRC does not name the folder Base/Python.
    """
    from . import module_loader, packages, parameter_node, scripted_module

    slicer.qSlicerScriptedLoadableModule = module_loader.qSlicerScriptedLoadableModule
    sources = os.environ.get("SLICER_PYTHON_SRC")
    if sources:
        if not Path(sources, "slicer", "parameterNodeWrapper").is_dir():
            raise ValueError(f"SLICER_PYTHON_SRC={sources} is not the folder Base/Python of Slicer's sources")
        slicer.__path__.append(str(Path(sources, "slicer").absolute()))
        for name in PYTHON_HALF:
            importlib.import_module(f"slicer.{name}")
        slicer.packaging.pip_install = packages.pip_install
        slicer.packaging.pip_uninstall = packages.pip_uninstall
    else:
        translations = types.ModuleType("slicer.i18n")
        translations.tr = lambda text: text
        translations.translate = lambda context, text: text
        for name, module in zip(PYTHON_HALF, (translations, scripted_module, parameter_node, packages), strict=True):
            _addModule(name, module)
    slicer.util.pip_install = packages.pip_install
    slicer.util.pip_uninstall = packages.pip_uninstall


def _addModule(name, module):
    sys.modules[f"slicer.{name}"] = module
    setattr(slicer, name, module)
