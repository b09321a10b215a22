"""Pictures of slice and 3D views, rendered offscreen by Slicer's own displayable managers, for the screenshot.

Known to differ: no corner annotations, no rulers, and slices of other views are not shown.
"""

from pathlib import Path

import numpy as np
import slicer
import vtk
import vtkmodules.vtkInteractionStyle
import vtkmodules.vtkRenderingFreeType
import vtkmodules.vtkRenderingOpenGL2  # noqa: F401  these three register what a window needs
from vtk.util.numpy_support import vtk_to_numpy

SLICE_MANAGERS = ("vtkMRMLModelSliceDisplayableManager", "vtkMRMLSegmentationsDisplayableManager2D")
THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
)
# Slicer's default background: (bottom, top).
THREE_D_BACKGROUND = ((0.7568627, 0.7647058, 0.9098039), (0.4549019, 0.4705882, 0.7450980))


class _View:
    """An offscreen window whose contents follow a view node."""

    def __init__(self, factoryClass, managers, viewNode, size):
        self.renderer = vtk.vtkRenderer()
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)
        self.window.SetSize(*size)
        self.window.AddRenderer(self.renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(self.window)
        factory = factoryClass.GetInstance()
        factory.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        for name in managers:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        renderer = self._prepareWindow()
        self._managers = slicer.vtkMRMLDisplayableManagerGroup()
        self._managers.SetRenderer(renderer)
        self._managers.Initialize(factory, renderer)
        self._managers.SetMRMLDisplayableNode(viewNode)

    def _prepareWindow(self):
        """Returns the renderer for what the displayable managers show."""
        return self.renderer

    def picture(self):
        """Returns the view as (row, column, 3) uint8, first row on top."""
        self._update()
        self.window.Render()
        reader = vtk.vtkWindowToImageFilter()
        reader.SetInput(self.window)
        reader.ReadFrontBufferOff()
        reader.Update()
        width, height, _ = reader.GetOutput().GetDimensions()
        pixels = vtk_to_numpy(reader.GetOutput().GetPointData().GetScalars()).reshape(height, width, -1)
        return np.ascontiguousarray(pixels[::-1, :, :3])

    def save(self, path):
        """Writes the view as PNG."""
        from PIL import Image

        Image.fromarray(self.picture()).save(Path(path))


class SliceView(_View):
    """A slice view of the scene.

    Arguments:
        name: Red (axial), Green (coronal) or Yellow (sagittal).
        size: (width, height) in pixels.
    """

    def __init__(self, name="Red", size=(600, 500)):
        self.logic = slicer.app.layoutManager().sliceWidget(name).sliceLogic()
        self.node = self.logic.GetSliceNode()
        super().__init__(slicer.vtkMRMLSliceViewDisplayableManagerFactory, SLICE_MANAGERS, self.node, size)
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._slice = vtk.vtkActor2D()
        self._slice.SetMapper(self._mapper)
        self._slice.GetProperty().SetDisplayLocationToBackground()
        self.renderer.AddViewProp(self._slice)

    def showVolume(self, volumeNode):
        """Puts the volume in the background and fits the view to it."""
        self.logic.GetSliceCompositeNode().SetBackgroundVolumeID(volumeNode.GetID())
        self._resize()
        self.logic.FitSliceToBackground()
        self.logic.SnapSliceOffsetToIJK()

    def jumpTo(self, ras_mm):
        """Moves the slice through the point and the view's center to it."""
        self.node.JumpSliceByCentering(*ras_mm)

    def zoom(self, factor):
        """Magnifies by the factor."""
        width_mm, height_mm, depth_mm = self.node.GetFieldOfView()
        self.node.SetFieldOfView(width_mm / factor, height_mm / factor, depth_mm)

    def _prepareWindow(self):
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        overlay = vtk.vtkRenderer()
        overlay.GetActiveCamera().ParallelProjectionOn()
        overlay.SetLayer(1)
        self.window.SetNumberOfLayers(2)
        self.window.AddRenderer(overlay)
        return overlay

    def _resize(self):
        self.logic.ResizeSliceNode(*self.window.GetSize())

    def _update(self):
        self._resize()
        connection = self.logic.GetImageDataConnection()
        self._slice.SetVisibility(connection is not None)
        if connection is not None:
            self._mapper.SetInputConnection(connection)


class ThreeDView(_View):
    """The 3D view of the scene, without box and axis labels.

    Arguments:
        size: (width, height) in pixels.
    """

    def __init__(self, size=(600, 500)):
        self.node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLViewNode")
        self.node.SetBoxVisible(0)
        self.node.SetAxisLabelsVisible(0)
        super().__init__(slicer.vtkMRMLThreeDViewDisplayableManagerFactory, THREE_D_MANAGERS, self.node, size)

    def lookFrom(self, direction, zoom=1.0):
        """Looks at all that is shown.

        Arguments:
            direction: from where, as Slicer's camera names it: Anterior, Posterior, Left, Right, Superior, Inferior.
            zoom: 1 fits everything into the view.
        """
        manager = self._managers.GetDisplayableManagerByClassName("vtkMRMLCameraDisplayableManager")
        camera = manager.GetCameraNode()
        camera.RotateTo(getattr(slicer.vtkMRMLCameraNode, direction))
        self.renderer.ResetCamera()
        self.renderer.GetActiveCamera().Zoom(zoom)
        self.renderer.ResetCameraClippingRange()

    def _prepareWindow(self):
        self.renderer.SetUseDepthPeeling(1)
        return self.renderer

    def _update(self):
        self.renderer.SetBackground(*THREE_D_BACKGROUND[0])
        self.renderer.SetBackground2(*THREE_D_BACKGROUND[1])
        self.renderer.GradientBackgroundOn()
