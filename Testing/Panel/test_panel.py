"""The panel, with an engine that the test drives: what is shown, what can be pressed, what the scene holds."""

import unittest
from unittest import mock

import numpy as np
import qt
import slicer
from panel_test_case import MODEL, PanelTestCase, ctValues, engineResult, probabilityOfBlock
from scene_test_case import SHAPE, block

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.panel import Panel


class ChoicesTest(PanelTestCase):
    """What is chosen before Apply."""

    def setUp(self):
        super().setUp()
        self.driveEngine()

    def test_without_a_CT_apply_is_disabled_and_says_what_is_missing(self):
        self.assertFalse(self.ui.applyButton.enabled)
        self.assertIn("Choose a CT", self.ui.applyButton.toolTip)
        self.addCt()
        self.assertTrue(self.ui.applyButton.enabled)

    def test_the_first_CT_is_chosen_not_the_first_volume(self):
        self.makeVolume(np.full(SHAPE, 100, np.int16), name="MR")
        self.makeVolume(ctValues(), name="labels", kind="vtkMRMLLabelMapVolumeNode")
        ct = self.makeVolume(ctValues(), name="CT")
        self.makeVolume(ctValues(), name="CT 2")
        self.waitUntil(lambda: self.parameters.inputVolume is not None)
        self.assertIs(self.ui.inputVolumeSelector.currentNode(), ct)

    def test_a_volume_that_DICOM_calls_MR_is_not_taken_for_the_CT_whatever_its_values(self):
        mr = self.makeVolume(ctValues(), name="MR")
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        hierarchy.SetItemAttribute(hierarchy.GetItemByDataNode(mr), "DICOM.Modality", "MR")
        ct = self.makeVolume(ctValues(), name="CT")
        self.waitUntil(lambda: self.parameters.inputVolume is not None)
        self.assertIs(self.parameters.inputVolume, ct)

    def test_a_choice_of_the_user_is_not_overruled_by_a_volume_that_arrives_later(self):
        mr = self.addCt("MR", np.full(SHAPE, 100, np.int16))
        self.ui.inputVolumeSelector.setCurrentNode(mr)
        self.addCt()
        self.assertIs(self.parameters.inputVolume, mr)

    def test_the_bundled_model_is_chosen_with_its_threshold_and_its_card_in_the_tooltip(self):
        card = self.widget.panel._models.card
        self.assertEqual(self.ui.modelComboBox.currentText, f"{MODEL} (bundled)")
        self.assertAlmostEqual(self.ui.thresholdSlider.value, card.threshold)
        self.assertAlmostEqual(self.ui.minVolumeSpinBox.value, card.min_volume_mm3)
        self.assertIn(card.label_meaning[:30], self.ui.modelComboBox.toolTip)
        self.assertIn("Not a medical device", self.ui.modelComboBox.toolTip)

    def test_every_choice_reaches_the_engine(self):
        self.addCt()
        self.run_()
        values = f"--threshold={self.ui.thresholdSlider.value}", f"--min-volume={self.ui.minVolumeSpinBox.value}"
        self.assertEqual(self.engine.settings.arguments(), ["--device=auto", *values])
        self.ui.deviceComboBox.setCurrentText("cpu")
        self.ui.thresholdSlider.value = 0.3
        self.ui.minVolumeSpinBox.value = 250
        self.ui.batchSizeSpinBox.value = 6
        self.ui.vertebraeCheckBox.checked = True
        self.run_()
        self.assertEqual(
            self.engine.settings.arguments(),
            ["--device=cpu", "--threshold=0.3", "--min-volume=250.0", "--batch-size=6", "--vertebrae"],
        )

    def test_planes_that_the_model_was_not_trained_on_cannot_be_chosen(self):
        self.addCt()
        self.assertTrue(self.ui.sagittalCheckBox.enabled)
        self.assertFalse(self.ui.axialCheckBox.enabled or self.ui.coronalCheckBox.enabled)
        self.ui.sagittalCheckBox.checked = False
        self.assertFalse(self.ui.applyButton.enabled)
        self.assertIn("plane", self.ui.applyButton.toolTip)

    def test_the_probability_cannot_overwrite_the_CT(self):
        ct = self.addCt()
        self.ui.probabilityVolumeSelector.setCurrentNode(ct)
        self.assertFalse(self.ui.applyButton.enabled)
        self.assertIn("overwrite", self.ui.applyButton.toolTip)

    def test_choices_are_saved_with_the_scene_and_restored(self):
        self.addCt("first")
        chosen = self.addCt("second")
        self.ui.inputVolumeSelector.setCurrentNode(chosen)
        self.ui.deviceComboBox.setCurrentText("cpu")
        self.ui.thresholdSlider.value = 0.42
        self.ui.minVolumeSpinBox.value = 300
        self.ui.vertebraeCheckBox.checked = True
        reference = self.makeSegmentation({"a": block(), "b": block()}, chosen, "Reference")
        self.ui.referenceSegmentSelector.setCurrentNode(reference)
        self.ui.referenceSegmentSelector.setCurrentSegmentID("b")

        self.reloadScene()
        self.processEvents()

        self.assertEqual(self.ui.inputVolumeSelector.currentNode().GetName(), "second")
        self.assertEqual(self.ui.deviceComboBox.currentText, "cpu")
        self.assertAlmostEqual(self.ui.thresholdSlider.value, 0.42)
        self.assertAlmostEqual(self.ui.minVolumeSpinBox.value, 300)
        self.assertTrue(self.ui.vertebraeCheckBox.checked)
        self.assertEqual(self.ui.referenceSegmentSelector.currentNode().GetName(), "Reference")
        self.assertEqual(self.ui.referenceSegmentSelector.currentSegmentID(), "b")

    def test_a_closed_scene_gives_a_fresh_panel(self):
        self.addCt()
        self.ui.thresholdSlider.value = 0.3
        self.run_()
        slicer.mrmlScene.Clear(0)
        self.processEvents()
        self.assertIsNone(self.parameters.inputVolume)
        self.assertAlmostEqual(self.ui.thresholdSlider.value, self.widget.panel._models.card.threshold)
        self.assertEqual(self.ui.findingsTableWidget.rowCount, 0)
        self.assertFalse(self.ui.applyButton.enabled)
        self.addCt()
        self.run_()
        self.assertEqual(self.ui.findingsTableWidget.rowCount, 0)  # nothing is as large as the model's 1000 mm3


