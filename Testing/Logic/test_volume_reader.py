"""A volume node as a CT: geometry to the last digit, and a sentence for everything that is no CT."""

import numpy as np
import slicer
import vtk
from scene_test_case import GEOMETRIES, SHAPE, SceneTestCase, block, geometry, turned

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.image_geometry import imageFromArray, worldMatrix
from SpineFractureSegLib.scene.volume_reader import checkVolume, ctFromVolume, ijkToWorld


class VolumeReaderTest(SceneTestCase):
    def assertRefused(self, words, volumeNode, **choices):
        with self.assertRaises(UserError) as caught:
            checkVolume(volumeNode, **choices)
        self.assertIn(words, str(caught.exception))
        self.assertNotIn("\n", str(caught.exception))

    def assertSamePositions(self, image, volumeNode):
        """Every corner voxel of the image lies where Slicer shows it (RAS against LPS)."""
        corners = np.zeros(SHAPE, np.uint8)
        corners[np.ix_([0, -1], [0, -1], [0, -1])] = 1
        shown = self.worldPositions(volumeNode, corners) * (-1, -1, 1)
        indices = np.argwhere(corners)[:, ::-1].tolist()
        np.testing.assert_allclose([image.TransformIndexToPhysicalPoint(i) for i in indices], shown, atol=1e-9)

    def test_the_image_lies_where_slicer_shows_the_volume(self):
        import SimpleITK as sitk

        for name, matrix in GEOMETRIES.items():
            for underTransform in (False, True):
                with self.subTest(name, underTransform=underTransform):
                    volumeNode = self.makeVolume(ijkToRas=matrix)
                    if underTransform:
                        volumeNode.SetAndObserveTransformNodeID(self.makeTransform().GetID())
                    image = ctFromVolume(volumeNode)
                    self.assertSamePositions(image, volumeNode)
                    np.testing.assert_allclose(worldMatrix(image), ijkToWorld(volumeNode), atol=1e-9)
                    np.testing.assert_array_equal(
                        sitk.GetArrayViewFromImage(image), slicer.util.arrayFromVolume(volumeNode)
                    )

    def test_transforms_in_a_chain_are_all_applied(self):
        volumeNode = self.makeVolume(ijkToRas=GEOMETRIES["oblique"])
        inner, outer = self.makeTransform(), self.makeTransform(geometry(turned(70, 1) * 1.5, (0.0, 5.0, 0.0)))
        inner.SetAndObserveTransformNodeID(outer.GetID())
        volumeNode.SetAndObserveTransformNodeID(inner.GetID())
        self.assertSamePositions(ctFromVolume(volumeNode), volumeNode)

    def test_the_image_is_a_copy(self):
        volumeNode = self.makeVolume()
        image = ctFromVolume(volumeNode)
        slicer.util.arrayFromVolume(volumeNode)[:] = -7
        self.assertEqual(image.GetPixel(1, 0, 0), 1)

    def test_the_scene_stays_as_it_was(self):
        volumeNode = self.makeVolume()
        volumeNode.SetAndObserveTransformNodeID(self.makeTransform().GetID())
        with self.assertNoNewNodes():
            ctFromVolume(volumeNode)

    def test_a_geometry_without_a_volume_is_a_wrong_argument_of_an_image(self):
        with self.assertRaises(ValueError):
            imageFromArray(block(), np.diag([1.0, 0.0, 1.0, 1.0]))

    def test_no_volume_is_refused(self):
        self.assertRefused("No volume was given", None)

    def test_a_node_that_is_no_volume_is_refused(self):
        self.assertRefused("is no volume", self.makeTransform())

    def test_a_volume_without_voxels_is_refused(self):
        self.assertRefused("holds no voxels", slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"))
        volumeNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "no scalars")
        volumeNode.SetAndObserveImageData(vtk.vtkImageData())
        self.assertRefused("holds no voxels", volumeNode)

    def test_a_label_map_is_refused(self):
        volumeNode = self.makeVolume(block(), kind="vtkMRMLLabelMapVolumeNode", name="labels")
        self.assertRefused('"labels" is a label map', volumeNode)

    def test_a_color_volume_is_refused(self):
        volumeNode = self.makeVolume(np.zeros((*SHAPE, 3), np.uint8), kind="vtkMRMLVectorVolumeNode")
        self.assertRefused("with 3 values per voxel", volumeNode)

    def test_a_volume_with_two_components_is_refused(self):
        imageData = vtk.vtkImageData()
        imageData.SetDimensions(SHAPE[::-1])
        imageData.AllocateScalars(vtk.VTK_SHORT, 2)
        volumeNode = self.makeVolume()
        volumeNode.SetAndObserveImageData(imageData)
        self.assertRefused("with 2 values per voxel", volumeNode)

    def test_a_flattened_volume_is_refused(self):
        volumeNode = self.makeVolume()
        volumeNode.SetAndObserveTransformNodeID(self.makeTransform(np.diag([1.0, 0.0, 1.0, 1.0])).GetID())
        self.assertRefused("span no space", volumeNode)

    def test_a_non_linear_transform_is_refused_with_its_name(self):
        volumeNode = self.makeVolume()
        volumeNode.SetAndObserveTransformNodeID(self.makeWarp(name="my warp").GetID())
        self.assertRefused('non-linear transform "my warp"', volumeNode)

    def test_a_hardened_non_linear_transform_is_accepted(self):
        volumeNode = self.makeVolume()
        volumeNode.SetAndObserveTransformNodeID(self.makeWarp().GetID())
        volumeNode.HardenTransform()
        checkVolume(volumeNode)

    def makeSequence(self, frames):
        browserNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
        sequenceNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "cine")
        volumeNode = self.makeVolume(name="frame")
        for frame in range(frames):
            sequenceNode.SetDataNodeAtValue(volumeNode, str(frame))
        browserNode.AddSynchronizedSequenceNode(sequenceNode)
        browserNode.AddProxyNode(volumeNode, sequenceNode, False)
        return volumeNode

    def test_a_frame_of_a_sequence_is_refused_unless_the_user_says_so(self):
        volumeNode = self.makeSequence(3)
        self.assertRefused('one of the 3 frames of the sequence "cine"', volumeNode)
        checkVolume(volumeNode, allowSequenceFrame=True)
        self.assertEqual(ctFromVolume(volumeNode, allowSequenceFrame=True).GetSize(), SHAPE[::-1])

    def test_a_sequence_of_one_volume_is_a_volume(self):
        checkVolume(self.makeSequence(1))

    def test_a_volume_beside_a_sequence_is_a_volume(self):
        self.makeSequence(3)
        checkVolume(self.makeVolume())
