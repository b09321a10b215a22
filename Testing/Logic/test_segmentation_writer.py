"""Masks into segmentation nodes: on the CT to the voxel, and nothing of the user's is lost."""

import numpy as np
import SimpleITK as sitk
import slicer
from scene_test_case import GEOMETRIES, SHAPE, SceneTestCase, block, geometry, turned

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.writers import FRACTURE, VERTEBRAE
from SpineFractureSegLib.scene.segment_reader import segmentOnGrid
from SpineFractureSegLib.scene.segmentation_writer import prepareSegmentation, writeProbability, writeSegments

SMALL, LARGE = block(), block((1, 2, 2), (8, 9, 11))  # they overlap
NOTHING = np.zeros(SHAPE, np.uint8)
TERMINOLOGY_TAG = "TerminologyEntry"


class SegmentationWriterTest(SceneTestCase):
    def write(self, volumeNode, masks, segmentationNode=None):
        segmentationNode = prepareSegmentation(volumeNode, segmentationNode)
        writeSegments(segmentationNode, volumeNode, masks)
        return segmentationNode

    def assertHolds(self, segmentationNode, segmentID, volumeNode, mask):
        np.testing.assert_array_equal(self.voxelsOf(segmentationNode, segmentID, volumeNode), mask)

    def assertRefused(self, words, volumeNode, segmentationNode):
        with self.assertRaises(UserError) as caught:
            prepareSegmentation(volumeNode, segmentationNode)
        self.assertIn(words, str(caught.exception))

    # --- a new segmentation

    def test_the_mask_lies_on_the_ct_to_the_voxel(self):
        for name, matrix in GEOMETRIES.items():
            for underTransform in (False, True):
                with self.subTest(name, underTransform=underTransform):
                    volumeNode = self.makeVolume(ijkToRas=matrix)
                    if underTransform:
                        volumeNode.SetAndObserveTransformNodeID(self.makeTransform().GetID())
                    segmentationNode = self.write(volumeNode, {FRACTURE: SMALL, VERTEBRAE: LARGE})
                    self.assertHolds(segmentationNode, "Fracture", volumeNode, SMALL)
                    self.assertHolds(segmentationNode, "Vertebrae", volumeNode, LARGE)
                    bounds = np.zeros(6)
                    segmentationNode.GetRASBounds(bounds)
                    positions = self.worldPositions(volumeNode, LARGE)
                    reach = np.abs(matrix[:3, :3]).sum(axis=1).max() * 2  # a voxel and the bounds' own margin
                    np.testing.assert_allclose(bounds[::2], positions.min(axis=0), atol=reach + 8)
                    self.assertTrue((bounds[::2] <= positions.min(axis=0)).all())
                    self.assertTrue((bounds[1::2] >= positions.max(axis=0)).all())

    def test_a_new_node_is_tied_to_the_ct(self):
        volumeNode = self.makeVolume(name="CT 3")
        volumeNode.SetAndObserveTransformNodeID(self.makeTransform().GetID())
        segmentationNode = prepareSegmentation(volumeNode)
        self.assertEqual(segmentationNode.GetName(), "CT 3 fractures")
        role = segmentationNode.GetReferenceImageGeometryReferenceRole()
        self.assertIs(segmentationNode.GetNodeReference(role), volumeNode)
        self.assertEqual(segmentationNode.GetTransformNodeID(), volumeNode.GetTransformNodeID())
        self.assertIsNotNone(segmentationNode.GetDisplayNode())
        self.assertNotEqual(prepareSegmentation(volumeNode).GetName(), "CT 3 fractures")

    def test_new_nodes_lie_beside_the_ct_in_the_tree(self):
        hierarchyNode = slicer.mrmlScene.GetSubjectHierarchyNode()
        volumeNode = self.makeVolume()
        study = hierarchyNode.CreateStudyItem(hierarchyNode.GetSceneItemID(), "study")
        hierarchyNode.SetItemParent(hierarchyNode.GetItemByDataNode(volumeNode), study)
        segmentationNode = self.write(volumeNode, {FRACTURE: SMALL})
        probabilityNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
        writeProbability(probabilityNode, volumeNode, SMALL.astype(np.float32))
        for node in (segmentationNode, probabilityNode):
            self.assertEqual(hierarchyNode.GetItemParent(hierarchyNode.GetItemByDataNode(node)), study)

    def test_a_node_that_the_user_put_elsewhere_in_the_tree_stays_there(self):
        hierarchyNode = slicer.mrmlScene.GetSubjectHierarchyNode()
        volumeNode = self.makeVolume()
        segmentationNode = self.write(volumeNode, {FRACTURE: SMALL})
        folder = hierarchyNode.CreateFolderItem(hierarchyNode.GetSceneItemID(), "mine")
        hierarchyNode.SetItemParent(hierarchyNode.GetItemByDataNode(segmentationNode), folder)
        self.write(volumeNode, {FRACTURE: LARGE}, segmentationNode)
        self.assertEqual(hierarchyNode.GetItemParent(hierarchyNode.GetItemByDataNode(segmentationNode)), folder)

    def test_new_segments_have_name_color_and_terminology(self):
        segmentationNode = self.write(self.makeVolume(), {FRACTURE: SMALL, VERTEBRAE: LARGE})
        self.assertEqual(tuple(segmentationNode.GetSegmentation().GetSegmentIDs()), ("Fracture", "Vertebrae"))
        for described in (FRACTURE, VERTEBRAE):
            segment = segmentationNode.GetSegmentation().GetSegment(described.id)
            self.assertEqual(segment.GetName(), described.name)
            np.testing.assert_allclose(segment.GetColor(), described.color)
            self.assertEqual(segment.GetTerminology(), described.terminology)
            self.assertFalse(segment.GetNameAutoGenerated())
            self.assertFalse(segment.GetColorAutoGenerated())

    def test_new_vertebrae_are_see_through_in_3d_so_that_the_fracture_shows(self):
        displayNode = self.write(self.makeVolume(), {FRACTURE: SMALL, VERTEBRAE: LARGE}).GetDisplayNode()
        self.assertEqual(displayNode.GetSegmentOpacity3D("Fracture"), 1.0)
        self.assertLess(displayNode.GetSegmentOpacity3D("Vertebrae"), 0.5)

    def test_an_empty_mask_is_an_empty_segment(self):
        volumeNode = self.makeVolume()
        segmentationNode = self.write(volumeNode, {FRACTURE: NOTHING, VERTEBRAE: LARGE})
        self.assertIsNotNone(segmentationNode.GetSegmentation().GetSegment("Fracture"))
        self.assertHolds(segmentationNode, "Fracture", volumeNode, NOTHING)
        self.assertHolds(segmentationNode, "Vertebrae", volumeNode, LARGE)

    def test_an_empty_mask_alone_can_be_written(self):
        segmentationNode = self.write(self.makeVolume(), {FRACTURE: NOTHING})
        self.assertEqual(segmentationNode.GetSegmentation().GetNumberOfSegments(), 1)

    def test_a_segment_takes_no_more_memory_than_its_box(self):
        segmentationNode = self.write(self.makeVolume(), {FRACTURE: SMALL})
        labelmap = segmentationNode.GetBinaryLabelmapInternalRepresentation("Fracture")
        self.assertEqual(labelmap.GetDimensions(), (5, 5, 4))

    def test_no_surface_is_made_unasked(self):
        self.assertEqual(
            self.representations(self.write(self.makeVolume(), {FRACTURE: SMALL, VERTEBRAE: LARGE})),
            ["Binary labelmap"],
        )

    def test_a_mask_of_another_size_is_a_wrong_argument(self):
        volumeNode = self.makeVolume()
        segmentationNode = prepareSegmentation(volumeNode)
        with self.assertRaises(ValueError):
            writeSegments(segmentationNode, volumeNode, {FRACTURE: SMALL[1:]})
        self.assertEqual(segmentationNode.GetSegmentation().GetNumberOfSegments(), 0)

    def test_no_temporary_nodes_stay(self):
        volumeNode = self.makeVolume()
        segmentationNode = prepareSegmentation(volumeNode)
        with self.assertNoNewNodes():
            writeSegments(segmentationNode, volumeNode, {FRACTURE: SMALL, VERTEBRAE: LARGE})
            writeSegments(segmentationNode, volumeNode, {FRACTURE: LARGE})

    # --- a second run

    def test_a_second_run_replaces_content_and_keeps_what_the_user_chose(self):
        volumeNode = self.makeVolume()
        segmentationNode = self.write(volumeNode, {FRACTURE: SMALL, VERTEBRAE: LARGE})
        segment = segmentationNode.GetSegmentation().GetSegment("Fracture")
        segment.SetName("my fracture")
        segment.SetColor(0.1, 0.2, 0.3)
        displayNode = segmentationNode.GetDisplayNode()
        displayNode.SetSegmentVisibility("Fracture", False)
        displayNode.SetSegmentOpacity3D("Vertebrae", 0.9)
        displayNode.SetSegmentOpacity2DFill("Fracture", 0.2)
        displayNode.SetOpacity3D(0.7)

        self.write(volumeNode, {FRACTURE: LARGE, VERTEBRAE: NOTHING}, segmentationNode)

        self.assertHolds(segmentationNode, "Fracture", volumeNode, LARGE)
        self.assertHolds(segmentationNode, "Vertebrae", volumeNode, NOTHING)
        segment = segmentationNode.GetSegmentation().GetSegment("Fracture")
        self.assertEqual(segment.GetName(), "my fracture")
        np.testing.assert_allclose(segment.GetColor(), (0.1, 0.2, 0.3))
        self.assertIs(segmentationNode.GetDisplayNode(), displayNode)
        self.assertFalse(displayNode.GetSegmentVisibility("Fracture"))
        self.assertEqual(displayNode.GetSegmentOpacity3D("Vertebrae"), 0.9)
        self.assertEqual(displayNode.GetSegmentOpacity2DFill("Fracture"), 0.2)
        self.assertEqual(displayNode.GetOpacity3D(), 0.7)

    def test_other_segments_stay_as_they_are_where_they_overlap(self):
        volumeNode = self.makeVolume()
        segmentationNode = self.makeSegmentation({"tumor": LARGE}, volumeNode)
        for mask in (SMALL, LARGE, NOTHING):
            self.write(volumeNode, {FRACTURE: mask, VERTEBRAE: LARGE}, segmentationNode)
            self.assertHolds(segmentationNode, "tumor", volumeNode, LARGE)
            self.assertHolds(segmentationNode, "Fracture", volumeNode, mask)

    def test_segments_of_one_layer_are_taken_apart(self):
        volumeNode = self.makeVolume()
        corner = block((0, 0, 0), (2, 2, 2))
        segmentationNode = self.makeSegmentation({"tumor": corner, "Fracture": SMALL}, volumeNode)
        segmentationNode.GetSegmentation().CollapseBinaryLabelmaps(True)
        self.assertEqual(segmentationNode.GetSegmentation().GetNumberOfLayers(), 1)
        self.write(volumeNode, {FRACTURE: LARGE}, segmentationNode)
        self.assertHolds(segmentationNode, "tumor", volumeNode, corner)
        self.assertHolds(segmentationNode, "Fracture", volumeNode, LARGE)
        segmentationNode.GetSegmentation().CollapseBinaryLabelmaps(False)
        self.assertHolds(segmentationNode, "tumor", volumeNode, corner)
        self.assertHolds(segmentationNode, "Fracture", volumeNode, LARGE)

    def test_the_users_tools_work_on_the_written_segment(self):
        volumeNode = self.makeVolume()
        segmentationNode = self.write(volumeNode, {FRACTURE: SMALL, VERTEBRAE: LARGE})
        slicer.util.updateSegmentBinaryLabelmapFromArray(LARGE, segmentationNode, "Fracture", volumeNode)
        self.assertHolds(segmentationNode, "Fracture", volumeNode, LARGE)
        self.assertHolds(segmentationNode, "Vertebrae", volumeNode, LARGE)

    def test_surfaces_are_made_anew_only_where_there_are_some(self):
        volumeNode = self.makeVolume()
        segmentationNode = self.write(volumeNode, {FRACTURE: SMALL})
        segmentationNode.CreateClosedSurfaceRepresentation()
        before = segmentationNode.GetClosedSurfaceInternalRepresentation("Fracture").GetBounds()
        self.write(volumeNode, {FRACTURE: LARGE, VERTEBRAE: SMALL}, segmentationNode)
        after = segmentationNode.GetClosedSurfaceInternalRepresentation("Fracture").GetBounds()
        self.assertGreater(after[1] - after[0], before[1] - before[0] + 2)
        self.assertGreater(segmentationNode.GetClosedSurfaceInternalRepresentation("Vertebrae").GetNumberOfPoints(), 0)
        self.write(volumeNode, {FRACTURE: NOTHING}, segmentationNode)
        self.assertEqual(segmentationNode.GetClosedSurfaceInternalRepresentation("Fracture").GetNumberOfPoints(), 0)

    def test_views_are_told_of_the_new_content(self):
        volumeNode = self.makeVolume()
        segmentationNode = self.write(volumeNode, {FRACTURE: SMALL})
        heard = []
        tag = segmentationNode.AddObserver(
            slicer.vtkSegmentation.RepresentationModified, lambda *_event: heard.append(1)
        )
        self.write(volumeNode, {FRACTURE: LARGE}, segmentationNode)
        segmentationNode.RemoveObserver(tag)
        self.assertEqual(len(heard), 1)

    # --- a segmentation made elsewhere

    def test_a_segmentation_of_another_grid_takes_the_cts_grid(self):
        coarse = self.makeVolume(np.zeros((4, 5, 6), np.int16), geometry(np.eye(3) * 3.0), name="coarse")
        segmentationNode = self.makeSegmentation({"Fracture": np.ones((4, 5, 6), np.uint8)}, coarse)
        volumeNode = self.makeVolume(ijkToRas=GEOMETRIES["oblique"])
        self.write(volumeNode, {FRACTURE: SMALL}, segmentationNode)
        self.assertHolds(segmentationNode, "Fracture", volumeNode, SMALL)
        role = segmentationNode.GetReferenceImageGeometryReferenceRole()
        self.assertIs(segmentationNode.GetNodeReference(role), volumeNode)

    def test_a_segmentation_of_ours_alone_moves_under_the_cts_transform(self):
        volumeNode = self.makeVolume()
        segmentationNode = self.write(volumeNode, {FRACTURE: LARGE})
        volumeNode.SetAndObserveTransformNodeID(self.makeTransform().GetID())
        self.write(volumeNode, {FRACTURE: SMALL}, segmentationNode)
        self.assertEqual(segmentationNode.GetTransformNodeID(), volumeNode.GetTransformNodeID())
        self.assertHolds(segmentationNode, "Fracture", volumeNode, SMALL)

    def test_other_segments_under_another_transform_do_not_move(self):
        drawnOn = self.makeVolume(name="drawn on")
        drawnOn.SetAndObserveTransformNodeID(self.makeTransform().GetID())
        segmentationNode = self.makeSegmentation({"tumor": LARGE}, drawnOn)
        volumeNode = self.makeVolume(ijkToRas=GEOMETRIES["anisotropic"])
        volumeNode.SetAndObserveTransformNodeID(self.makeTransform(geometry(turned(50, 1))).GetID())
        self.write(volumeNode, {FRACTURE: SMALL}, segmentationNode)
        self.assertEqual(segmentationNode.GetTransformNodeID(), drawnOn.GetTransformNodeID())
        self.assertHolds(segmentationNode, "tumor", drawnOn, LARGE)
        # not by assertHolds: Slicer's own export is a voxel off between transforms
        np.testing.assert_array_equal(
            sitk.GetArrayFromImage(segmentOnGrid(segmentationNode, "Fracture", volumeNode)), SMALL
        )

    def test_other_segments_under_a_non_linear_transform_are_refused(self):
        volumeNode = self.makeVolume()
        segmentationNode = self.makeSegmentation({"tumor": LARGE}, volumeNode)
        segmentationNode.SetAndObserveTransformNodeID(self.makeWarp().GetID())
        self.assertRefused("lies a non-linear transform", volumeNode, segmentationNode)

    def test_a_segmentation_of_surfaces_is_refused_and_an_empty_one_is_not(self):
        volumeNode = self.makeVolume()
        surfaces = self.makeSegmentation({"tumor": LARGE}, volumeNode, surfaceOnly=True)
        self.assertRefused('is "Closed surface", "Binary labelmap" is needed', volumeNode, surfaces)
        empty = self.makeSegmentation({}, volumeNode)
        empty.SetSourceRepresentationToClosedSurface()
        self.assertHolds(self.write(volumeNode, {FRACTURE: SMALL}, empty), "Fracture", volumeNode, SMALL)

    def test_a_refused_node_is_not_changed(self):
        volumeNode = self.makeVolume()
        segmentationNode = self.makeSegmentation({"tumor": LARGE}, volumeNode)
        warp = self.makeWarp()
        segmentationNode.SetAndObserveTransformNodeID(warp.GetID())
        other = self.makeVolume(name="other")
        self.assertRefused("non-linear", other, segmentationNode)
        role = segmentationNode.GetReferenceImageGeometryReferenceRole()
        self.assertIs(segmentationNode.GetNodeReference(role), volumeNode)
        self.assertEqual(segmentationNode.GetTransformNodeID(), warp.GetID())

    # --- saved and loaded

    def test_a_saved_scene_brings_everything_back(self):
        volumeNode = self.makeVolume(ijkToRas=GEOMETRIES["oblique"])
        volumeNode.SetAndObserveTransformNodeID(self.makeTransform().GetID())
        segmentationNode = self.makeSegmentation({"tumor": LARGE}, volumeNode, name="mine")
        self.write(volumeNode, {FRACTURE: SMALL, VERTEBRAE: NOTHING}, segmentationNode)
        segmentationNode.GetDisplayNode().SetSegmentOpacity3D("Fracture", 0.25)
        self.reloadScene()
        volumeNode, segmentationNode = self.node("CT"), self.node("mine")
        self.assertHolds(segmentationNode, "Fracture", volumeNode, SMALL)
        self.assertHolds(segmentationNode, "Vertebrae", volumeNode, NOTHING)
        self.assertHolds(segmentationNode, "tumor", volumeNode, LARGE)
        segment = segmentationNode.GetSegmentation().GetSegment("Fracture")
        self.assertEqual(segment.GetTerminology(), FRACTURE.terminology)
        np.testing.assert_allclose(segment.GetColor(), FRACTURE.color, atol=1e-3)
        self.assertEqual(segmentationNode.GetDisplayNode().GetSegmentOpacity3D("Fracture"), 0.25)
        self.assertEqual(segmentationNode.GetTransformNodeID(), volumeNode.GetTransformNodeID())
        self.write(volumeNode, {FRACTURE: LARGE, VERTEBRAE: SMALL}, segmentationNode)
        self.assertHolds(segmentationNode, "Fracture", volumeNode, LARGE)
        self.assertHolds(segmentationNode, "Vertebrae", volumeNode, SMALL)
        self.assertHolds(segmentationNode, "tumor", volumeNode, LARGE)


