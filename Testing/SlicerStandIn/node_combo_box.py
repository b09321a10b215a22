"""Stands in for qMRMLNodeComboBox: chooses, creates, renames and deletes nodes of the scene.

Known to differ: nodes are listed in the order of the scene, without levels. What is chosen when the list changes by
itself follows what was observed of Slicer: with no entry "None" and no entries for actions, the first node to appear
is chosen; when the chosen node is removed and "None" is not allowed, the last one left.
"""
# ruff: noqa: N801  classes are called as in C++

import re
from typing import ClassVar

import vtk
from PySide6.QtCore import Property, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QWidget

from .mrml_widgets import Observations
from .qt_properties import stored, withSetters


@withSetters
class qMRMLNodeComboBox(QWidget):
    """Shows the nodes of `nodeTypes`; what `noneEnabled` etc. allow follows them as entries."""

    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    validNodeChanged = Signal(bool)
    nodeActivated = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeAboutToBeEdited = Signal(object)
    currentNodeRenamed = Signal(str)
    CPP_SIGNALS: ClassVar = {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "currentNodeChanged(bool)": "validNodeChanged",
        "nodeActivated(vtkMRMLNode*)": "nodeActivated",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser",
        "nodeAboutToBeEdited(vtkMRMLNode*)": "nodeAboutToBeEdited",
    }

    nodeTypes = stored("QStringList", "nodeTypes", list, "refresh")
    noneEnabled = stored(bool, "noneEnabled", False, "refresh")
    addEnabled = stored(bool, "addEnabled", True, "refresh")
    removeEnabled = stored(bool, "removeEnabled", True, "refresh")
    renameEnabled = stored(bool, "renameEnabled", False, "refresh")
    editEnabled = stored(bool, "editEnabled", False, "refresh")
    showHidden = stored(bool, "showHidden", False, "refresh")
    showChildNodeTypes = stored(bool, "showChildNodeTypes", True, "refresh")
    hideChildNodeTypes = stored("QStringList", "hideChildNodeTypes", list, "refresh")
    noneDisplay = stored(str, "noneDisplay", "None", "refresh")
    baseName = stored(str, "baseName", "")
    selectNodeUponCreation = stored(bool, "selectNodeUponCreation", True)
    interactionNodeSingletonTag = stored(str, "interactionNodeSingletonTag", "")

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene = None
        self._sceneObservations, self._nodeObservations = Observations(self), Observations(self)
        self._attributes = []
        self._typeLabels = {}
        self._entries = []  # one for each row: node ID, None for "None", or the method of an action
        self._currentID = None
        self._requestedID = None
        self._comboBox = QComboBox()
        self._comboBox.activated.connect(self._onActivated)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._comboBox)
        self.setEnabled(False)

    # The scene.

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        if scene is self._scene:
            return
        self._sceneObservations.clear()
        self._scene = scene
        if scene is not None:
            for event in (
                scene.NodeAddedEvent,
                scene.NodeRemovedEvent,
                scene.EndCloseEvent,
                scene.EndBatchProcessEvent,
            ):
                self._sceneObservations.add(scene, event, self.refresh)
        self.setEnabled(scene is not None)
        self.refresh()
        if scene is not None and self._requestedID is not None:
            self.setCurrentNodeID(self._requestedID)

    # The chosen node.

    def currentNode(self):
        return self._scene.GetNodeByID(self._currentID) if self._scene is not None and self._currentID else None

    def setCurrentNode(self, node):
        self.setCurrentNodeID(node.GetID() if node is not None else "")

    def setCurrentNodeID(self, nodeID):
        if self._scene is None:
            self._requestedID = nodeID
            return
        nodeID = nodeID or None
        if nodeID is None or nodeID in self._entries:
            self._choose(nodeID)

    currentNodeID = Property(str, lambda self: self._currentID or "", setCurrentNodeID)

    def setCurrentNodeIndex(self, index):
        self.setCurrentNode(self.nodeFromIndex(index))

    def nodeCount(self):
        return len(self._nodeIDs())

    def nodeFromIndex(self, index):
        nodeIDs = self._nodeIDs()
        return self._scene.GetNodeByID(nodeIDs[index]) if 0 <= index < len(nodeIDs) else None

    def addAttribute(self, nodeType, attributeName, attributeValue=None):
        self._attributes.append((nodeType, attributeName, attributeValue))
        self.refresh()

    def setNodeTypeLabel(self, label, nodeType):
        self._typeLabels[nodeType] = label
        self.refresh()

    # What the user does through the entries that are no nodes.

    def addNode(self, nodeType=None):
        nodeType = nodeType or self.nodeTypes[0]
        node = self._scene.CreateNodeByClass(nodeType)
        node.UnRegister(None)
        node.SetName(self._scene.GenerateUniqueName(self.baseName or self._typeLabel(nodeType)))
        self._scene.AddNode(node)
        if node.IsA("vtkMRMLDisplayableNode"):
            node.CreateDefaultDisplayNodes()
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self):
        if self.currentNode() is not None:
            self._scene.RemoveNode(self.currentNode())

    def renameCurrentNode(self):
        """Asks for the name in Slicer; here nobody answers and the name stays."""

    def editCurrentNode(self):
        if self.currentNode() is not None:
            self.nodeAboutToBeEdited.emit(self.currentNode())

    # The list.

    def refresh(self):
        """Makes the rows anew from the scene."""
        if "_entries" not in self.__dict__:  # a property set before the constructor is through
            return
        self._nodeObservations.clear()
        nodes = self._matchingNodes()
        for node in nodes:
            self._nodeObservations.add(node, vtk.vtkCommand.ModifiedEvent, self._updateNames)
        rows = [(self.noneDisplay, None)] if self.noneEnabled else []
        rows += [(node.GetName(), node.GetID()) for node in nodes]
        rows += self._actions()
        self._comboBox.clear()
        if self.nodeTypes:
            self._comboBox.setPlaceholderText(f"Select a {self._typeLabel(self.nodeTypes[0])}")
        self._comboBox.addItems([text or "" for text, _ in rows])
        self._entries = [entry for _, entry in rows]
        self._choose(self._stillChosen())

    def _matchingNodes(self):
        if self._scene is None or not self.nodeTypes:
            return []
        nodes = (self._scene.GetNthNode(index) for index in range(self._scene.GetNumberOfNodes()))
        return [node for node in nodes if self._matches(node)]

    def _matches(self, node):
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        if any(node.IsA(nodeType) for nodeType in self.hideChildNodeTypes):
            return False
        if self.showChildNodeTypes:
            isOfType = any(node.IsA(nodeType) for nodeType in self.nodeTypes)
        else:
            isOfType = node.GetClassName() in self.nodeTypes
        return isOfType and all(
            node.GetAttribute(name) is not None and value in (None, "", node.GetAttribute(name))
            for nodeType, name, value in self._attributes
            if node.IsA(nodeType)
        )

    def _actions(self):
        if self._scene is None or not self.nodeTypes:
            return []
        label = self._typeLabel(self.nodeTypes[0])
        actions = (
            (self.renameEnabled, f"Rename current {label}", self.renameCurrentNode),
            (self.editEnabled, f"Edit current {label}", self.editCurrentNode),
            (self.addEnabled, f"Create new {label}", self.addNode),
            (self.removeEnabled, f"Delete current {label}", self.removeCurrentNode),
        )
        return [(text, action) for enabled, text, action in actions if enabled]

    def _typeLabel(self, nodeType):
        if nodeType in self._typeLabels:
            return self._typeLabels[nodeType]
        node = self._scene.CreateNodeByClass(nodeType) if self._scene is not None else None
        if node is None:  # no scene yet, or an abstract class
            return re.sub("^vtkMRML|Node$", "", nodeType)
        node.UnRegister(None)
        return node.GetNodeTagName()

    def _stillChosen(self):
        nodeIDs = self._nodeIDs()
        if self._currentID in nodeIDs:
            return self._currentID
        if self.noneEnabled or not nodeIDs:
            return None
        if self._currentID is not None:
            return nodeIDs[-1]
        hasActions = self.addEnabled or self.removeEnabled or self.renameEnabled or self.editEnabled
        return None if hasActions else nodeIDs[0]

    def _nodeIDs(self):
        return [entry for entry in self._entries if isinstance(entry, str)]

    def _choose(self, nodeID):
        self._comboBox.setCurrentIndex(self._entries.index(nodeID) if nodeID in self._entries else -1)
        if nodeID == self._currentID:
            return
        self._currentID = nodeID
        self.currentNodeIDChanged.emit(nodeID or "")
        self.currentNodeChanged.emit(self.currentNode())
        self.validNodeChanged.emit(self.currentNode() is not None)

    def _onActivated(self, row):
        entry = self._entries[row]
        if callable(entry):
            self._choose(self._currentID)  # an action is never the chosen row
            entry()
        else:
            self._choose(entry)
            self.nodeActivated.emit(self.currentNode())

    def _updateNames(self):
        for row, entry in enumerate(self._entries):
            node = self._scene.GetNodeByID(entry) if isinstance(entry, str) else None
            if node is not None:
                self._comboBox.setItemText(row, node.GetName())
