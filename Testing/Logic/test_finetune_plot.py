"""The plot of a fine-tuning, and a held-out case side by side."""

import unittest

import numpy as np
import SimpleITK as sitk
import slicer
from finetune_test_case import FinetuneTestCase
from scene_test_case import SceneTestCase, block

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.writers import write_mask
from SpineFractureSegLib.scene.finetune_comparison import showHeldOut
from SpineFractureSegLib.scene.finetune_folder import FinetuneFolder, RunDescription
from SpineFractureSegLib.scene.finetune_plot import Epoch, FinetunePlot
from SpineFractureSegLib.scene.finetune_result import Agreement, HeldOut


class FinetunePlotTest(SceneTestCase):
    def columns(self, chartNode):
        """{title of the series: [(x, y), ...]} as the chart draws it."""
        found = {}
        for index in range(chartNode.GetNumberOfPlotSeriesNodes()):
            series = chartNode.GetNthPlotSeriesNode(index)
            table = series.GetTableNode().GetTable()
            x, y = (table.GetColumnByName(name) for name in (series.GetXColumnName(), series.GetYColumnName()))
            values = [(x.GetValue(row), y.GetValue(row)) for row in range(table.GetNumberOfRows())]
            found[series.GetName()] = values
        return found

    def test_epochs_are_drawn_as_they_come_and_a_repeated_one_is_replaced(self):
        plot = FinetunePlot()
        chartNode = plot.show()
        plot.add(Epoch(2, 0.4, 0.6))
        plot.add(Epoch(1, 0.9, 0.2))
        plot.add(Epoch(2, 0.5, 0.7))
        self.assertEqual(
            self.columns(chartNode),
            {"Training loss": [(1, 0.9), (2, 0.5)], "Dice of the held-out cases": [(1, 0.2), (2, 0.7)]},
        )

    def test_the_chart_is_chosen_for_a_layout_with_a_plot(self):
        chartNode = FinetunePlot().show()
        selection = slicer.app.applicationLogic().GetSelectionNode()
        self.assertEqual(selection.GetActivePlotChartID(), chartNode.GetID())
        layout = slicer.app.layoutManager().layout()
        self.assertEqual(slicer.modules.plots.logic().GetLayoutWithPlot(layout), layout)

    def test_a_new_run_begins_with_an_empty_plot_in_the_same_nodes(self):
        plot = FinetunePlot()
        chartNode = plot.show()
        plot.add(Epoch(1, 0.9, 0.2))
        nodes = self.nodeIDs()
        plot.clear()
        self.assertIs(plot.show(), chartNode)
        self.assertEqual(self.nodeIDs(), nodes)
        self.assertEqual(set(map(len, self.columns(chartNode).values())), {0})

    def test_a_closed_scene_gets_the_plot_again_with_the_next_epoch(self):
        plot = FinetunePlot()
        plot.show()
        plot.add(Epoch(1, 0.9, 0.2))
        slicer.mrmlScene.Clear(0)
        plot.add(Epoch(2, 0.5, 0.7))
        chartNode = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLPlotChartNode")
        self.assertEqual(self.columns(chartNode)["Training loss"], [(1, 0.9), (2, 0.5)])

    def test_a_saved_scene_of_a_patient_does_not_keep_it(self):
        FinetunePlot().show()
        self.reloadScene()
        self.assertIsNone(slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLPlotChartNode"))


class ShowHeldOutTest(FinetuneTestCase):
    def setUp(self):
        super().setUp()
        (case,) = self.makeCases(1)
        self.run_ = FinetuneFolder.make()
        entry = self.run_.writeCase(1, case)
        self.run_.complete([entry], "", RunDescription("a", 1, (), "2026-01-01T12:00:00", 1))
        reference = sitk.ReadImage(entry["mask"])
        masks = []
        for name, shift in (("before", 1), ("after", 0)):
            mask = sitk.GetImageFromArray(np.roll(block(), shift, axis=0))
            mask.CopyInformation(reference)
            masks.append(self.run_.path / f"{name}.seg.nrrd")
            write_mask(masks[-1], mask)
        agreement = Agreement(0.5, 0.3, 0)
        self.heldOut = HeldOut("CT1", agreement, agreement, *masks)

    def test_before_is_on_the_left_after_on_the_right_and_the_reference_an_outline_in_both(self):
        slicer.mrmlScene.Clear(0)  # the CT itself is gone
        other = self.makePair("other")[1]
        showHeldOut(self.run_, self.heldOut)
        self.assertEqual(slicer.app.layoutManager().layout(), slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView)
        before, after, reference = (self.node(f"CT1 {role}") for role in ("before", "after", "reference"))
        red, yellow = (slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode() for name in ("Red", "Yellow"))
        shown = {node: node.GetDisplayNode() for node in (before, after, reference, other)}
        for view, visible in ((red, [before, reference]), (yellow, [after, reference])):
            self.assertEqual([node for node in shown if shown[node].GetVisibility(view.GetID())], visible)
            self.assertEqual(view.GetOrientation(), "Sagittal")
        self.assertFalse(shown[reference].GetVisibility2DFill())
        ct = self.node("CT1")
        middle = self.worldPositions(ct, block()).mean(axis=0)
        for name, view in (("Red", red), ("Yellow", yellow)):
            logic = slicer.app.layoutManager().sliceWidget(name).sliceLogic()
            self.assertEqual(logic.GetSliceCompositeNode().GetBackgroundVolumeID(), ct.GetID())
            self.assertAlmostEqual(view.GetSliceToRAS().GetElement(0, 3), middle[0], places=3)
        (segmentID,) = before.GetSegmentation().GetSegmentIDs()
        np.testing.assert_array_equal(self.voxelsOf(before, segmentID, ct), np.roll(block(), 1, axis=0))

    def test_shown_again_it_replaces_what_was_shown(self):
        showHeldOut(self.run_, self.heldOut)
        count = len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"))
        showHeldOut(self.run_, self.heldOut)
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")), count)

    def test_a_file_that_is_gone_is_told(self):
        self.heldOut.maskAfter.unlink()
        with self.assertRaisesRegex(UserError, "cannot be loaded"):
            showHeldOut(self.run_, self.heldOut)


if __name__ == "__main__":
    unittest.main()