class RunTest(PanelTestCase):
    """From Apply to the result."""

    def setUp(self):
        super().setUp()
        self.driveEngine()
        self.ct = self.addCt()
        self.ui.minVolumeSpinBox.value = 0

    def test_apply_becomes_cancel_while_it_runs_and_the_inputs_are_locked(self):
        self.apply()
        self.assertEqual(self.ui.applyButton.text, "Cancel")
        self.assertFalse(self.ui.inputsCollapsibleButton.enabled)
        self.engine.finish()
        self.assertEqual(self.ui.applyButton.text, "Apply")
        self.assertTrue(self.ui.inputsCollapsibleButton.enabled)

    def test_progress_shows_plane_slice_device_and_time(self):
        self.apply()
        self.assertEqual((self.ui.progressBar.minimum, self.ui.progressBar.maximum), (0, 0))  # busy
        self.engine.progress(70, 210)
        self.assertEqual((self.ui.progressBar.value, self.ui.progressBar.maximum), (70, 210))
        self.assertIn("sagittal slices", self.ui.progressBar.format)
        self.assertIn("70 / 210", self.ui.progressBar.format)
        self.assertIn("cuda:0", self.ui.statusLabel.text)
        self.assertRegex(self.ui.statusLabel.text, r"\d+ s")
        self.engine.finish()
        self.assertTrue(self.ui.progressBar.isHidden())

    def test_the_log_gets_what_the_engine_says(self):
        self.apply()
        self.engine.log("Model       something")
        self.assertIn("Model       something", self.ui.logTextEdit.toPlainText())

    def test_the_result_is_selected_and_shown(self):
        node = self.run_()
        np.testing.assert_array_equal(self.voxelsOf(node, "Fracture", self.ct), block())
        self.assertIs(self.ui.outputSegmentationSelector.currentNode(), node)
        self.assertIs(self.ui.show3DButton.segmentationNode(), node)
        self.assertEqual(self.ui.findingsTableWidget.rowCount, 1)
        self.assertEqual(self.cell(self.ui.findingsTableWidget, 0, 3), "0.90")
        self.assertIn("cuda:0", self.ui.statusLabel.text)
        self.assertEqual(self.ui.evaluatedSegmentSelector.currentSegmentID(), "Fracture")

    def test_warnings_of_the_run_are_shown(self):
        self.run_(engineResult(warnings=["The slices are 6 mm apart."]))
        self.assertEqual(self.ui.messageLabel.text, "The slices are 6 mm apart.")
        self.assertFalse(self.ui.messageLabel.isHidden())

    def test_nothing_found_is_said_with_the_advice_to_look(self):
        self.run_(engineResult(np.zeros(SHAPE, np.float32)))
        self.assertEqual(self.ui.findingsTableWidget.rowCount, 0)
        self.assertIn("look yourself", self.ui.findingsLabel.text)

    def test_a_second_run_goes_into_the_same_node(self):
        node = self.run_()
        nodes = self.nodeIDs()
        again = self.run_(engineResult(np.roll(probabilityOfBlock(), 1, axis=2)))
        self.assertIs(again, node)
        self.assertEqual(self.nodeIDs(), nodes)
        np.testing.assert_array_equal(self.voxelsOf(node, "Fracture", self.ct), np.roll(block(), 1, axis=2))

    def test_the_probability_goes_into_the_chosen_volume(self):
        probabilityNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "P")
        self.ui.probabilityVolumeSelector.setCurrentNode(probabilityNode)
        self.run_()
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(probabilityNode), probabilityOfBlock())

    def test_cancel_leaves_the_scene_as_it_was(self):
        nodes = self.nodeIDs()
        self.apply()
        self.engine.progress(1, 10)
        self.ui.applyButton.click()
        self.assertFalse(self.engine.isRunning)
        self.assertEqual(self.nodeIDs(), nodes)
        self.assertEqual(self.ui.applyButton.text, "Apply")
        self.assertIn("Cancelled", self.ui.messageLabel.text)
        self.run_()  # and it can run again
        self.assertEqual(self.ui.messageLabel.text, "")

    def test_the_engines_sentence_is_shown(self):
        self.apply()
        self.engine.fail(UserError("This is no CT in Hounsfield units."))
        self.assertEqual(self.ui.messageLabel.text, "This is no CT in Hounsfield units.")
        self.assertIsNone(self.parameters.outputSegmentation)
        self.assertTrue(self.ui.applyButton.enabled)

    def test_what_cannot_be_segmented_is_refused_where_apply_was_pressed(self):
        warp = self.makeWarp()
        self.ct.SetAndObserveTransformNodeID(warp.GetID())
        self.apply()
        self.assertEqual(self.engine.starts, 0)
        self.assertIn("non-linear", self.ui.messageLabel.text)
        self.assertEqual(self.ui.applyButton.text, "Apply")
        self.assertTrue(self.ui.progressBar.isHidden())

    def test_removing_the_CT_while_it_runs_cancels(self):
        self.apply()
        slicer.mrmlScene.RemoveNode(self.ct)
        self.assertFalse(self.engine.isRunning)
        self.assertIn("removed", self.ui.messageLabel.text)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode"), 0)

    def test_removing_the_output_while_it_runs_gives_a_new_one(self):
        node = self.run_()
        self.apply()
        slicer.mrmlScene.RemoveNode(node)
        self.engine.finish()
        np.testing.assert_array_equal(self.voxelsOf(self.parameters.outputSegmentation, "Fracture", self.ct), block())

    def test_removing_another_volume_while_it_runs_changes_nothing(self):
        other = self.addCt("other")
        self.apply()
        slicer.mrmlScene.RemoveNode(other)
        self.assertTrue(self.engine.isRunning)

    def test_closing_the_scene_while_it_runs_cancels(self):
        self.apply()
        slicer.mrmlScene.Clear(0)
        self.assertFalse(self.engine.isRunning)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode"), 0)

    def test_closing_the_panel_while_it_runs_cancels(self):
        uiWidget = slicer.util.loadUI(self.widget.resourcePath("UI/SpineFractureSeg.ui"))
        uiWidget.setMRMLScene(slicer.mrmlScene)
        ui = slicer.util.childWidgetVariables(uiWidget)
        second = Panel(ui, self.logic)
        second.attach(self.parameters)
        ui.applyButton.click()
        self.assertTrue(self.engine.isRunning)
        second.close()
        self.assertFalse(self.engine.isRunning)
        self.assertEqual(self.ui.applyButton.text, "Apply")  # the other panel is alive
        self.assertTrue(self.ui.applyButton.enabled)

    def test_another_module_in_front_does_not_disturb_the_run(self):
        self.apply()
        if hasattr(self.widget, "exit"):
            self.widget.exit()
        self.engine.finish()
        self.widget.enter()
        self.assertIsNotNone(self.ui.outputSegmentationSelector.currentNode())

    def test_missing_packages_are_installed_after_consent_and_the_run_goes_on(self):
        missing = ["torch>=2.5"]
        ensured = mock.Mock(side_effect=missing.clear)
        with (
            mock.patch("SpineFractureSegLib.scene.panel.missingPackages", return_value=missing),
            mock.patch("SpineFractureSegLib.scene.panel.ensurePackages", ensured),
        ):
            self.apply()
        ensured.assert_called_once_with()
        self.assertTrue(self.engine.isRunning)

    def test_a_user_who_declines_the_packages_is_told_and_nothing_runs(self):
        with (
            mock.patch("SpineFractureSegLib.scene.panel.missingPackages", return_value=["torch>=2.5"]),
            mock.patch("SpineFractureSegLib.scene.panel.ensurePackages", side_effect=UserError("Without its packages")),
        ):
            self.apply()
        self.assertEqual(self.engine.starts, 0)
        self.assertIn("Without its packages", self.ui.messageLabel.text)

    def test_a_frame_of_a_sequence_is_asked_about(self):
        browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode")
        sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "cine")
        for index in range(3):
            sequence.SetDataNodeAtValue(self.ct, str(index))
        browser.AddSynchronizedSequenceNode(sequence)
        browser.AddProxyNode(self.ct, sequence, False)
        ask = "slicer.util.confirmOkCancelDisplay"
        with mock.patch(ask, return_value=False) as question:
            self.apply()
        self.assertIn("frame", question.call_args.args[0])
        self.assertEqual((self.engine.starts, self.ui.applyButton.text), (0, "Apply"))
        with mock.patch(ask, return_value=True):
            self.apply()
        self.assertEqual(self.engine.starts, 1)


