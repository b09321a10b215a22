"""The logic as Slicer's Python console uses it; these tests give it a prepared result in place of the engine's."""

import unittest
from unittest import mock

import numpy as np
import slicer
import vtk
from scene_test_case import GEOMETRIES, SHAPE, SceneTestCase, block

from SpineFractureSeg import SpineFractureSegLogic
from SpineFractureSegLib.engine.errors import Cancelled, UserError
from SpineFractureSegLib.scene.engine_job import EngineJob, EngineResult

REPORT = {
    "device": "cpu",
    "precision": "float32",
    "batch_size": 2,
    "seconds": 1.5,
    "model": {"name": "test-model", "version": "3", "threshold": 0.5, "min_volume_mm3": 0.0},
    "warnings": [],
    "findings": [],
    "vertebrae": [],
}


def probabilityOfBlock(high=0.9, low=0.4):
    """High inside the block, low in a shell around a part of it."""
    probability = np.zeros(SHAPE, np.float32)
    probability[1:7, 2:9, 3:10] = low
    probability[block() > 0] = high
    return probability


def engineResult(probability=None, threshold=0.5, vertebrae=None):
    probability = probabilityOfBlock() if probability is None else probability
    return EngineResult((probability >= threshold).astype(np.uint8), vertebrae, probability, REPORT)


