"""The panel with the real engine in its own process and the real bundled model, on the sample CT."""

import contextlib
import io
import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
import qt
import slicer
from panel_test_case import PanelTestCase

from SpineFractureSegLib.scene.installation import missingPackages
from SpineFractureSegLib.scene.sample_data import SAMPLE, registerSampleData

REAL_CT = Path(__file__).resolve().parents[3] / "shared" / "data" / "ct" / "tptbox_L3_ct.nii.gz"


@unittest.skipIf(missingPackages(), f"needs {', '.join(missingPackages())}: press Apply once to install them")
class RealRunTest(PanelTestCase):
    def setUp(self):
        super().setUp()
        import SampleData

        registerSampleData()
        self.ct, self.reference = SampleData.SampleDataLogic().downloadSamples(SAMPLE)
        self.processEvents()

    def engineProcesses(self):
        """Of this Slicer alone."""
        import psutil

        found = []
        for process in psutil.Process().children(recursive=True):
            try:
                if "SpineFractureSegLib" in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:  # ended meanwhile
                pass
        return found

    def jobFolders(self):
        return list(Path(slicer.app.temporaryPath).glob("SpineFractureSeg-*"))

    def assertNothingIsLeft(self, nodes):
        self.assertEqual(self.engineProcesses(), [])
        self.assertEqual(self.jobFolders(), [])
        self.assertEqual(self.nodeIDs(), nodes)
        self.assertEqual(self.ui.applyButton.text, "Apply")

    def waitUntilDone(self):
        self.waitUntil(lambda: self.ui.applyButton.text == "Apply")

    def test_apply_finds_the_fracture_of_the_sample_CT_and_compare_scores_it(self):
        self.apply()
        self.waitUntilDone()
        self.assertEqual(self.ui.messageLabel.text, "")
        self.assertGreaterEqual(self.ui.findingsTableWidget.rowCount, 1)
        self.ui.findingsTableWidget.selectRow(0)
        self.ui.evaluationCollapsibleButton.collapsed = False
        self.ui.referenceSegmentSelector.setCurrentNode(self.reference)
        self.ui.evaluateButton.click()
        table = self.logic.scoresTable(self.parameters.outputSegmentation).GetTable()
        rows = {table.GetValue(row, 0).ToString(): table.GetValue(row, 1).ToString() for row in range(13)}
        self.assertEqual(float(rows["Lesion sensitivity (10 % covered)"]), 1.0)
        self.assertEqual(self.ui.diceLabel.text, f"Dice {float(rows['Dice']):.3f}")
        self.assertEqual(self.engineProcesses(), [])
        self.assertEqual(self.jobFolders(), [])

    @unittest.skipUnless(REAL_CT.is_file(), "needs the shared CT tptbox_L3_ct.nii.gz")
    def test_apply_on_a_CT_of_a_patient_that_nobody_prepared(self):
        volumeNode = slicer.util.loadVolume(str(REAL_CT))
        self.ui.inputVolumeSelector.setCurrentNode(volumeNode)
        self.apply()
        self.waitUntilDone()
        node = self.parameters.outputSegmentation
        self.assertEqual(
            self.voxelsOf(node, "Fracture", volumeNode).shape, slicer.util.arrayFromVolume(volumeNode).shape
        )
        self.assertTrue(self.logic.canApplyThreshold(node))
        self.assertIn("Done in", self.ui.statusLabel.text)

    def test_the_console_snippet_of_the_README_runs_as_written(self):
        text = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
        snippets = [block.split("```", 1)[0] for block in text.split("```python\n")[1:]]
        snippet = next(block for block in snippets if "getModuleLogic" in block)
        output = io.StringIO()
        names = {"slicer": slicer}
        with contextlib.redirect_stdout(output):
            exec(compile(snippet, "README.md", "exec"), names)
        self.assertRegex(output.getvalue(), r"Dice 0\.\d{3}, IoU 0\.\d{3}, (cpu|cuda)")
        self.assertEqual(self.logic.runRecord(names["segmentationNode"]).threshold, 0.8)

    def test_cancel_at_once(self):
        nodes = self.nodeIDs()
        self.apply()
        self.ui.applyButton.click()
        self.assertNothingIsLeft(nodes)

    def test_cancel_after_the_first_progress(self):
        nodes = self.nodeIDs()
        self.apply()
        self.waitUntil(lambda: self.ui.progressBar.maximum > 0)
        self.assertEqual(len(self.jobFolders()), 1)
        self.ui.applyButton.click()
        self.assertNothingIsLeft(nodes)

    def test_an_engine_that_is_killed_is_said(self):
        nodes = self.nodeIDs()
        self.apply()
        self.waitUntil(lambda: self.ui.progressBar.maximum > 0)
        for process in self.engineProcesses():
            process.kill()
        self.waitUntilDone()
        self.assertNotEqual(self.ui.messageLabel.text, "")
        self.assertNothingIsLeft(nodes)

    def test_the_engines_own_sentence_reaches_the_panel(self):
        noise = np.random.default_rng(0).integers(200, 900, (30, 40, 50)).astype(np.int16)
        volumeNode = self.makeVolume(noise, name="MR")
        self.ui.inputVolumeSelector.setCurrentNode(volumeNode)
        nodes = self.nodeIDs()
        self.apply()
        self.waitUntilDone()
        self.assertIn("This is no CT in Hounsfield units", self.ui.messageLabel.text)
        self.assertNothingIsLeft(nodes)