class FindingsTest(PanelTestCase):
    def setUp(self):
        super().setUp()
        self.driveEngine()
        self.ct = self.addCt()
        self.ui.minVolumeSpinBox.value = 0

    def test_choosing_a_row_moves_the_slice_views_there(self):
        probability = np.zeros(SHAPE, np.float32)
        probability[1:3, 1:4, 1:4] = 0.9
        probability[6:7, 7:9, 9:11] = 0.8
        sliceNode = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceNode")
        if sliceNode is None:
            sliceNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
        sliceNode.SetOrientation("Axial")
        self.run_(engineResult(probability))
        for row, box in ((1, np.s_[6:7, 7:9, 9:11]), (0, np.s_[1:3, 1:4, 1:4])):
            self.ui.findingsTableWidget.selectRow(row)
            mask = np.zeros(SHAPE, bool)
            mask[box] = True
            center = self.worldPositions(self.ct, mask).mean(axis=0)
            self.assertAlmostEqual(sliceNode.GetSliceOffset(), center[2], places=2)

    def test_the_rows_are_those_of_the_table_in_the_scene_also_after_loading_it(self):
        self.run_()
        before = [self.cell(self.ui.findingsTableWidget, 0, column) for column in range(5)]
        self.reloadScene()
        self.processEvents()
        self.assertEqual([self.cell(self.ui.findingsTableWidget, 0, column) for column in range(5)], before)

    def test_another_segmentation_shows_its_own_findings(self):
        first = self.run_()
        self.ui.outputSegmentationSelector.setCurrentNode(None)
        self.run_(engineResult(np.zeros(SHAPE, np.float32)))
        self.assertEqual(self.ui.findingsTableWidget.rowCount, 0)
        self.ui.outputSegmentationSelector.setCurrentNode(first)
        self.assertEqual(self.ui.findingsTableWidget.rowCount, 1)


