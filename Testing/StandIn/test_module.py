"""A small scripted module is loaded, driven by its widgets, saved with the scene and unloaded."""

import tempfile
import unittest
from pathlib import Path

import slicer
import SlicerStandIn

MODULE = Path(__file__).parent / "SmallModule" / "SmallModule.py"


class ModuleTest(unittest.TestCase):
    def setUp(self):
        self.widget = SlicerStandIn.load_module(MODULE)
        self.ui = self.widget.ui

    def test_module_is_found_and_its_samples_are_registered(self):
        import SampleData

        self.assertIs(slicer.util.getModuleWidget("SmallModule"), self.widget)
        self.assertIs(slicer.util.getModuleLogic("SmallModule"), self.widget.logic)
        self.assertEqual(slicer.util.modulePath("SmallModule"), str(MODULE))
        self.assertEqual(slicer.modules.smallmodule.title, "Small Module")
        self.assertEqual(SampleData.downloadSample("SmallSample").GetCellText(0, 1), "7")

    def test_widgets_and_parameters_follow_each_other(self):
        parameters = self.widget.parameters
        self.assertEqual((self.ui.threshold.value, self.ui.device.currentText), (0.5, "Automatic"))
        self.ui.threshold.value = 0.7
        self.ui.device.currentIndex = 1
        self.ui.count.value = 3
        self.ui.isOn.checked = True
        self.ui.label.text = "ä, |"
        self.assertEqual((parameters.threshold, parameters.device.name), (0.7, "CPU"))
        self.assertEqual((parameters.count, parameters.isOn, parameters.label), (3, True, "ä, |"))
        parameters.threshold = 0.2
        self.assertEqual(self.ui.threshold.value, 0.2)

    def test_values_that_do_not_fit_are_refused(self):
        for name, value, error in (
            ("threshold", 2.0, ValueError),
            ("threshold", "0.5", TypeError),
            ("count", 1.5, TypeError),
            ("ct", slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode"), TypeError),
        ):
            with self.subTest(name, value=value), self.assertRaises(error):
                setattr(self.widget.parameters, name, value)

    def test_parameters_come_back_with_the_scene(self):
        volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
        self.ui.ctSelector.setCurrentNode(volume)
        self.ui.threshold.value = 0.7
        with tempfile.TemporaryDirectory() as temporary:
            slicer.util.saveScene(f"{temporary}/scene.mrb")
            slicer.mrmlScene.Clear(0)
            self.assertIsNone(self.widget.parameters.ct)
            self.assertEqual(self.ui.threshold.value, 0.5)
            slicer.util.loadScene(f"{temporary}/scene.mrb")
        self.assertEqual(self.widget.parameters.threshold, 0.7)
        self.assertEqual(self.ui.threshold.value, 0.7)
        self.assertEqual(self.ui.ctSelector.currentNode().GetName(), "CT")

    def test_node_selectors_choose_as_slicer_does(self):
        first = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
        self.assertIs(self.ui.ctSelector.currentNode(), first)  # no None, no actions: the first is chosen
        second = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
        self.assertIs(self.ui.ctSelector.currentNode(), first)
        slicer.mrmlScene.RemoveNode(first)
        self.assertIs(self.widget.parameters.ct, second)
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
        self.assertEqual(self.ui.ctSelector.nodeCount(), 2)  # a label map is a scalar volume, too
        self.assertIsNone(self.ui.outputSelector.currentNode())
        created = self.ui.outputSelector.addNode()
        self.assertEqual((created.GetName(), self.ui.outputSelector.currentNode()), ("Result", created))
        slicer.mrmlScene.RemoveNode(created)
        self.assertIsNone(self.widget.parameters.output)

    def test_segment_selector_chooses_the_first_segment_and_keeps_the_choice(self):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        self.ui.segmentSelector.setCurrentNode(node)
        chosen = []
        self.ui.segmentSelector.connect("currentSegmentChanged(QString)", chosen.append)
        for name in ("a", "b"):
            node.GetSegmentation().AddEmptySegment(name, name)
        self.ui.segmentSelector.setCurrentSegmentID("b")
        node.GetSegmentation().AddEmptySegment("c", "c")
        self.assertEqual((chosen, self.ui.segmentSelector.currentSegmentID()), (["a", "b"], "b"))

    def test_unloading_cleans_up_and_leaves_nothing_listening(self):
        cleaned = []
        self.widget.cleanup = lambda cleanup=self.widget.cleanup: (cleaned.append(True), cleanup())
        SlicerStandIn.unload_module(self.widget)
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
        slicer.mrmlScene.Clear(0)
        self.assertEqual(cleaned, [True])
        self.assertFalse(hasattr(slicer.modules, "smallmodule"))
        self.assertEqual(SlicerStandIn.slot_errors, [])
