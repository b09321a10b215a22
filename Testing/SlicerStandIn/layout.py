"""Stands in for `slicer.app.layoutManager()` as far as a module moves and fits slice views.

Known to differ: the views have no windows and no 3D widget exists, so `threeDViewCount` is 0.
"""


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

    def resetSliceViews(self):
        for sliceLogic in self._sliceLogics.values():
            sliceLogic.FitSliceToAll()

    def resetThreeDViews(self):
        pass
