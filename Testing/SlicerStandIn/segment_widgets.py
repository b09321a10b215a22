"""Stands in for Slicer's widgets of segmentations: the segment selector, the button Show 3D and the table of segments.

Known to differ: one segment is selected at a time; the table shows color and name and edits nothing.
"""
# ruff: noqa: N801  classes are called as in C++

from typing import ClassVar

import slicer
import vtk
from PySide6.QtCore import Signal
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QTableWidget, QTableWidgetItem, QVBoxLayout

from .ctk_widgets import ctkMenuButton
from .mrml_widgets import Observations, qMRMLWidget
from .node_combo_box import qMRMLNodeComboBox
from .qt_properties import stored, withSetters

CLOSED_SURFACE = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
BINARY_LABELMAP = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
SEGMENT_EVENTS = (
    slicer.vtkSegmentation.SegmentAdded,
    slicer.vtkSegmentation.SegmentRemoved,
    slicer.vtkSegmentation.SegmentModified,
)


@withSetters
class qMRMLSegmentSelectorWidget(qMRMLWidget):
    """Chooses a segmentation and one of its segments; the first segment is chosen when nothing else was."""

    currentNodeChanged = Signal(object)
    validNodeChanged = Signal(bool)
    currentSegmentChanged = Signal(str)
    CPP_SIGNALS: ClassVar = {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "currentNodeChanged(bool)": "validNodeChanged",
    }

    noneEnabled = stored(bool, "noneEnabled", False, "_onNoneEnabled")
    editEnabled = stored(bool, "editEnabled", False)
    segmentationNodeSelectorVisible = stored(bool, "segmentationNodeSelectorVisible", True, "_onSelectorVisible")
    horizontalLayout = stored(bool, "horizontalLayout", False)
    multiSelection = stored(bool, "multiSelection", False)
    selectNodeUponCreation = stored(bool, "selectNodeUponCreation", True)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._segmentID = ""
        self._observations = Observations(self)
        self._nodeSelector, self._segmentSelector = qMRMLNodeComboBox(), QComboBox()
        self._nodeSelector.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._nodeSelector.addEnabled = False
        self._nodeSelector.removeEnabled = False
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._nodeSelector)
        layout.addWidget(self._segmentSelector)
        self._nodeSelector.currentNodeChanged.connect(self._onNodeChanged)
        self._segmentSelector.currentIndexChanged.connect(self._onSegmentChanged)

    def setMRMLScene(self, scene):
        super().setMRMLScene(scene)
        self._nodeSelector.setMRMLScene(scene)

    def currentNode(self):
        return self._nodeSelector.currentNode()

    def currentNodeID(self):
        return self._nodeSelector.currentNodeID

    def setCurrentNode(self, node):
        self._nodeSelector.setCurrentNode(node)

    def setCurrentNodeID(self, nodeID):
        self._nodeSelector.setCurrentNodeID(nodeID)

    def currentSegmentID(self):
        return self._segmentID

    def setCurrentSegmentID(self, segmentID):
        row = self._segmentSelector.findData(segmentID)
        if row >= 0 and (segmentID or self.noneEnabled):
            self._segmentSelector.setCurrentIndex(row)

    def segmentIDs(self):
        node = self.currentNode()
        return tuple(node.GetSegmentation().GetSegmentIDs()) if node is not None else ()

    def _onNoneEnabled(self):
        self._nodeSelector.noneEnabled = self.noneEnabled
        self._populate()

    def _onSelectorVisible(self):
        self._nodeSelector.setVisible(self.segmentationNodeSelectorVisible)

    def _onNodeChanged(self, node):
        self._observations.clear()
        if node is not None:
            for event in SEGMENT_EVENTS:
                self._observations.add(node, event, self._populate)
        self._populate()
        self.currentNodeChanged.emit(node)
        self.validNodeChanged.emit(node is not None)

    def _populate(self):
        """As in Slicer, the chosen segment's ID is kept while the list is empty."""
        segmentIDs = self.segmentIDs()
        self._segmentSelector.blockSignals(True)
        self._segmentSelector.clear()
        if segmentIDs and self.noneEnabled:
            self._segmentSelector.addItem("None", "")
        for segmentID in segmentIDs:
            segment = self.currentNode().GetSegmentation().GetSegment(segmentID)
            self._segmentSelector.addItem(segment.GetName(), segmentID)
        isKept = self._segmentID in segmentIDs or (self.noneEnabled and not self._segmentID)
        self._segmentSelector.setCurrentIndex(self._segmentSelector.findData(self._segmentID) if isKept else -1)
        self._segmentSelector.blockSignals(False)
        if segmentIDs and not isKept:
            self._segmentSelector.setCurrentIndex(1 if self.noneEnabled else 0)

    def _onSegmentChanged(self, row):
        if self.currentNode() is not None:
            self._segmentID = self._segmentSelector.itemData(row) or ""
            self.currentSegmentChanged.emit(self._segmentID)


