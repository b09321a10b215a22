"""A segment on a CT's grid: whatever grid, transform and representation it has, and nothing left in the scene."""

import numpy as np
import slicer
from scene_test_case import GEOMETRIES, SHAPE, SceneTestCase, block, geometry, turned

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.image_geometry import worldMatrix
from SpineFractureSegLib.scene.segment_reader import segmentOnGrid
from SpineFractureSegLib.scene.volume_reader import ijkToWorld

FINE_SHAPE = (40, 40, 40)


def ball(shape=FINE_SHAPE, radius=12.0):
    center = (np.array(shape) - 1) / 2 + (1.5, -2.0, 0.5)
    return (np.linalg.norm(np.moveaxis(np.indices(shape), 0, -1) - center, axis=-1) < radius).astype(np.uint8)


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


class SegmentReaderTest(SceneTestCase):
    def read(self, segmentationNode, segmentID, volumeNode):
        """The mask as an array, after a look at the image's place and at the scene."""
        import SimpleITK as sitk

        source = segmentationNode.GetSegmentation().GetSourceRepresentationName()
        contained = self.representations(segmentationNode)
        with self.assertNoNewNodes():
            image = segmentOnGrid(segmentationNode, segmentID, volumeNode)
        self.assertEqual(segmentationNode.GetSegmentation().GetSourceRepresentationName(), source)
        self.assertEqual(self.representations(segmentationNode), contained)
        self.assertEqual(image.GetPixelID(), sitk.sitkUInt8)
        np.testing.assert_allclose(worldMatrix(image), ijkToWorld(volumeNode), atol=1e-9)
        return sitk.GetArrayFromImage(image)

    def assertRefused(self, words, *arguments):
        with self.assertNoNewNodes(), self.assertRaises(UserError) as caught:
            segmentOnGrid(*arguments)
        self.assertIn(words, str(caught.exception))

    def expected(self, segmentVolume, mask, volumeNode):
        """Nearest neighbor by hand: each voxel of the volume, moved point by point into the segment's grid."""
        shape = volumeNode.GetImageData().GetDimensions()[::-1]
        world = self.worldPositions(volumeNode, np.ones(shape))
        toIndex = np.linalg.inv(ijkToWorld(segmentVolume))
        index = np.rint(world @ toIndex[:3, :3].T + toIndex[:3, 3]).astype(int)[:, ::-1]
        inside = ((index >= 0) & (index < mask.shape)).all(axis=1)
        result = np.zeros(len(index), np.uint8)
        result[inside] = mask[tuple(index[inside].T)]
        return result.reshape(shape)

    def test_on_its_own_grid_every_voxel_comes_back(self):
        for name, matrix in GEOMETRIES.items():
            for underTransform in (False, True):
                with self.subTest(name, underTransform=underTransform):
                    volumeNode = self.makeVolume(ijkToRas=matrix)
                    if underTransform:
                        volumeNode.SetAndObserveTransformNodeID(self.makeTransform().GetID())
                    segmentationNode = self.makeSegmentation({"a": block()}, volumeNode)
                    np.testing.assert_array_equal(self.read(segmentationNode, "a", volumeNode), block())

    def test_of_segments_in_one_layer_only_the_one_asked_for_is_read(self):
        volumeNode = self.makeVolume()
        masks = {"a": block(), "b": block((0, 0, 0), (2, 2, 2))}
        segmentationNode = self.makeSegmentation(masks, volumeNode)
        segmentationNode.GetSegmentation().CollapseBinaryLabelmaps(True)
        self.assertEqual(segmentationNode.GetSegmentation().GetNumberOfLayers(), 1)
        for segmentID, mask in masks.items():
            np.testing.assert_array_equal(self.read(segmentationNode, segmentID, volumeNode), mask)

    def test_of_another_grid_the_nearest_voxel_counts(self):
        other = self.makeVolume(ball(), geometry(np.eye(3) * 0.9, (3.0, -40.0, 90.0)), name="other")
        center = self.worldPositions(other, ball()).mean(axis=0)
        for name, matrix in GEOMETRIES.items():
            with self.subTest(name):
                axes = matrix[:3, :3]
                volumeNode = self.makeVolume(ijkToRas=geometry(axes, center - axes @ np.array(SHAPE[::-1]) / 2))
                segmentationNode = self.makeSegmentation({"a": ball()}, other)
                found = self.read(segmentationNode, "a", volumeNode)
                self.assertGreater(dice(found, self.expected(other, ball(), volumeNode)), 0.99)

    def test_segmentation_and_volume_may_lie_under_different_transforms(self):
        other = self.makeVolume(ball(), GEOMETRIES["oblique"], name="other")
        other.SetAndObserveTransformNodeID(self.makeTransform().GetID())
        segmentationNode = self.makeSegmentation({"a": ball()}, other)
        turn = geometry(turned(-25, 1), (0.0, 6.0, -3.0))
        matrix = np.linalg.inv(turn) @ ijkToWorld(other) @ np.diag([1.5, 1.3, 1.1, 1.0])
        volumeNode = self.makeVolume(np.zeros((30, 26, 24), np.int16), matrix)
        volumeNode.SetAndObserveTransformNodeID(self.makeTransform(turn).GetID())
        found = self.read(segmentationNode, "a", volumeNode)
        self.assertGreater(dice(found, self.expected(other, ball(), volumeNode)), 0.99)

    def test_a_segmentation_under_a_non_linear_transform_is_read_where_it_is_shown(self):
        volumeNode = self.makeVolume(ball(), geometry(np.eye(3), (0.0, 0.0, 0.0)))
        segmentationNode = self.makeSegmentation({"a": ball()}, volumeNode)
        warp = self.makeWarp(shift_mm=5.0)
        segmentationNode.SetAndObserveTransformNodeID(warp.GetID())
        moved = warp.GetTransformToParent().TransformPoint((20.0, 20.0, 20.0))[2] - 20.0
        found = self.read(segmentationNode, "a", volumeNode)
        self.assertGreater(dice(found, np.roll(ball(), round(moved), axis=0)), 0.95)

    def test_a_segmentation_of_surfaces_is_filled_on_the_volumes_grid(self):
        other = self.makeVolume(ball(), geometry(np.eye(3) * 0.9, (3.0, -40.0, 90.0)), name="other")
        segmentationNode = self.makeSegmentation({"a": ball()}, other, surfaceOnly=True)
        volumeNode = self.makeVolume(np.zeros((24, 60, 60), np.int16), geometry(np.diag([0.7, 0.7, 1.9]), (0, -41, 88)))
        volumeNode.SetAndObserveTransformNodeID(self.makeTransform(geometry(turned(8, 2), (0, 2, 0))).GetID())
        found = self.read(segmentationNode, "a", volumeNode)
        self.assertGreater(dice(found, self.expected(other, ball(), volumeNode)), 0.95)  # the surface is smoothed

    def test_surfaces_under_a_non_linear_transform_are_moved_too(self):
        volumeNode = self.makeVolume(ball(), geometry(np.eye(3), (0.0, 0.0, 0.0)))
        segmentationNode = self.makeSegmentation({"a": ball()}, volumeNode, surfaceOnly=True)
        warp = self.makeWarp(shift_mm=5.0)
        segmentationNode.SetAndObserveTransformNodeID(warp.GetID())
        moved = warp.GetTransformToParent().TransformPoint((20.0, 20.0, 20.0))[2] - 20.0
        found = self.read(segmentationNode, "a", volumeNode)
        self.assertGreater(dice(found, np.roll(ball(), round(moved), axis=0)), 0.93)

    def test_a_segment_that_reaches_out_of_the_volume_is_cut(self):
        other = self.makeVolume(ball(), geometry(np.eye(3), (12.5 - 20, -30.0 - 20, 101.0 - 20)), name="other")
        for surfaceOnly in (False, True):
            segmentationNode = self.makeSegmentation({"a": ball()}, other, surfaceOnly=surfaceOnly)
            found = self.read(segmentationNode, "a", self.makeVolume())
            self.assertEqual(found.shape, SHAPE)
            self.assertGreater(dice(found, self.expected(other, ball(), self.makeVolume())), 0.95)

    def test_no_segmentation_is_refused(self):
        volumeNode = self.makeVolume()
        self.assertRefused("No segmentation was given", None, "a", volumeNode)
        self.assertRefused("is no segmentation", volumeNode, "a", volumeNode)

    def test_an_unknown_segment_is_refused_with_those_there_are(self):
        volumeNode = self.makeVolume()
        segmentationNode = self.makeSegmentation({"a": block(), "b": block()}, volumeNode)
        self.assertRefused('no segment with the ID "c": choose one of "a", "b"', segmentationNode, "c", volumeNode)
        self.assertRefused('no segment with the ID ""', segmentationNode, "", volumeNode)
        self.assertRefused("has no segments", self.makeSegmentation({}, volumeNode), "a", volumeNode)

    def test_an_empty_segment_is_refused(self):
        volumeNode = self.makeVolume()
        erased = self.makeSegmentation({"a": block(), "b": block()}, volumeNode)
        slicer.util.updateSegmentBinaryLabelmapFromArray(np.zeros(SHAPE, np.uint8), erased, "a", volumeNode)
        new = self.makeSegmentation({"b": block()}, volumeNode)
        new.GetSegmentation().AddEmptySegment("a", "new")
        surfaces = self.makeSegmentation({"b": block()}, volumeNode, surfaceOnly=True)
        surfaces.GetSegmentation().AddEmptySegment("a", "new")
        for segmentationNode in (erased, new, surfaces):
            self.assertRefused("is empty", segmentationNode, "a", volumeNode)

    def test_a_segment_outside_of_the_volume_is_refused(self):
        far = self.makeVolume(ijkToRas=geometry(np.eye(3), (500.0, 0.0, 0.0)), name="far")
        for surfaceOnly in (False, True):
            segmentationNode = self.makeSegmentation({"a": block()}, far, surfaceOnly=surfaceOnly)
            self.assertRefused('no voxel inside the volume "CT"', segmentationNode, "a", self.makeVolume())

    def test_a_volume_that_is_no_ct_is_refused(self):
        volumeNode = self.makeVolume()
        segmentationNode = self.makeSegmentation({"a": block()}, volumeNode)
        self.assertRefused("No volume was given", segmentationNode, "a", None)
