"""The section Fine-tune of the panel, with a worker of a few lines: what is shown, what can be pressed, what stays."""

import shutil
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
import qt
import SimpleITK as sitk
import slicer
from finetune_test_case import FinetuneTestCase, newModelIsWorse
from panel_test_case import PanelTestCase
from scene_test_case import block

from SpineFractureSegLib.scene.finetune_folder import FinetuneFolder, openRuns, runsFolder


class FinetunePanelTestCase(FinetuneTestCase, PanelTestCase):
    def setUp(self):
        super().setUp()
        self.look()
        self.ft.finetuneCollapsibleButton.collapsed = False
        self.ft.epochsSpinBox.value = 2
        self.ft.newModelLineEdit.text = "clinic"

    def look(self):
        """The section of the panel that is open now."""
        self.section = self.widget.panel._finetuning
        self.ft = self.section.ui

    def addPairs(self, count=2):
        pairs = [self.makePair(f"CT{number}") for number in range(1, count + 1)]
        self.ft.addSceneButton.click()
        self.waitUntil(lambda: all(self.column(4)))
        self.waitUntil(lambda: "checking..." not in self.column(4))
        return pairs

    def column(self, number):
        table = self.ft.casesTableWidget
        return [self.cell(table, row, number) for row in range(table.rowCount)]

    def role(self, row):
        return self.ft.casesTableWidget.cellWidget(row, 3)

    def start(self, *epochs):
        """Start, with a worker that finishes these epochs."""
        self.waitUntil(lambda: self.ft.startFinetuningButton.enabled)
        self.ft.startFinetuningButton.click()
        self.letEpochs(self.section._run.folder, *epochs)

    def finish(self):
        self.waitUntil(lambda: self.section._run is None)

    def runAll(self):
        self.addPairs()
        self.start(1, 2)
        self.finish()


