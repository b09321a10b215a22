"""Stands in for the main window: never shown, with a status bar and a module selector, and nothing else."""

import slicer
from PySide6.QtWidgets import QMainWindow


class ModuleSelector:
    """Stands in for qSlicerModuleSelectorToolBar: choosing a module leaves the one before and enters the new one."""

    def __init__(self):
        self.selectedModule = ""

    def selectModule(self, name):
        if self.selectedModule:
            self._call(self.selectedModule, "exit", False)
        self.selectedModule = name
        self._call(name, "enter", True)

    @staticmethod
    def _call(name, method, entered):
        module = slicer.app.moduleManager().module(name)
        widget = module.widgetRepresentation() if module is not None else None
        if widget is None:
            return
        widget.isEntered = entered
        if hasattr(widget.self(), method):
            getattr(widget.self(), method)()


class MainWindow(QMainWindow):
    """Found by `slicer.util.mainWindow()`."""

    def __init__(self):
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self._moduleSelector = ModuleSelector()

    def moduleSelector(self):
        return self._moduleSelector