class LogicTest(SceneTestCase):
    def setUp(self):
        super().setUp()
        self.logic = SpineFractureSegLogic()
        self.result = engineResult()
        self.jobs = []

        def run(job, onProgress=None, onLog=None):
            self.jobs.append(job)
            if isinstance(self.result, Exception):
                raise self.result
            return self.result() if callable(self.result) else self.result

        for patch in (
            mock.patch.object(EngineJob, "run", run),
            mock.patch("SpineFractureSegLib.scene.installation.missingPackages", return_value=[]),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    # --- segment

    def test_the_segment_holds_the_engines_mask_voxel_for_voxel_in_every_geometry(self):
        for name, ijkToRas in GEOMETRIES.items():
            with self.subTest(name):
                volumeNode = self.makeVolume(ijkToRas=ijkToRas)
                segmentationNode = self.logic.segment(volumeNode)
                np.testing.assert_array_equal(self.voxelsOf(segmentationNode, "Fracture", volumeNode), block())

    def test_the_result_lies_under_the_transform_of_the_CT_and_findings_are_in_world_coordinates(self):
        volumeNode = self.makeVolume(ijkToRas=GEOMETRIES["oblique"])
        transformNode = self.makeTransform()
        volumeNode.SetAndObserveTransformNodeID(transformNode.GetID())

        segmentationNode = self.logic.segment(volumeNode)

        self.assertEqual(segmentationNode.GetTransformNodeID(), transformNode.GetID())
        table = self.logic.findingsTable(segmentationNode).GetTable()
        centroid = [table.GetValue(0, column).ToDouble() for column in (2, 3, 4)]
        np.testing.assert_allclose(centroid, self.worldPositions(volumeNode, block()).mean(axis=0), atol=0.01)

    def test_the_engine_gets_the_CT_as_it_lies_in_the_world(self):
        volumeNode = self.makeVolume(ijkToRas=GEOMETRIES["sheared"])
        volumeNode.SetAndObserveTransformNodeID(self.makeTransform().GetID())
        self.logic.segment(volumeNode)
        image = self.jobs[0]._ct
        corner = np.zeros(SHAPE, bool)
        corner[-1, -1, -1] = True
        lps = image.TransformIndexToPhysicalPoint([size - 1 for size in reversed(SHAPE)])
        np.testing.assert_allclose([-lps[0], -lps[1], lps[2]], self.worldPositions(volumeNode, corner)[0], atol=1e-6)

    def test_a_second_run_replaces_the_content_and_keeps_what_the_user_chose(self):
        volumeNode = self.makeVolume()
        segmentationNode = self.logic.segment(volumeNode)
        segment = segmentationNode.GetSegmentation().GetSegment("Fracture")
        segment.SetColor(0.1, 0.2, 0.9)
        segmentationNode.GetDisplayNode().SetSegmentVisibility("Fracture", False)
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            block(), segmentationNode, segmentationNode.GetSegmentation().AddEmptySegment("mine", "mine"), volumeNode
        )
        nodes = self.nodeIDs()
        self.result = engineResult(np.roll(probabilityOfBlock(), 1, axis=2))

        again = self.logic.segment(volumeNode, segmentationNode)

        self.assertIs(again, segmentationNode)
        self.assertEqual(self.nodeIDs(), nodes)
        np.testing.assert_array_equal(
            self.voxelsOf(segmentationNode, "Fracture", volumeNode), np.roll(block(), 1, axis=2)
        )
        np.testing.assert_array_equal(self.voxelsOf(segmentationNode, "mine", volumeNode), block())
        self.assertEqual(segmentationNode.GetSegmentation().GetSegment("Fracture").GetColor(), (0.1, 0.2, 0.9))
        self.assertFalse(segmentationNode.GetDisplayNode().GetSegmentVisibility("Fracture"))

    def test_vertebrae_become_a_segment_of_their_own_that_may_overlap(self):
        vertebrae = np.zeros(SHAPE, np.uint8)
        vertebrae[1:8, 1:10, 2:12] = 1
        self.result = engineResult(vertebrae=vertebrae)
        volumeNode = self.makeVolume()
        segmentationNode = self.logic.segment(volumeNode, vertebrae=True)
        np.testing.assert_array_equal(self.voxelsOf(segmentationNode, "Vertebrae", volumeNode), vertebrae)
        np.testing.assert_array_equal(self.voxelsOf(segmentationNode, "Fracture", volumeNode), block())
        self.assertIn("--vertebrae", self.jobs[0]._settings.arguments())

    def test_nothing_found_gives_an_empty_segment_and_an_empty_table(self):
        self.result = engineResult(np.zeros(SHAPE, np.float32))
        volumeNode = self.makeVolume()
        segmentationNode = self.logic.segment(volumeNode)
        self.assertEqual(self.voxelsOf(segmentationNode, "Fracture", volumeNode).sum(), 0)
        self.assertEqual(self.logic.findingsTable(segmentationNode).GetNumberOfRows(), 0)

    def test_the_probability_is_written_on_request_only(self):
        volumeNode = self.makeVolume(ijkToRas=GEOMETRIES["flipped"])
        self.logic.segment(volumeNode)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode"), 1)
        self.logic.segment(volumeNode, probability=True)
        probabilityNode = self.node("CT fracture probability")
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(probabilityNode), probabilityOfBlock())

    def test_options_reach_the_engine_and_what_is_not_given_is_left_to_it(self):
        self.logic.segment(self.makeVolume())
        self.assertEqual(self.jobs[0]._settings.arguments(), ["--device=auto"])
        self.logic.segment(
            self.makeVolume(), None, "clinic", "cpu", ["sagittal", "axial"], 0.25, minVolumeMm3=300, batchSize=4
        )
        self.assertEqual(
            self.jobs[1]._settings.arguments(),
            ["--model=clinic", "--device=cpu", "--planes=sagittal,axial", "--threshold=0.25", "--min-volume=300",
             "--batch-size=4"],
        )  # fmt: skip

    def test_the_record_of_the_run_survives_saving_and_loading_the_scene(self):
        record = self.logic.runRecord(self.logic.segment(self.makeVolume(), threshold=0.3))
        self.reloadScene()
        loaded = SpineFractureSegLogic().runRecord(self.node("CT fractures"))
        self.assertEqual(loaded, record)
        self.assertEqual((loaded.model, loaded.device, loaded.threshold), ("test-model 3", "cpu", 0.3))

    # --- what goes wrong

    def test_an_engine_that_fails_or_is_cancelled_leaves_the_scene_as_it_was(self):
        volumeNode = self.makeVolume()
        for error in (UserError("This is no CT."), Cancelled("stopped")):
            self.result = error
            with self.assertNoNewNodes(), self.assertRaises(type(error)):
                self.logic.segment(volumeNode, probability=True)

    def test_a_failure_while_the_result_is_written_leaves_no_new_node(self):
        volumeNode = self.makeVolume()
        broken = mock.patch(
            "SpineFractureSegLib.scene.segmentation_run.writeFindings", side_effect=RuntimeError("disk full")
        )
        with broken, self.assertNoNewNodes(), self.assertRaises(RuntimeError):
            self.logic.segment(volumeNode)

    def test_a_CT_that_is_removed_meanwhile_is_said_and_its_result_dropped(self):
        volumeNode = self.makeVolume()
        nodes = self.nodeIDs()

        def removed():
            slicer.mrmlScene.RemoveNode(volumeNode)
            return engineResult()

        self.result = removed
        with self.assertRaisesRegex(UserError, "removed from the scene"):
            self.logic.segment(volumeNode)
        self.assertLess(self.nodeIDs(), nodes)

    def test_a_CT_that_becomes_another_size_meanwhile_is_said(self):
        volumeNode = self.makeVolume()

        def cropped():
            slicer.util.updateVolumeFromArray(volumeNode, np.zeros((3, 4, 5), np.int16))
            return engineResult()

        self.result = cropped
        with self.assertRaisesRegex(UserError, "changed while"):
            self.logic.segment(volumeNode)

    def test_a_segmentation_that_is_deleted_meanwhile_is_replaced_by_a_new_one(self):
        volumeNode = self.makeVolume()
        segmentationNode = self.logic.segment(volumeNode)

        def deleted():
            slicer.mrmlScene.RemoveNode(segmentationNode)
            return engineResult()

        self.result = deleted
        again = self.logic.segment(volumeNode, segmentationNode)
        np.testing.assert_array_equal(self.voxelsOf(again, "Fracture", volumeNode), block())

    def test_what_cannot_be_segmented_is_refused_before_any_work(self):
        volumeNode = self.makeVolume()
        cases = [
            ((None,), "No volume"),
            ((slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"),), "no voxels"),
            ((volumeNode, volumeNode), "no segmentation"),
        ]
        for arguments, sentence in cases:
            with self.subTest(sentence), self.assertNoNewNodes(), self.assertRaisesRegex(UserError, sentence):
                self.logic.segment(*arguments)
        with self.assertRaisesRegex(UserError, "overwrite the CT"):
            self.logic.segment(volumeNode, probability=volumeNode)
        self.assertEqual(self.jobs, [])

    def test_missing_packages_are_named(self):
        missing = mock.patch("SpineFractureSegLib.scene.installation.missingPackages", return_value=["torch>=2.5"])
        with missing, self.assertRaisesRegex(UserError, "torch"):
            self.logic.segment(self.makeVolume())

    # --- threshold

    def test_another_threshold_gives_what_a_run_with_it_would_give(self):
        volumeNode = self.makeVolume(ijkToRas=GEOMETRIES["anisotropic"])
        segmentationNode = self.logic.segment(volumeNode)

        findings = self.logic.applyThreshold(segmentationNode, 0.3)

        expected = (probabilityOfBlock() >= 0.3).astype(np.uint8)
        np.testing.assert_array_equal(self.voxelsOf(segmentationNode, "Fracture", volumeNode), expected)
        self.assertAlmostEqual(findings[0].volume_mm3, expected.sum() * 0.4 * 0.6 * 2.5, places=2)
        self.assertEqual(self.logic.findingsTable(segmentationNode).GetNumberOfRows(), 1)
        self.assertEqual(self.logic.runRecord(segmentationNode).threshold, 0.3)

    def test_the_smallest_finding_is_applied_with_the_threshold(self):
        volumeNode = self.makeVolume()
        segmentationNode = self.logic.segment(volumeNode)
        self.assertEqual(self.logic.applyThreshold(segmentationNode, 0.5, minVolumeMm3=1e6), [])
        self.assertEqual(self.voxelsOf(segmentationNode, "Fracture", volumeNode).sum(), 0)
        self.assertEqual(len(self.logic.applyThreshold(segmentationNode, 0.5, minVolumeMm3=0)), 1)

    def test_after_the_CT_was_moved_the_findings_move_with_it(self):
        volumeNode = self.makeVolume()
        segmentationNode = self.logic.segment(volumeNode)
        before = self.logic.applyThreshold(segmentationNode, 0.5)[0].centroid_ras_mm
        matrix = np.eye(4)
        matrix[:3, 3] = 10, 20, 30
        volumeNode.SetAndObserveTransformNodeID(self.makeTransform(matrix).GetID())
        after = self.logic.applyThreshold(segmentationNode, 0.5)[0].centroid_ras_mm
        np.testing.assert_allclose(np.subtract(after, before), (10, 20, 30), atol=0.01)

    def test_the_threshold_works_in_a_reloaded_scene_where_the_probability_was_kept_in_it(self):
        self.logic.segment(self.makeVolume(), probability=True)
        self.reloadScene()
        logic = SpineFractureSegLogic()
        segmentationNode = self.node("CT fractures")
        self.assertTrue(logic.canApplyThreshold(segmentationNode))
        logic.applyThreshold(segmentationNode, 0.3)
        np.testing.assert_array_equal(
            self.voxelsOf(segmentationNode, "Fracture", self.node("CT")), probabilityOfBlock() >= 0.3
        )

    def test_without_the_probability_the_threshold_is_refused_in_a_reloaded_scene(self):
        self.logic.segment(self.makeVolume())
        self.reloadScene()
        logic = SpineFractureSegLogic()
        self.assertFalse(logic.canApplyThreshold(self.node("CT fractures")))
        with self.assertRaisesRegex(UserError, "run it again"):
            logic.applyThreshold(self.node("CT fractures"), 0.3)

    def test_a_probability_of_an_earlier_run_is_never_taken_for_the_last_ones(self):
        volumeNode = self.makeVolume()
        segmentationNode = self.logic.segment(volumeNode, probability=True)
        self.logic.segment(volumeNode, segmentationNode)
        self.reloadScene()
        self.assertFalse(SpineFractureSegLogic().canApplyThreshold(self.node("CT fractures")))

    def test_a_segmentation_of_other_origin_has_no_threshold(self):
        volumeNode = self.makeVolume()
        foreign = self.makeSegmentation({"Fracture": block()}, volumeNode)
        self.assertFalse(self.logic.canApplyThreshold(foreign))
        with self.assertRaises(UserError):
            self.logic.applyThreshold(foreign, 0.5)
        np.testing.assert_array_equal(self.voxelsOf(foreign, "Fracture", volumeNode), block())

    def test_a_threshold_out_of_range_changes_nothing(self):
        volumeNode = self.makeVolume()
        segmentationNode = self.logic.segment(volumeNode)
        for threshold, smallest in ((0.0, 0), (1.0, 0), (float("nan"), 0), (0.5, -1)):
            with self.assertRaises(UserError):
                self.logic.applyThreshold(segmentationNode, threshold, smallest)
        np.testing.assert_array_equal(self.voxelsOf(segmentationNode, "Fracture", volumeNode), block())
        self.assertEqual(self.logic.runRecord(segmentationNode).threshold, 0.5)

    def test_what_was_kept_is_freed_with_its_segmentation(self):
        segmentationNode = self.logic.segment(self.makeVolume())
        self.logic.forget()
        self.assertEqual(len(self.logic._kept), 1)
        slicer.mrmlScene.RemoveNode(segmentationNode)
        self.logic.forget()
        self.assertEqual(self.logic._kept, {})

    # --- evaluate

    def test_dice_and_iou_are_those_counted_by_hand(self):
        volumeNode = self.makeVolume(ijkToRas=GEOMETRIES["oblique"])
        moved = np.roll(block(), 2, axis=1)
        segmentationNode = self.logic.segment(volumeNode)
        referenceNode = self.makeSegmentation({"truth": moved}, volumeNode, "Reference")
        overlap, total = (block() * moved).sum(), block().sum() + moved.sum()

        scores = self.logic.evaluate(segmentationNode, "Fracture", referenceNode, "truth")

        self.assertAlmostEqual(scores.dice, 2 * overlap / total)
        self.assertAlmostEqual(scores.iou, overlap / (total - overlap))
        self.assertEqual(scores.overlap_voxels, overlap)

    def test_a_reference_on_a_finer_grid_under_its_own_transform_gives_the_same_scores(self):
        volumeNode = self.makeVolume(ijkToRas=GEOMETRIES["flipped"])
        segmentationNode = self.logic.segment(volumeNode)
        fine = np.kron(block(), np.ones((2, 2, 2), np.uint8))
        ijkToRas = GEOMETRIES["flipped"].copy()
        ijkToRas[:3, 3] -= ijkToRas[:3, :3] @ (0.25, 0.25, 0.25)
        ijkToRas[:3, :3] /= 2
        transformNode = self.makeTransform()
        toParent, inverse = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
        transformNode.GetMatrixTransformToParent(toParent)
        vtk.vtkMatrix4x4.Invert(toParent, inverse)
        fineVolume = self.makeVolume(fine, slicer.util.arrayFromVTKMatrix(inverse) @ ijkToRas, "fine")
        fineVolume.SetAndObserveTransformNodeID(transformNode.GetID())
        referenceNode = self.makeSegmentation({"truth": fine}, fineVolume, "Reference")

        scores = self.logic.evaluate(segmentationNode, "Fracture", referenceNode, "truth")

        self.assertEqual(scores.total_voxels, block().size)  # the CT's grid, not the reference's
        self.assertAlmostEqual(scores.dice, 1.0)

    def test_the_scores_are_also_a_table_in_the_scene(self):
        volumeNode = self.makeVolume()
        segmentationNode = self.logic.segment(volumeNode)
        referenceNode = self.makeSegmentation({"truth": block()}, volumeNode, "Reference")
        self.assertIsNone(self.logic.scoresTable(segmentationNode))
        self.logic.evaluate(segmentationNode, "Fracture", referenceNode, "truth")
        table = self.logic.scoresTable(segmentationNode).GetTable()
        self.assertEqual([table.GetValue(0, column).ToString() for column in (0, 1)], ["Dice", "1.0000"])

    def test_segments_that_cannot_be_compared_are_refused_in_one_sentence(self):
        volumeNode = self.makeVolume()
        segmentationNode = self.logic.segment(volumeNode)
        empty, beside = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
        beside[8, 10, 12] = 1
        referenceNode = self.makeSegmentation({"empty": empty, "beside": beside}, volumeNode, "Reference")
        cases = [
            ((segmentationNode, "Fracture", referenceNode, "empty"), "empty"),
            ((segmentationNode, "Fracture", referenceNode, "beside"), "do not overlap"),
            ((segmentationNode, "Fracture", referenceNode, "no such"), "no segment"),
            ((segmentationNode, "Fracture", segmentationNode, "Fracture"), "itself"),
            ((segmentationNode, "Fracture", None, "truth"), "Two segments"),
        ]
        for arguments, sentence in cases:
            with self.subTest(sentence), self.assertNoNewNodes(), self.assertRaisesRegex(UserError, sentence):
                self.logic.evaluate(*arguments)

    def test_without_a_CT_the_grid_is_asked_for(self):
        volumeNode = self.makeVolume()
        segmentationNode = self.logic.segment(volumeNode)
        referenceNode = self.makeSegmentation({"truth": block()}, volumeNode, "Reference")
        other = self.makeVolume(name="same grid")
        slicer.mrmlScene.RemoveNode(volumeNode)
        with self.assertRaisesRegex(UserError, "give the CT"):
            self.logic.evaluate(segmentationNode, "Fracture", referenceNode, "truth")
        scores = self.logic.evaluate(segmentationNode, "Fracture", referenceNode, "truth", other)
        self.assertAlmostEqual(scores.dice, 1.0)


if __name__ == "__main__":
    unittest.main()
