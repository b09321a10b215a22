"""Creates the modules `qt` and `ctk`, the names `slicer.qMRML...` and the Qt application with a bare main window.

Everything is offscreen, and settings are kept in the application's temporary folder.
"""

import os
import sys
import types
from pathlib import Path

import slicer


def install():
    """Makes `import qt` and `import ctk` work; once per process."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from . import pythonqt

    pythonqt.applyManners()
    # These derive from classes of PySide6 and count on their new manners.
    from . import (
        ctk_sections,
        ctk_widgets,
        dialogs,
        main_window,
        mrml_widgets,
        node_combo_box,
        segment_widgets,
        ui_loader,
    )

    qt = types.ModuleType("qt")
    for module in pythonqt.QT_MODULES:
        _copyNames(module, qt, "Q")
    qt.QUiLoader = ui_loader.UiLoader
    sys.modules["qt"] = qt
    ctk = types.ModuleType("ctk")
    for module in (ctk_widgets, ctk_sections):
        _copyNames(module, ctk, "ctk")
    ctk.ctkMessageBox = dialogs.ctkMessageBox
    sys.modules["ctk"] = ctk
    for module in (mrml_widgets, node_combo_box, segment_widgets):
        _copyNames(module, slicer, ("qMRML", "qSlicer"))
    ui_loader.addClasses(qt, ctk, slicer)
    dialogs.install(qt)
    _startApplication(qt, main_window)


def _copyNames(source, target, prefix):
    for name in dir(source):  # PySide6 makes its classes when they are asked for
        if name.startswith(prefix):
            setattr(target, name, getattr(source, name))


def _startApplication(qt, main_window):
    application = qt.QApplication.instance() or qt.QApplication(["Slicer"])
    application.setApplicationName("Slicer")
    application.setOrganizationName("stand-in")
    qt.QSettings.setDefaultFormat(qt.QSettings.IniFormat)
    settingsFolder = str(Path(slicer.app.slicerUserSettingsFilePath).parent)
    qt.QSettings.setPath(qt.QSettings.IniFormat, qt.QSettings.UserScope, settingsFolder)
    slicer.app.qtObjects = (application, main_window.MainWindow())  # else Python would let them go