class ThresholdTest(PanelTestCase):
    """The outline follows the slider, without another run."""

    def setUp(self):
        super().setUp()
        self.driveEngine()
        self.ct = self.addCt()
        self.ui.minVolumeSpinBox.value = 0

    def voxels(self, node):
        return int(self.voxelsOf(node, "Fracture", self.ct).sum())

    def test_moving_the_slider_moves_the_outline_and_the_findings(self):
        node = self.run_()
        self.ui.thresholdSlider.value = 0.3
        self.waitUntil(lambda: self.voxels(node) == int((probabilityOfBlock() >= 0.3).sum()), 10)
        self.assertEqual(self.engine.starts, 1)
        self.assertEqual(self.cell(self.ui.findingsTableWidget, 0, 1), "0.3")
        self.ui.minVolumeSpinBox.value = 1e5
        self.waitUntil(lambda: self.voxels(node) == 0, 10)
        self.assertEqual(self.ui.findingsTableWidget.rowCount, 0)

    def test_reset_goes_back_to_the_models_own_values(self):
        node = self.run_()
        self.ui.thresholdSlider.value = 0.3
        self.waitUntil(lambda: self.voxels(node) > block().sum(), 10)
        self.ui.modelValuesButton.click()
        self.assertAlmostEqual(self.ui.thresholdSlider.value, self.widget.panel._models.card.threshold)
        self.assertAlmostEqual(self.ui.minVolumeSpinBox.value, self.widget.panel._models.card.min_volume_mm3)
        self.waitUntil(lambda: self.voxels(node) == 0, 10)

    def test_choosing_another_segmentation_changes_none_of_them(self):
        first = self.run_()
        self.ui.thresholdSlider.value = 0.3
        self.waitUntil(lambda: self.voxels(first) > block().sum(), 10)
        self.ui.outputSegmentationSelector.setCurrentNode(None)
        self.ui.thresholdSlider.value = 0.65
        second = self.run_()
        self.ui.outputSegmentationSelector.setCurrentNode(first)
        self.processEvents(0.3)
        self.assertAlmostEqual(self.ui.thresholdSlider.value, 0.3)
        self.assertEqual(self.voxels(first), int((probabilityOfBlock() >= 0.3).sum()))
        self.assertEqual(self.voxels(second), int(block().sum()))

    def test_a_segmentation_of_other_origin_is_never_changed(self):
        drawn = self.makeSegmentation({"Fracture": block()}, self.ct, "drawn by hand")
        self.ui.outputSegmentationSelector.setCurrentNode(drawn)
        self.ui.thresholdSlider.value = 0.2
        self.processEvents(0.3)
        self.assertEqual(self.voxels(drawn), int(block().sum()))

    def test_the_result_of_another_model_is_not_changed(self):
        node = self.run_(engineResult(model="another"))
        self.ui.thresholdSlider.value = 0.3
        self.processEvents(0.3)
        self.assertEqual(self.voxels(node), int(block().sum()))