class CasesTest(FinetunePanelTestCase):
    def test_without_cases_start_is_disabled_and_says_what_is_missing(self):
        self.assertFalse(self.ft.startFinetuningButton.enabled)
        self.assertEqual(self.ft.startFinetuningButton.toolTip, "Add cases.")
        self.addPairs(1)
        self.assertIn("two patients", self.ft.startFinetuningButton.toolTip)
        self.assertIn("two patients", self.ft.casesLabel.text)

    def test_a_pair_is_added_once_and_removed(self):
        volumeNode, node = self.makePair("CT")
        self.assertFalse(self.ft.addCaseButton.enabled)
        self.ft.caseVolumeSelector.setCurrentNode(volumeNode)
        self.ft.caseSegmentSelector.setCurrentNode(node)
        self.ft.addCaseButton.click()
        self.ft.addCaseButton.click()
        self.waitUntil(lambda: self.column(4) == ["ok"])
        self.assertEqual((self.column(0), self.column(1)), (["CT"], ["CT reference: Fracture"]))
        self.ft.casesTableWidget.selectRow(0)
        self.ft.removeCaseButton.click()
        self.assertEqual(self.column(0), [])

    def test_each_case_has_its_reason_beside_it(self):
        volumeNode, _node = self.makePair("good")
        self.makeSegmentation({"Fracture": np.zeros_like(block())}, volumeNode, "empty")
        self.ft.addSceneButton.click()
        self.waitUntil(lambda: "checking..." not in self.column(4))
        self.assertEqual(self.column(4)[0], "ok")
        self.assertIn("is empty", self.column(4)[1])
        self.assertEqual(self.column(0), ["good", "good (2)"])
        self.assertIn("is empty", self.ft.startFinetuningButton.toolTip)

    def test_who_is_held_out_is_proposed_and_can_be_chosen(self):
        self.addPairs(3)
        self.waitUntil(lambda: self.role(0).currentText == "auto: hold out")
        self.assertEqual(self.role(1).currentText, "auto: learn from")
        for row, index in ((0, 1), (1, 2)):
            self.role(row).setCurrentIndex(index)
            self.role(row).activated.emit(index)
            self.processEvents()
        self.assertEqual([case.role for case in self.section._cases.cases], ["train", "validation", "auto"])

    def test_cases_of_one_patient_must_have_one_role(self):
        self.addPairs(3)
        table = self.ft.casesTableWidget
        for row in (0, 1):
            table.item(row, 2).setText("anna")
            self.processEvents()
        self.assertTrue(self.ft.startFinetuningButton.enabled)
        for row, index in ((0, 1), (1, 2)):
            self.role(row).activated.emit(index)
            self.processEvents()
        self.assertIn("anna have different roles", self.ft.startFinetuningButton.toolTip)
        self.assertFalse(self.ft.startFinetuningButton.enabled)

    def test_only_the_patient_can_be_typed_into(self):
        self.addPairs(1)
        table = self.ft.casesTableWidget
        editable = [bool(table.item(0, column).flags() & qt.Qt.ItemIsEditable) for column in range(5)]
        self.assertEqual(editable, [False, False, True, False, False])

    def test_a_CT_that_is_deleted_is_told(self):
        (volumeNode, _node), _other = self.addPairs()
        slicer.mrmlScene.RemoveNode(volumeNode)
        self.waitUntil(lambda: "no longer in the scene" in self.column(4)[0])
        self.assertFalse(self.ft.startFinetuningButton.enabled)

    def test_a_folder_is_added_and_stays_when_the_scene_is_closed(self):
        for name in ("p1", "p2"):
            sitk.WriteImage(sitk.Image(4, 4, 4, sitk.sitkInt16), str(self.folder / f"{name}_ct.nrrd"))
            sitk.WriteImage(sitk.Image(4, 4, 4, sitk.sitkUInt8), str(self.folder / f"{name}_fracture.nrrd"))
        with mock.patch.object(qt, "QFileDialog") as dialog:
            dialog.getExistingDirectory.return_value = str(self.folder)
            self.ft.addFolderButton.click()
        self.addPairs(1)
        self.assertEqual(self.column(0), ["p1", "p2", "CT1"])
        slicer.mrmlScene.Clear(0)
        self.processEvents()
        self.assertEqual(self.column(0), ["p1", "p2"])

    def test_a_folder_without_cases_is_told(self):
        with mock.patch.object(qt, "QFileDialog") as dialog:
            dialog.getExistingDirectory.return_value = str(self.folder)
            self.ft.addFolderButton.click()
        self.assertIn("no known layout", self.ft.finetuneMessageLabel.text)

    def test_the_CT_and_reference_chosen_above_are_taken_when_the_section_is_opened(self):
        self.ft.finetuneCollapsibleButton.collapsed = True
        volumeNode, node = self.makePair("CT")
        self.parameters.inputVolume = volumeNode
        self.ui.referenceSegmentSelector.setCurrentNode(node)
        self.ft.finetuneCollapsibleButton.collapsed = False
        self.assertIs(self.ft.caseVolumeSelector.currentNode(), volumeNode)
        self.assertEqual(self.ft.caseSegmentSelector.currentSegmentID(), "Fracture")
        self.assertTrue(self.ft.addCaseButton.enabled)

    def test_the_time_is_estimated_and_outdated_by_another_budget(self):
        self.ft.estimateButton.click()
        self.assertFalse(self.ft.estimateButton.enabled)
        self.waitUntil(lambda: "about 5 minutes" in self.ft.estimateLabel.text)
        self.assertIn("7 epochs", self.ft.estimateLabel.text)
        self.assertTrue(self.ft.estimateButton.enabled)
        self.ft.minutesSpinBox.value = 30
        self.assertEqual(self.ft.estimateLabel.text, "")


