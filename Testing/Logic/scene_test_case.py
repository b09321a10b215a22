"""What the tests of the scene share: an empty scene, small volumes in any geometry, segmentations, transforms.

Plain unittest, because inside the application these tests are run by Slicer's own Python.
"""

import contextlib
import tempfile
import unittest
from pathlib import Path

import numpy as np
import slicer
import vtk

SHAPE = (9, 11, 13)  # slice, row, column: no two alike


def turned(degrees, axis):
    """(3, 3) rotation about x, y or z (0, 1, 2)."""
    transform = vtk.vtkTransform()
    transform.RotateWXYZ(degrees, *np.eye(3)[axis])
    return slicer.util.arrayFromVTKMatrix(transform.GetMatrix())[:3, :3]


def geometry(axes, origin=(12.5, -30.0, 101.0)):
    """(4, 4) matrix; the columns of ``axes`` are the steps from voxel to voxel in RAS mm."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = axes, origin
    return matrix


GEOMETRIES = {
    "straight": geometry(np.eye(3)),
    "flipped": geometry(np.diag([-1.0, -1.0, 1.0])),  # as DICOM stores it
    "mirrored": geometry(np.diag([1.0, 1.0, -1.0])),  # left-handed
    "permuted": geometry(np.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]])),  # sagittal slices
    "anisotropic": geometry(np.diag([0.4, 0.6, 2.5])),
    "oblique": geometry(turned(20, 0) @ turned(-35, 1) @ turned(10, 2) @ np.diag([-0.7, -0.8, 1.9])),
    "sheared": geometry(np.array([[0.8, 0, 0], [0, 0.8, 0.5], [0, 0, 1.5]])),  # gantry tilt, not hardened
}


class SceneTestCase(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear(0)
        folder = tempfile.TemporaryDirectory(prefix="spine-fracture-seg-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def tearDown(self):
        slicer.mrmlScene.Clear(0)

    # --- builders

    def makeVolume(self, array=None, ijkToRas=GEOMETRIES["straight"], name="CT", kind="vtkMRMLScalarVolumeNode"):
        """A volume node of int16 numbers that are all different, or of ``array`` (slice, row, column)."""
        if array is None:
            array = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
        volumeNode = slicer.mrmlScene.AddNewNodeByClass(kind, name)
        slicer.util.updateVolumeFromArray(volumeNode, array)
        volumeNode.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ijkToRas))
        return volumeNode

    def makeSegmentation(self, masks, volumeNode, name="Segmentation", surfaceOnly=False):
        """A segmentation node with segments of these ids (and names), drawn as a user does on the volume."""
        segmentationNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        segmentationNode.CreateDefaultDisplayNodes()
        segmentationNode.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
        segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(volumeNode)
        for segmentID, mask in masks.items():
            segmentationNode.GetSegmentation().AddEmptySegment(segmentID, segmentID)
            slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentationNode, segmentID, volumeNode)
        if surfaceOnly:
            segmentationNode.CreateClosedSurfaceRepresentation()
            segmentationNode.SetSourceRepresentationToClosedSurface()
            segmentationNode.RemoveBinaryLabelmapRepresentation()
        return segmentationNode

    def makeTransform(self, matrix=None, name="Transform"):
        """A linear transform node; turned and moved by default."""
        if matrix is None:
            matrix = geometry(turned(30, 2) @ turned(-12, 0), (15.0, -8.0, 4.0))
        transformNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
        transformNode.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        return transformNode

    def makeWarp(self, shift_mm=3.0, name="Warp"):
        """A transform node that moves everything along S by ``shift_mm`` but is not linear far from the origin."""
        corners = vtk.vtkPoints()
        moved = vtk.vtkPoints()
        for corner in np.ndindex(2, 2, 2):
            point = (np.array(corner) - 0.5) * 1000.0
            corners.InsertNextPoint(point)
            moved.InsertNextPoint(point + (0.0, 0.0, shift_mm + (20.0 if corner == (0, 0, 0) else 0.0)))
        spline = vtk.vtkThinPlateSplineTransform()
        spline.SetSourceLandmarks(corners)
        spline.SetTargetLandmarks(moved)
        spline.SetBasisToR()
        transformNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", name)
        transformNode.SetAndObserveTransformToParent(spline)
        return transformNode

    # --- what is in the scene

    def nodeIDs(self):
        scene = slicer.mrmlScene
        return {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}

    @contextlib.contextmanager
    def assertNoNewNodes(self):
        before = self.nodeIDs()
        yield
        self.assertEqual(self.nodeIDs() - before, set())

    def representations(self, segmentationNode):
        """Names of the representations that the segmentation has, of those it could have."""
        segmentation, names = segmentationNode.GetSegmentation(), ("Binary labelmap", "Closed surface")
        return [name for name in names if segmentation.ContainsRepresentation(name)]

    def voxelsOf(self, segmentationNode, segmentID, volumeNode):
        """The segment on the volume's grid, as Slicer's own function exports it."""
        return slicer.util.arrayFromSegmentBinaryLabelmap(segmentationNode, segmentID, volumeNode)

    def worldPositions(self, volumeNode, mask):
        """(N, 3) RAS mm of the set voxels, through the volume's matrix and its parent transform, point by point."""
        matrix = vtk.vtkMatrix4x4()
        volumeNode.GetIJKToRASMatrix(matrix)
        toWorld = vtk.vtkGeneralTransform()
        slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(volumeNode.GetParentTransformNode(), None, toWorld)
        return np.array(
            [toWorld.TransformPoint(matrix.MultiplyPoint((*ijk[::-1], 1.0))[:3]) for ijk in np.argwhere(mask)]
        )

    def reloadScene(self):
        """Saves the scene as one .mrb file, closes it and loads it again."""
        path = str(self.folder / "scene.mrb")
        self.assertTrue(slicer.util.saveScene(path))
        slicer.mrmlScene.Clear(0)
        slicer.util.loadScene(path)

    def node(self, name):
        return slicer.mrmlScene.GetFirstNodeByName(name)


def block(start=(2, 3, 4), stop=(6, 8, 9), shape=SHAPE):
    """uint8 mask (slice, row, column) of a box, with one corner missing so that no mirror image is the same."""
    mask = np.zeros(shape, np.uint8)
    mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = 1
    mask[start] = 0
    return mask