class EvaluationTest(PanelTestCase):
    def setUp(self):
        super().setUp()
        self.driveEngine()
        self.ct = self.addCt()
        self.ui.minVolumeSpinBox.value = 0
        self.run_()
        self.truth = np.roll(block(), 1, axis=1)
        masks = {"truth": self.truth, "empty": np.zeros(SHAPE, np.uint8)}
        self.reference = self.makeSegmentation(masks, self.ct, "Reference")

    def choose(self, segmentID="truth"):
        self.ui.referenceSegmentSelector.setCurrentNode(self.reference)
        self.ui.referenceSegmentSelector.setCurrentSegmentID(segmentID)

    def compare(self):
        self.choose()
        self.ui.evaluateButton.click()

    def test_compare_is_disabled_until_both_segments_are_chosen(self):
        self.assertFalse(self.ui.evaluateButton.enabled)
        self.assertIn("reference", self.ui.evaluateButton.toolTip)
        self.choose()
        self.assertTrue(self.ui.evaluateButton.enabled)

    def test_the_first_segment_of_a_chosen_reference_is_taken(self):
        reference = self.makeSegmentation({"first": self.truth, "second": self.truth}, self.ct, "Other reference")
        self.ui.referenceSegmentSelector.setCurrentNode(reference)
        self.assertEqual(self.ui.referenceSegmentSelector.currentSegmentID(), "first")
        self.assertEqual(self.parameters.referenceSegmentID, "first")
        self.assertTrue(self.ui.evaluateButton.enabled)

    def test_dice_and_iou_are_shown_large_and_the_rest_in_the_table(self):
        self.compare()
        overlap = int((block() * self.truth).sum())
        total = int(block().sum() + self.truth.sum())
        self.assertEqual(self.ui.diceLabel.text, f"Dice {2 * overlap / total:.3f}")
        self.assertEqual(self.ui.iouLabel.text, f"IoU {overlap / (total - overlap):.3f}")
        measures = [self.cell(self.ui.scoresTableWidget, row, 0) for row in range(self.ui.scoresTableWidget.rowCount)]
        self.assertTrue(any("Hausdorff" in measure for measure in measures), measures)

    def test_scores_of_an_earlier_choice_do_not_stay(self):
        self.compare()
        self.choose("empty")
        self.assertEqual(self.ui.diceLabel.text, "Dice \u2013")
        self.assertEqual(self.ui.scoresTableWidget.rowCount, 0)
        self.assertFalse(self.ui.saveScoresButton.enabled)

    def test_scores_of_an_earlier_outline_do_not_stay(self):
        self.compare()
        self.ui.thresholdSlider.value = 0.3
        self.waitUntil(lambda: self.ui.diceLabel.text == "Dice \u2013", 10)
        self.compare()
        self.assertNotEqual(self.ui.diceLabel.text, "Dice \u2013")
        self.run_()
        self.assertEqual(self.ui.diceLabel.text, "Dice \u2013")
        self.assertFalse(self.ui.saveScoresButton.enabled)

    def test_an_empty_reference_is_said(self):
        self.choose("empty")
        self.ui.evaluateButton.click()
        self.assertIn("empty", self.ui.evaluationMessageLabel.text)
        self.assertEqual(self.ui.diceLabel.text, "Dice \u2013")

    def test_the_scores_can_be_copied_and_saved(self):
        self.compare()
        self.ui.copyScoresButton.click()
        self.assertTrue(slicer.app.clipboard().text().startswith("Dice\t"))
        path = self.folder / "scores.csv"
        with mock.patch.object(qt, "QFileDialog") as dialog:
            dialog.getSaveFileName.return_value = str(path)
            self.ui.saveScoresButton.click()
        text = path.read_text(encoding="utf-8")
        self.assertIn("Reference: truth", text)
        self.assertIn("CT,CT", text)
        self.assertIn("Dice,", text)

    def test_a_place_that_cannot_be_written_is_said(self):
        self.compare()
        with mock.patch.object(qt, "QFileDialog") as dialog:
            dialog.getSaveFileName.return_value = str(self.folder / "no such folder" / "scores.csv")
            self.ui.saveScoresButton.click()
        self.assertIn("cannot be written", self.ui.evaluationMessageLabel.text)

    def test_a_removed_reference_disables_compare(self):
        self.compare()
        slicer.mrmlScene.RemoveNode(self.reference)
        self.processEvents()
        self.assertFalse(self.ui.evaluateButton.enabled)
        self.assertEqual(self.ui.diceLabel.text, "Dice \u2013")


if __name__ == "__main__":
    unittest.main()