class RunTest(FinetunePanelTestCase):
    def test_every_choice_reaches_the_engine(self):
        self.addPairs()
        self.ft.minutesSpinBox.value = 3
        self.ft.learningRateSpinBox.value = 2e-4
        self.ft.mixSlider.value = 0.5
        self.ft.labelMeaningLineEdit.text = "the upper half"
        self.ft.wholeBodiesCheckBox.checked = True
        self.ui.deviceComboBox.setCurrentText("cpu")
        self.start(1, 2)
        self.finish()
        folder = self.section._results.result.folder
        given = " ".join(self.result(folder)["arguments"])
        expected = "--minutes=3 --epochs=2 --learning-rate=0.0002 --mix=0.5 --device=cpu --whole-bodies"
        self.assertIn(f"--from=bundled {expected}", given)
        self.assertIn('"label_meaning": "the upper half"', folder.cases.read_text())

    def test_progress_plot_and_what_can_be_pressed_meanwhile(self):
        self.addPairs()
        self.start(1)
        self.assertEqual(self.ft.startFinetuningButton.text, "Cancel")
        self.assertFalse(self.ft.casesGroupBox.enabled or self.ft.finetuneSettingsGroupBox.enabled)
        self.waitUntil(lambda: "Training, epoch 2" in self.ft.finetuneStatusLabel.text)
        self.assertIn("best Dice 0.100 in epoch 1", self.ft.finetuneStatusLabel.text)
        self.assertIn("cpu", self.ft.finetuneStatusLabel.text)
        chartNode = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLPlotChartNode")
        table = chartNode.GetNthPlotSeriesNode(0).GetTableNode().GetTable()
        self.assertEqual([table.GetValue(0, column).ToDouble() for column in range(3)], [1.0, 1.0, 0.1])
        self.letEpochs(self.section._run.folder, 2)
        self.finish()
        self.assertEqual(self.ft.startFinetuningButton.text, "Start")
        self.assertTrue(self.ft.casesGroupBox.enabled)
        self.assertTrue(self.ft.finetuneProgressBar.isHidden())

    def test_before_and_after_are_shown_and_a_case_side_by_side(self):
        self.runAll()
        table = self.ft.comparisonTableWidget
        rows = [[self.cell(table, row, column) for column in range(4)] for row in range(table.rowCount)]
        self.assertEqual(rows[0], ["All held-out cases", "0.500 → 0.700", "0.250 → 0.350", "2 → 1"])
        self.assertEqual(rows[1][0], "CT1")
        self.assertEqual(rows[2][:2], ["Simulated cases", "0.800 → not defined"])
        self.assertIn("is better", self.ft.verdictLabel.text)
        self.assertIn("50% of the change was kept", self.ft.verdictLabel.text)
        self.assertTrue(self.ft.keepModelButton.isHidden())
        self.ft.showComparisonButton.click()
        self.assertIsNotNone(self.node("CT1 before"))
        table.selectRow(0)
        self.assertFalse(self.ft.showComparisonButton.enabled)

    def test_a_better_model_is_chosen_for_the_next_segmentation(self):
        self.addPairs()
        self.start(1, 2)
        self.models.mkdir(parents=True)
        bundled = Path(self.widget.resourcePath("Models")) / "spine-fracture-default.safetensors"
        shutil.copy(bundled, self.models / "clinic.safetensors")  # as the engine registers it
        self.finish()
        self.assertEqual(self.parameters.model, "clinic")
        self.assertEqual(self.ui.modelComboBox.currentText, "clinic")
        self.assertGreaterEqual(self.ft.parentComboBox.findText("clinic"), 0)

    def test_a_worse_model_is_said_to_be_worse_and_not_chosen_but_can_be_kept(self):
        with newModelIsWorse():
            self.runAll()
        self.assertIn("is worse", self.ft.verdictLabel.text)
        self.assertEqual(self.parameters.model, "")
        self.ft.keepModelButton.click()
        self.waitUntil(lambda: "list of models now" in self.ft.finetuneMessageLabel.text)
        self.assertEqual((self.models / "clinic.safetensors").read_text(), "imported")
        self.assertEqual(self.parameters.model, "")
        self.assertFalse(self.ft.keepModelButton.enabled)

    def test_done_removes_the_folder_and_asks_where_the_model_was_not_kept(self):
        with newModelIsWorse():
            self.runAll()
        with mock.patch.object(slicer.util, "confirmOkCancelDisplay", return_value=False):
            self.ft.closeRunButton.click()
        self.assertEqual(len(list(runsFolder().iterdir())), 1)
        self.ft.closeRunButton.click()
        self.assertEqual(list(runsFolder().iterdir()), [])
        self.assertTrue(self.ft.finetuneResultGroupBox.isHidden())

    def test_pause_and_stop(self):
        self.addPairs()
        self.start()
        folder = self.section._run.folder
        self.waitUntil(lambda: "Training" in self.ft.finetuneStatusLabel.text)
        self.ft.pauseFinetuningButton.click()
        self.waitUntil(lambda: self.ft.finetuneStatusLabel.text.startswith("Paused"))
        self.assertEqual(self.ft.pauseFinetuningButton.text, "Continue")
        self.ft.pauseFinetuningButton.click()
        self.assertFalse(folder.isPaused)
        self.ft.stopFinetuningButton.click()
        self.assertFalse(self.ft.stopFinetuningButton.enabled)
        self.finish()
        self.assertEqual(self.section._results.result.epochs, 1)

    def test_it_goes_on_when_the_scene_is_closed(self):
        self.addPairs()
        self.start(1)
        self.waitUntil(lambda: self.section._plot.epochs)
        slicer.mrmlScene.Clear(0)
        self.processEvents()
        self.letEpochs(self.section._run.folder, 2)
        self.finish()
        self.assertEqual(self.column(0), [])
        self.assertIsNotNone(slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLPlotChartNode"))
        self.ft.showComparisonButton.click()
        self.assertIsNotNone(self.node("CT1"))

    def test_a_refusal_is_said_and_leaves_nothing(self):
        self.addPairs()
        self.ft.newModelLineEdit.text = "not a name!"
        self.ft.startFinetuningButton.click()
        self.assertIn("cannot be a model's name", self.ft.finetuneMessageLabel.text)
        self.assertIsNone(self.section._run)
        self.assertFalse(runsFolder().exists())


class ResumeTest(FinetunePanelTestCase):
    def test_a_run_that_was_cut_off_is_offered_and_goes_on(self):
        self.addPairs()
        self.start(1)
        self.waitUntil(lambda: self.section._plot.epochs)
        self.ft.startFinetuningButton.click()
        self.assertFalse(self.ft.openRunFrame.isHidden())
        self.assertIn("(clinic, 2 cases) was cut off", self.ft.openRunLabel.text)
        self.ft.resumeButton.click()
        self.letEpochs(self.section._run.folder, 2)
        self.finish()
        self.assertEqual([epoch.number for epoch in self.section._plot.epochs], [1, 2])
        self.assertIsNotNone(self.section._results.result)

    def test_a_panel_that_goes_away_ends_the_run_and_the_next_one_offers_it(self):
        self.addPairs()
        self.start(1)
        self.waitUntil(lambda: self.section._plot.epochs)
        process = self.section._run._engine._process
        self.widget.panel.close()
        self.assertIsNotNone(process.poll())
        self.assertEqual(len(openRuns()), 1)

    def test_a_finished_run_that_was_not_put_away_is_shown_again(self):
        self.runAll()
        self.section._results.show(None)
        self.section.attach(self.parameters)
        self.assertIn("is done", self.ft.openRunLabel.text)
        self.ft.resumeButton.click()
        self.assertIn("is better", self.ft.verdictLabel.text)
        self.assertTrue(self.ft.openRunFrame.isHidden())

    def test_a_result_that_is_damaged_is_told_and_can_be_discarded(self):
        self.runAll()
        self.section._results.result.folder.result.write_text("{")
        self.section._results.show(None)
        self.section.attach(self.parameters)
        self.ft.resumeButton.click()
        self.assertIn("cannot be read", self.ft.finetuneMessageLabel.text)
        self.ft.discardButton.click()
        self.assertEqual(openRuns(), [])

    def test_a_run_can_be_discarded(self):
        self.addPairs()
        self.start(1)
        self.waitUntil(lambda: self.section._plot.epochs)
        self.ft.startFinetuningButton.click()
        self.ft.discardButton.click()
        self.assertEqual(openRuns(), [])
        self.assertTrue(self.ft.openRunFrame.isHidden())


class ConsoleTest(FinetunePanelTestCase):
    def test_the_logic_waits_and_gives_the_result(self):
        pairs = [self.makePair("CT1"), self.makePair("CT2")]
        cases = [self.logic.finetuneCase(volumeNode, node, "Fracture") for volumeNode, node in pairs]
        seen = []

        def let(progress):
            seen.append(progress.stage)
            (path,) = runsFolder().iterdir()
            self.letEpochs(FinetuneFolder(path), 1, 2)

        result = self.logic.finetune(cases, onProgress=let, name="clinic", epochs=2)
        self.assertEqual((result.modelName, result.after.dice), ("clinic", 0.7))
        self.assertIn("train", seen)
        self.assertEqual([folder.path for folder in openRuns()], [result.folder.path])
        result.folder.remove()
        self.assertEqual(openRuns(), [])


if __name__ == "__main__":
    unittest.main()
