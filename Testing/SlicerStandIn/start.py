"""Starting the stand-in: once per process, and a fresh scene for each test."""

import atexit
from pathlib import Path

import slicer

import SlicerStandIn

from . import events, slicer_namespace
from .application import Application
from .installation import writeInstallation
from .scene import freshScene, leaveScene


def boot():
    """Makes `slicer` look like the one inside the application, and creates `qt` and `ctk`; once per process.

    With the environment variable SLICER_PYTHON_SRC naming the folder Base/Python of Slicer's sources, Slicer's own
    Python files are used instead of the stand-in's.
    """
    if getattr(slicer, "app", None) is not None:
        return
    from . import qt_modules, sample_data

    slicer_namespace.prepare()
    slicer.app = Application()
    slicer.mrmlScene = None
    writeInstallation(Path(slicer.app.temporaryPath))
    qt_modules.install()
    slicer_namespace.addPythonHalf()
    sample_data.install()
    events.collect_slot_errors()
    atexit.register(leaveScene)
    reset()


def reset():
    """Unloads modules, gives the application an empty scene with new logics, and forgets what earlier tests left."""
    import qt

    from . import dialogs, module_loader, sample_data

    module_loader.unload_all()
    freshScene(slicer.app)
    sample_data.forget()
    dialogs.forget()
    qt.QSettings().clear()
    SlicerStandIn.pip_installs.clear()
    events.slot_errors.clear()