@unittest.skipIf(missingPackages(), f"needs {', '.join(missingPackages())}: press Apply once to install them")
class ModelsTest(PanelTestCase):
    """The user's model folder, through the real engine."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.modelFolder = Path(folder.name) / "models"
        patch = mock.patch.dict(os.environ, {"SPINE_FRACTURE_SEG_MODELS": str(self.modelFolder)})
        patch.start()
        self.addCleanup(patch.stop)
        super().setUp()
        self.driveEngine()

    def bundled(self):
        return Path(self.widget.resourcePath("Models")) / "spine-fracture-default.safetensors"

    def importFile(self, path):
        with mock.patch.object(qt, "QFileDialog") as dialog:
            dialog.getOpenFileName.return_value = str(path)
            self.ui.importModelButton.click()

    def names(self):
        return [self.ui.modelComboBox.itemText(index) for index in range(self.ui.modelComboBox.count)]

    def test_a_model_is_imported_chosen_used_and_deleted(self):
        source = self.folder / "clinic.safetensors"
        source.write_bytes(self.bundled().read_bytes())
        self.assertFalse(self.ui.deleteModelButton.enabled)

        self.importFile(source)

        self.assertEqual(self.ui.messageLabel.text, "")
        self.assertEqual(self.ui.modelComboBox.currentText, "clinic")
        self.assertEqual(self.parameters.model, "clinic")
        self.addCt()
        self.apply()
        self.assertEqual(self.engine.settings.model, "clinic")
        self.engine.finish()
        self.ui.deleteModelButton.click()
        self.assertEqual(list(self.modelFolder.iterdir()), [])
        self.assertEqual(self.parameters.model, "")
        self.assertNotIn("clinic", self.names())

    def test_a_model_is_exported_to_a_file_and_imported_again(self):
        target = self.folder / "site-b.safetensors"
        with mock.patch.object(qt, "QFileDialog") as dialog:
            dialog.getSaveFileName.return_value = str(target)
            self.ui.exportModelButton.click()
        self.assertEqual(target.read_bytes(), self.bundled().read_bytes())
        self.importFile(target)
        self.assertEqual(self.ui.modelComboBox.currentText, "site-b")

    def test_a_model_that_cannot_be_exported_is_told(self):
        (self.folder / "file").write_text("no folder")
        with mock.patch.object(qt, "QFileDialog") as dialog:
            dialog.getSaveFileName.return_value = str(self.folder / "file" / "a.safetensors")
            self.ui.exportModelButton.click()
        self.assertIn("cannot be written", self.ui.messageLabel.text)

    def test_a_file_that_is_no_model_is_refused_in_one_sentence(self):
        source = self.folder / "text.safetensors"
        source.write_text("not a model")
        self.importFile(source)
        self.assertIn("not a model file", self.ui.messageLabel.text)
        self.assertNotIn("text", self.names())

    def test_a_damaged_model_is_listed_with_its_problem_and_cannot_be_applied(self):
        self.modelFolder.mkdir()
        (self.modelFolder / "broken.safetensors").write_bytes(self.bundled().read_bytes()[:5000])
        self.addCt()
        self.parameters.model = "broken"
        self.processEvents()
        self.assertEqual(self.ui.modelComboBox.currentText, "broken")
        self.assertFalse(self.ui.applyButton.enabled)
        self.assertIn("broken", self.ui.applyButton.toolTip)

    def test_a_scene_with_a_model_of_another_computer_says_so(self):
        self.addCt()
        self.parameters.model = "elsewhere"
        self.processEvents()
        self.assertIn("not on this computer", self.ui.modelComboBox.currentText)
        self.assertFalse(self.ui.applyButton.enabled)
        self.assertIn("elsewhere", self.ui.applyButton.toolTip)

    def test_the_folder_is_made_and_shown(self):
        with mock.patch.object(qt, "QDesktopServices") as services:
            self.ui.openModelFolderButton.click()
        self.assertTrue(self.modelFolder.is_dir())
        self.assertIn(str(self.modelFolder), services.openUrl.call_args.args[0].toString())


if __name__ == "__main__":
    unittest.main()