@withSetters
class qMRMLSegmentationShow3DButton(ctkMenuButton):
    """Creates the closed surface while it is down and removes it when it is up."""

    locked = stored(bool, "locked", False, "_updateFromNode")

    def __init__(self, parent=None):
        super().__init__(parent)
        self._node = None
        self._observations = Observations(self)
        self.setText("Show 3D")
        self.setCheckable(True)
        self.toggled.connect(self._onToggled)
        self._updateFromNode()

    def segmentationNode(self):
        return self._node

    def setSegmentationNode(self, node):
        self._observations.clear()
        self._node = node
        if node is not None:
            self._observations.add(node, vtk.vtkCommand.ModifiedEvent, self._updateFromNode)
            for event in (*SEGMENT_EVENTS, slicer.vtkSegmentation.ContainedRepresentationNamesModified):
                self._observations.add(node, event, self._updateFromNode)
        self._updateFromNode()

    def setMRMLScene(self, scene):
        pass

    def _updateFromNode(self):
        segmentation = self._node.GetSegmentation() if self._node is not None else None
        self.setEnabled(segmentation is not None and segmentation.GetNumberOfSegments() > 0 and not self.locked)
        self.blockSignals(True)
        self.setChecked(segmentation is not None and segmentation.ContainsRepresentation(CLOSED_SURFACE))
        self.blockSignals(False)

    def _onToggled(self, isDown):
        if self._node is None:
            return
        segmentation = self._node.GetSegmentation()
        with slicer.util.NodeModify(self._node):
            if not isDown:
                if segmentation.GetSourceRepresentationName() != CLOSED_SURFACE:
                    segmentation.RemoveRepresentation(CLOSED_SURFACE)
            elif segmentation.CreateRepresentation(CLOSED_SURFACE) and self._node.GetDisplayNode() is not None:
                self._node.GetDisplayNode().SetPreferredDisplayRepresentationName3D(CLOSED_SURFACE)
                if segmentation.ContainsRepresentation(BINARY_LABELMAP):
                    self._node.GetDisplayNode().SetPreferredDisplayRepresentationName2D(BINARY_LABELMAP)


@withSetters
class qMRMLSegmentsTableView(qMRMLWidget):
    """Lists the segments of a segmentation."""

    headerVisible = stored(bool, "headerVisible", True)
    visibilityColumnVisible = stored(bool, "visibilityColumnVisible", True)
    colorColumnVisible = stored(bool, "colorColumnVisible", True)
    opacityColumnVisible = stored(bool, "opacityColumnVisible", True)
    statusColumnVisible = stored(bool, "statusColumnVisible", False)
    layerColumnVisible = stored(bool, "layerColumnVisible", False)
    filterBarVisible = stored(bool, "filterBarVisible", False)
    readOnly = stored(bool, "readOnly", False)
    selectionMode = stored(int, "selectionMode", 0)
    jumpToSelectedSegmentEnabled = stored(bool, "jumpToSelectedSegmentEnabled", False)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._node = None
        self._observations = Observations(self)
        self._table = QTableWidget(0, 2)
        self._table.setHorizontalHeaderLabels(["", "Name"])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._table)

    def segmentationNode(self):
        return self._node

    def setSegmentationNode(self, node):
        self._observations.clear()
        self._node = node
        if node is not None:
            for event in SEGMENT_EVENTS:
                self._observations.add(node, event, self._populate)
        self._populate()

    def displayedSegmentIDs(self):
        return tuple(self._node.GetSegmentation().GetSegmentIDs()) if self._node is not None else ()

    def _populate(self):
        segmentIDs = self.displayedSegmentIDs()
        self._table.setRowCount(len(segmentIDs))
        for row, segmentID in enumerate(segmentIDs):
            segment = self._node.GetSegmentation().GetSegment(segmentID)
            color = QTableWidgetItem()
            color.setBackground(QColor.fromRgbF(*segment.GetColor()))
            self._table.setItem(row, 0, color)
            self._table.setItem(row, 1, QTableWidgetItem(segment.GetName()))
