"""Stands in for `slicer.app` (qSlicerApplication), its module manager and `slicer.modules.*`.

Known to differ: there is no main window; only the members listed here exist, so that a test fails on any other one
instead of going on with a made-up answer.
"""

import atexit
import shutil
import sys
import tempfile
from pathlib import Path

import slicer

from .events import run_pending_events
from .signals import NamedSignals


class LoadedModule:
    """A module as `slicer.modules.<name in lower case>` gives it.

    Arguments:
        name: as in Slicer's list of modules, for example "Volumes".
        logic: what `logic()` answers: a C++ logic, or None.
        path: the file of a scripted module.
    """

    def __init__(self, name, logic=None, path=""):
        self.name = name
        self.title = name
        self.path = path
        self.widget = None
        self._logic = logic

    def logic(self):
        return self._logic

    def widgetRepresentation(self):
        return self.widget


class ModuleManager(NamedSignals):
    """Stands in for qSlicerModuleManager."""

    signals = ("moduleAboutToBeUnloaded(QString)", "moduleUnloaded(QString)", "moduleLoaded(QString)")

    def module(self, name):
        return getattr(slicer.modules, name.lower(), None)

    def modulesNames(self):
        return [module.name for module in vars(slicer.modules).values() if isinstance(module, LoadedModule)]


class Application(NamedSignals):
    """Stands in for qSlicerApplication."""

    signals = ("startupCompleted()", "aboutToQuit()")

    applicationName = "Slicer"
    mainApplicationName = "Slicer"
    applicationVersion = "5.12.4-stand-in"
    majorVersion, minorVersion, revision = 5, 12, "stand-in"
    os, arch = sys.platform, "amd64"
    documentationBaseUrl = "https://slicer.readthedocs.io/en/5.12/"

    def __init__(self):
        super().__init__()
        self.temporaryPath = tempfile.mkdtemp(prefix="slicer-stand-in-")
        atexit.register(shutil.rmtree, self.temporaryPath, ignore_errors=True)
        self.slicerHome = str(Path(self.temporaryPath, "home"))
        self.slicerUserSettingsFilePath = str(Path(self.temporaryPath, "settings", "Slicer.ini"))
        self._moduleManager = ModuleManager()
        self._ioManager = None
        self._layoutManager = None
        self._applicationLogic = None

    def useScene(self, applicationLogic, ioManager, layoutManager):
        """Points the application at a fresh scene and what belongs to it."""
        self._applicationLogic, self._ioManager, self._layoutManager = applicationLogic, ioManager, layoutManager

    def completeStartup(self):
        """Sends startupCompleted() to those that wait for it; it is sent once in the life of the application."""
        self.emit("startupCompleted()")
        self._slots["startupCompleted()"].clear()

    def mrmlScene(self):
        return slicer.mrmlScene

    def applicationLogic(self):
        return self._applicationLogic

    def moduleManager(self):
        return self._moduleManager

    def coreIOManager(self):
        return self._ioManager

    def ioManager(self):
        return self._ioManager

    def layoutManager(self):
        return self._layoutManager

    def testingEnabled(self):
        """False as on a user's machine, so that nothing hides behind it; dialogs are answered by `dialogs`."""
        return False

    def translate(self, context, text):
        return text

    def moduleDocumentationUrl(self, moduleName):
        return f"{self.documentationBaseUrl}user_guide/modules/{moduleName.lower()}.html"

    def extensionsManagerModel(self):
        return None

    def pauseRender(self):
        pass

    def resumeRender(self):
        pass

    # What needs Qt.

    def startupEnvironment(self):
        import qt

        return qt.QProcessEnvironment.systemEnvironment()

    def processEvents(self, *_):
        run_pending_events()

    def thread(self):
        return _qApplication().thread()

    def clipboard(self):
        return _qApplication().clipboard()

    def palette(self):
        return _qApplication().palette()

    def topLevelWidgets(self):
        return _qApplication().topLevelWidgets()

    def keyboardModifiers(self):
        return _qApplication().keyboardModifiers()

    def setOverrideCursor(self, cursor):
        import qt

        _qApplication().setOverrideCursor(qt.QCursor(cursor))

    def restoreOverrideCursor(self):
        _qApplication().restoreOverrideCursor()

    def settings(self):
        import qt

        return qt.QSettings()

    userSettings = revisionUserSettings = settings


def _qApplication():
    import qt

    return qt.QApplication.instance()
