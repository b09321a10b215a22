"""Stands in for `slicer.app.layoutManager()` as far as a module moves and fits slice views and chooses a layout.

Known to differ: the views have no windows and no 3D widget exists, so `threeDViewCount` is 0; a layout is a number in
the layout node and changes no view.
"""

import slicer


class SliceWidget:
    """A slice view by its logic; `sliceView()` does not exist."""

    def __init__(self, sliceLogic):
        self._sliceLogic = sliceLogic

    def sliceLogic(self):
        return self._sliceLogic

    def mrmlSliceNode(self):
        return self._sliceLogic.GetSliceNode()

    def fitSliceToBackground(self):
        self._sliceLogic.FitSliceToBackground()


class LayoutManager:
    """The slice views of the scene by name."""

    threeDViewCount = 0

    def __init__(self, sliceLogics, applicationLogic):
        self._sliceLogics = sliceLogics
        self._applicationLogic = applicationLogic

    def sliceViewNames(self):
        return tuple(self._sliceLogics)

    def sliceWidget(self, name):
        return SliceWidget(self._sliceLogics[name]) if name in self._sliceLogics else None

    def mrmlSliceLogics(self):
        return self._applicationLogic.GetSliceLogics()

    def layout(self):
        return self._layoutNode().GetViewArrangement()

    def setLayout(self, layout):
        self._layoutNode().SetViewArrangement(layout)

    @staticmethod
    def _layoutNode():
        return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")

    def resetSliceViews(self):
        for sliceLogic in self._sliceLogics.values():
            sliceLogic.FitSliceToAll()

    def resetThreeDViews(self):
        pass
