"""Stands in for `slicer.ScriptedLoadableModule`: the base classes of a scripted module.

Known to differ: there is no section "Reload & Test", whatever the developer mode.
"""

import importlib
import unittest
from pathlib import Path

import slicer

__all__ = [
    "ScriptedLoadableModule",
    "ScriptedLoadableModuleLogic",
    "ScriptedLoadableModuleTest",
    "ScriptedLoadableModuleWidget",
]


class ScriptedLoadableModule:
    """Describes the module to the application."""

    def __init__(self, parent):
        import qt

        super().__init__()
        self.parent = parent
        self.moduleName = type(self).__name__
        parent.title = ""
        parent.categories = []
        parent.dependencies = []
        parent.contributors = []
        parent.helpText = ""
        parent.acknowledgementText = ""
        icon = Path(self.resourcePath(f"Icons/{self.moduleName}.png"))
        if icon.is_file():
            parent.icon = qt.QIcon(str(icon))
        if not hasattr(slicer, "selfTests"):
            slicer.selfTests = {}
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, filename):
        return str(Path(self.parent.path).parent / "Resources" / filename)

    def getDefaultModuleDocumentationLink(self, docPage=None):
        url = slicer.app.moduleDocumentationUrl(self.moduleName)
        return f'<p>For more information, see the <a href="{url}">online documentation</a>.</p>'

    def runTest(self, msec=100, **arguments):
        module = importlib.import_module(type(self).__module__)
        getattr(module, f"{self.moduleName}Test")().runTest(**arguments)


class ScriptedLoadableModuleWidget:
    """The panel; `parent` is the C++ widget it is put into."""

    def __init__(self, parent=None):
        import qt

        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = False
        hasParent = parent is not None
        if not hasParent:
            parent = slicer.qMRMLWidget()
            parent.setLayout(qt.QVBoxLayout())
            parent.setMRMLScene(slicer.mrmlScene)
        self.parent = parent
        self.layout = parent.layout()
        if not hasParent:
            self.setup()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def resourcePath(self, filename):
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / filename)

    def setup(self):
        pass

    def cleanup(self):
        pass

    def _onModuleAboutToBeUnloaded(self, moduleName):
        if moduleName == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)


class ScriptedLoadableModuleLogic:
    """What the module does, without the panel."""

    def __init__(self, parent=None):
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self):
        """Returns the module's parameter node; a new one is made if the scene has none."""
        if self.isSingletonParameterNode:
            node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
            if node is not None:
                node.SetAttribute("ModuleName", self.moduleName)
                return node
        elif self.getAllParameterNodes():
            return self.getAllParameterNodes()[0]
        return slicer.mrmlScene.AddNode(self.createParameterNode())

    def getAllParameterNodes(self):
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        return [node for node in nodes if node.GetAttribute("ModuleName") == self.moduleName]

    def createParameterNode(self):
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """The module's self-test."""

    def __init__(self, methodName="runTest"):
        super().__init__(methodName)

    def delayDisplay(self, message, requestedDelay=None, msec=None):
        slicer.app.processEvents()

    def runTest(self):
        pass