class ProbabilityTest(SceneTestCase):
    def probability(self):
        return np.linspace(0, 1, int(np.prod(SHAPE)), dtype=np.float32).reshape(SHAPE)

    def test_it_lies_on_the_ct_and_is_shown_from_0_to_1(self):
        volumeNode = self.makeVolume(ijkToRas=GEOMETRIES["sheared"], name="CT 3")
        volumeNode.SetAndObserveTransformNodeID(self.makeTransform().GetID())
        probabilityNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
        writeProbability(probabilityNode, volumeNode, self.probability())
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(probabilityNode), self.probability())
        everything = np.ones(SHAPE)
        np.testing.assert_allclose(
            self.worldPositions(probabilityNode, everything), self.worldPositions(volumeNode, everything)
        )
        self.assertEqual(probabilityNode.GetName(), "CT 3 fracture probability")
        displayNode = probabilityNode.GetDisplayNode()
        self.assertEqual((displayNode.GetWindowLevelMin(), displayNode.GetWindowLevelMax()), (0.0, 1.0))
        self.assertFalse(displayNode.GetAutoWindowLevel())
        self.assertEqual(displayNode.GetColorNode().GetName(), "Iron")

    def test_a_second_run_keeps_name_and_display(self):
        volumeNode = self.makeVolume()
        probabilityNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "mine")
        writeProbability(probabilityNode, volumeNode, self.probability())
        displayNode = probabilityNode.GetDisplayNode()
        displayNode.SetWindowLevelMinMax(0.2, 0.4)
        writeProbability(probabilityNode, volumeNode, self.probability() / 2)
        self.assertEqual(probabilityNode.GetName(), "mine")
        self.assertIs(probabilityNode.GetDisplayNode(), displayNode)
        self.assertAlmostEqual(displayNode.GetWindowLevelMin(), 0.2)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(probabilityNode), self.probability() / 2)

    def test_the_array_is_copied(self):
        probability = self.probability()
        probabilityNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
        writeProbability(probabilityNode, self.makeVolume(), probability)
        probability[:] = 7
        self.assertLessEqual(slicer.util.arrayFromVolume(probabilityNode).max(), 1)

    def test_the_ct_itself_is_refused(self):
        volumeNode = self.makeVolume()
        with self.assertRaises(UserError):
            writeProbability(volumeNode, volumeNode, self.probability())
