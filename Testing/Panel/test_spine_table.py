"""The spine in the panel: a row per vertebra, names, the picture, the files; and its table in the scene."""

import csv
import dataclasses
import math
import unittest
from unittest import mock

import numpy as np
import qt
import slicer
from panel_test_case import PanelTestCase, ctValues, engineResult
from scene_test_case import SceneTestCase, geometry

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.findings import Finding
from SpineFractureSegLib.engine.vertebrae.vertebra import Vertebra
from SpineFractureSegLib.scene.result_tables import tableFor
from SpineFractureSegLib.scene.spine_table import SPINE_ROLE, readOutside, readSpine, spineColumns, writeSpine

SHAPE = (60, 40, 30)  # slice, row, column
BODIES = (np.s_[44:54, 10:22, 8:22], np.s_[27:37, 10:22, 8:22], np.s_[8:18, 10:22, 8:22])  # from the top down
OUTSIDE = np.s_[27:33, 28:34, 10:18]  # behind the second body


def vertebra(number, **changes):
    fields = {
        "level": None,
        "centroid_ras_mm": center(BODIES[number - 1]),
        "fracture_probability": 0.05,
        "anterior_mm": 24.55,
        "middle_mm": 23.0,
        "posterior_mm": 25.0,
        "width_mm": 40.0,
        "depth_mm": 30.25,
        "height_loss": {"anterior": 0.02, "middle": 0.08, "posterior": 0.0},
        "genant": 0,
        "trabecular_hu": 142.6,
        "complete": True,
        "flagged": False,
    }
    return Vertebra(number=number, **{**fields, **changes})


def center(box):
    """RAS of the middle of a box of voxels of 1 mm at the origin of ``GEOMETRY``."""
    k, j, i = ((axis.start + axis.stop - 1) / 2 for axis in box)
    return tuple(float(value) for value in (GEOMETRY @ (i, j, k, 1))[:3])


GEOMETRY = geometry(np.diag([-1.0, -1.0, 1.0]), (14.0, 20.0, -30.0))  # as DICOM stores it
UNMEASURED = {
    **dict.fromkeys(("anterior_mm", "middle_mm", "posterior_mm", "width_mm", "depth_mm", "height_loss", "genant")),
    "trabecular_hu": None,
    "complete": False,
    "notes": ("Cut by the border.", "Of metal."),
}


def spine():
    """An intact body, one with a probability of 0.7, and one of which nothing could be measured."""
    return [vertebra(1), vertebra(2, fracture_probability=0.7, genant=2), vertebra(3, **UNMEASURED)]


def runResult():
    """The second body is fractured with 0.7; a part behind it, outside of all bodies, with 0.9."""
    probability, bodies = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.uint8)
    for number, box in enumerate(BODIES, start=1):
        probability[box], bodies[box] = 0.05, number
    probability[BODIES[1]] = 0.7
    probability[OUTSIDE] = 0.9
    result = engineResult(probability)
    result.report["vertebrae"] = [one.to_json() for one in spine()]
    return dataclasses.replace(result, bodies=bodies)


class SpineTableNodeTest(SceneTestCase):
    """The table in the scene, without the panel."""

    def write(self, vertebrae, outside=()):
        segmentationNode = self.makeSegmentation({}, self.makeVolume())
        tableNode = tableFor(segmentationNode, SPINE_ROLE, "spine")
        writeSpine(tableNode, vertebrae, outside)
        return tableNode

    def test_what_is_written_is_read_back(self):
        written = [vertebra(1, level="T12"), *spine()[1:]]
        self.assertEqual(readSpine(self.write(written)), written)

    def test_it_survives_saving_and_loading_the_scene(self):
        finding = Finding(7, (0.0, 0.0, 0.0), 10.0, (1.0, 1.0, 1.0), 0.5, 0.6)
        self.write(spine(), [finding])
        self.reloadScene()
        tableNode = self.node("spine")
        for before, after in zip(spine(), readSpine(tableNode), strict=True):
            np.testing.assert_allclose(after.centroid_ras_mm, before.centroid_ras_mm, rtol=1e-5)
            self.assertEqual(
                dataclasses.replace(after, centroid_ras_mm=before.centroid_ras_mm),
                before,
            )
        self.assertEqual(readOutside(tableNode), {7})

    def test_columns_have_titles_and_numbers(self):
        table = self.write(spine()).GetTable()
        self.assertEqual([table.GetColumnName(c) for c in range(table.GetNumberOfColumns())], spineColumns())
        column = table.GetColumnByName("Anterior height (mm)")
        self.assertAlmostEqual(column.GetValue(1), 24.55)
        self.assertTrue(math.isnan(column.GetValue(2)))

    def test_another_table_holds_no_vertebrae(self):
        self.assertEqual(readSpine(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")), [])
        self.assertEqual(readSpine(None), [])


class SpineInPanelTest(PanelTestCase):
    def setUp(self):
        super().setUp()
        self.driveEngine()
        self.ct = self.addCt(values=ctValues(SHAPE), ijkToRas=GEOMETRY)
        self.ui.minVolumeSpinBox.value = 0
        self.ui.thresholdSlider.value = 0.65
        self.segmentation = self.run_(runResult())
        self.table = self.ui.findingsTableWidget

    def firstCells(self):
        return [self.cell(self.table, row, 0) for row in range(self.table.rowCount)]

    def flagged(self):
        return [one.number for one in self.logic.vertebrae(self.segmentation) if one.flagged]

    def sliceOffset(self):
        return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceNode").GetSliceOffset()

    def test_flagged_vertebrae_come_first_then_findings_outside_then_the_others(self):
        self.assertEqual(self.firstCells(), ["2", "finding 2", "1", "3"])
        cells = [self.cell(self.table, 0, column) for column in range(6)]
        self.assertEqual(cells, ["2", "0.70", "24.6 / 23.0 / 25.0", "8 %", "2", "143"])
        self.assertTrue(self.table.item(0, 0).font().bold())
        self.assertFalse(self.table.item(2, 0).font().bold())
        self.assertIn("1 of 3 vertebrae flagged; findings outside of their bodies: 1", self.ui.findingsLabel.text)

    def test_what_could_not_be_measured_is_a_dash_and_the_tooltip_says_why(self):
        self.assertEqual([self.cell(self.table, 3, column) for column in (3, 4, 5)], ["\u2013"] * 3)
        self.assertIn("Cut by the border.\nOf metal.", self.table.item(3, 0).toolTip())

    def test_the_findings_table_of_the_scene_still_holds_every_finding(self):
        self.assertEqual(self.logic.findingsTable(self.segmentation).GetNumberOfRows(), 2)

    def test_choosing_a_vertebra_moves_the_slice_views_to_it(self):
        sliceNode = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceNode")
        if sliceNode is None:
            sliceNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
        sliceNode.SetOrientation("Axial")
        for row, box in ((3, BODIES[2]), (1, OUTSIDE), (0, BODIES[1])):
            self.table.selectRow(row)
            self.assertAlmostEqual(self.sliceOffset(), center(box)[2], places=2)

    def test_a_click_in_the_picture_moves_the_slice_views_there(self):
        label, view = self.ui.spinePictureLabel, self.widget.panel._findings._picture
        self.assertFalse(label.isHidden())
        picture = view._picture
        row, column = picture.curve.place(center(BODIES[2]))
        scale = picture.pixels_per_mm / 2  # rows are half a millimeter apart
        label.resize(picture.image.width, picture.image.height)
        place = label.mapToGlobal(qt.QPoint(round(picture.left + column * scale), round(row * scale)))
        with mock.patch.object(qt, "QCursor") as cursor, mock.patch.object(view, "_onClicked") as jump:
            cursor.pos.return_value = place
            left = qt.Qt.LeftButton
            press = qt.QMouseEvent(qt.QEvent.MouseButtonPress, qt.QPointF(), qt.QPointF(), left, left, qt.Qt.NoModifier)
            qt.QApplication.sendEvent(label, press)
        np.testing.assert_allclose(jump.call_args.args[0], center(BODIES[2]), atol=1.5)

    def test_another_threshold_changes_the_flags_and_keeps_the_measures(self):
        self.ui.thresholdSlider.value = 0.8
        self.waitUntil(lambda: self.flagged() == [])
        self.assertEqual(self.firstCells(), ["finding 1", "1", "2", "3"])
        self.ui.thresholdSlider.value = 0.6
        self.waitUntil(lambda: self.flagged() == [2])
        self.assertEqual(self.logic.vertebrae(self.segmentation)[1].genant, 2)

    def test_without_the_bodies_the_probability_of_each_vertebra_decides_alone(self):
        probabilityNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "P")
        self.ui.probabilityVolumeSelector.setCurrentNode(probabilityNode)
        self.run_(runResult())
        self.reloadScene()
        self.processEvents()
        self.segmentation = self.parameters.outputSegmentation
        self.assertEqual(self.firstCells(), ["2", "finding 2", "1", "3"])
        self.logic.applyThreshold(self.segmentation, 0.75)
        self.assertEqual(self.flagged(), [])
        self.logic.applyThreshold(self.segmentation, 0.6)
        self.assertEqual(self.flagged(), [2])
        self.assertEqual(readOutside(self.logic.spineTable(self.segmentation)), {1, 2})

    def test_one_name_names_the_others_and_can_be_taken_back(self):
        self.assertFalse(self.ui.levelComboBox.enabled)
        self.table.selectRow(1)
        self.assertFalse(self.ui.levelComboBox.enabled)  # a finding has no level
        self.table.selectRow(0)
        self.choose("L1")
        self.assertEqual(self.firstCells(), ["L1", "finding 2", "T12", "L2"])
        self.assertEqual(self.ui.levelComboBox.currentText, "L1")
        self.choose("(numbered)")
        self.assertEqual(self.firstCells(), ["2", "finding 2", "1", "3"])

    def levelsOf(self, names, shift=(0.0, 0.0, 0.0)):
        """A segmentation of the bodies, by the names of its segments, on a finer grid that covers the first ones."""
        fine = np.repeat(np.repeat(np.repeat(np.zeros(SHAPE, np.uint8), 2, 0), 2, 1), 2, 2)
        masks = {}
        for name, body in zip(names, BODIES, strict=False):
            mask = fine.copy()
            mask[tuple(slice(2 * axis.start, 2 * axis.stop) for axis in body)] = 1
            masks[name] = mask
        place = GEOMETRY @ np.diag([0.5, 0.5, 0.5, 1.0])
        place[:3, 3] = (GEOMETRY @ (-0.25, -0.25, -0.25, 1.0))[:3] + shift
        return self.makeSegmentation(masks, self.makeVolume(fine.astype(np.int16), place, "fine"), "levels")

    def chooseLevels(self, node):
        self.ui.levelsSelector.setCurrentNode(node)
        self.ui.levelsSelector.nodeActivated.emit(node)
        self.processEvents()

    def test_names_of_segments_name_the_vertebrae(self):
        self.chooseLevels(self.levelsOf(("L1 vertebra", "vertebrae_L2", "spleen")))
        self.assertEqual(self.firstCells(), ["L2", "finding 2", "L1", "3"])  # the third is nobody's
        self.assertEqual(self.ui.messageLabel.text, "")
        self.run_(runResult())  # later runs, too
        self.assertEqual(self.firstCells(), ["L2", "finding 2", "L1", "3"])

    def test_numbers_of_segments_name_the_vertebrae_whoever_counted(self):
        for numbers, levels in (((31, 30, 29), ["L2", "L1", "L3"]), ((18, 19, 20), ["T12", "T11", "L1"])):
            node = self.levelsOf([f"Segment_{number}" for number in numbers])
            self.logic.nameVertebraeFrom(self.segmentation, node)
            self.widget.panel._findings.show(self.segmentation)
            self.assertEqual([name for name in self.firstCells() if name[0] in "LT"], levels)

    def test_a_label_map_under_a_transform_names_the_vertebrae(self):
        values = np.zeros(SHAPE, np.int16)
        for label, body in zip((20, 21, 22), BODIES, strict=True):
            values[body] = label
        place = GEOMETRY.copy()
        place[:3, 3] += (0.0, 100.0, 0.0)
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
        slicer.util.updateVolumeFromArray(node, values)
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(place))
        with self.assertRaisesRegex(UserError, "made from this CT"):
            self.logic.nameVertebraeFrom(self.segmentation, node)
        back = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = np.eye(4)
        matrix[1, 3] = -100.0
        back.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        node.SetAndObserveTransformNodeID(back.GetID())
        self.chooseLevels(node)
        self.assertEqual(self.firstCells(), ["L2", "finding 2", "L1", "L3"])

    def test_levels_are_kept_with_the_scene_and_read_after_it_was_loaded(self):
        node = self.levelsOf(("T12", "L1", "L2"))
        self.chooseLevels(node)
        self.table.selectRow(0)
        self.choose("L4")  # the user knows better
        self.reloadScene()
        self.processEvents()
        self.assertEqual(self.firstCells(), ["L4", "finding 2", "L3", "L5"])
        self.assertEqual(self.ui.levelsSelector.currentNode().GetName(), "levels")
        self.chooseLevels(self.ui.levelsSelector.currentNode())
        self.assertEqual(self.firstCells(), ["L1", "finding 2", "T12", "L2"])

    def test_a_segmentation_that_names_nothing_is_refused_and_the_names_stay(self):
        self.table.selectRow(0)
        self.choose("L1")
        for node, said in (
            (self.segmentation, "called after a vertebra"),
            (self.levelsOf(("L1", "L2"), shift=(0.0, 500.0, 0.0)), "made from this CT"),
            (self.levelsOf(("Segment_7", "Segment_30", "Segment_2")), "from the top down"),
        ):
            self.chooseLevels(node)
            self.assertIn(said, self.ui.messageLabel.text)
            self.assertEqual(self.firstCells(), ["L1", "finding 2", "T12", "L2"])

    def choose(self, text):
        index = self.ui.levelComboBox.findText(text)
        self.ui.levelComboBox.setCurrentIndex(index)
        self.widget.panel._findings._onLevelChosen(index)

    def test_a_name_that_is_none_is_refused(self):
        with self.assertRaisesRegex(UserError, "no level"):
            self.logic.nameVertebra(self.segmentation, 1, "X9")
        with self.assertRaisesRegex(UserError, "no vertebra 9"):
            self.logic.nameVertebra(self.segmentation, 9, "L1")

    def test_the_table_is_saved_as_CSV(self):
        path = self.saved(self.ui.saveSpineTableButton, "spine.csv")
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([row["flagged"] for row in rows], ["0", "1", "0"])
        self.assertEqual(rows[1]["anterior_mm"], "24.55")
        self.assertEqual(rows[2]["genant"], "")

    def test_the_report_is_saved_as_one_HTML_file_with_two_pictures(self):
        text = self.saved(self.ui.saveSpineReportButton, "spine.html").read_text(encoding="utf-8")
        self.assertEqual(text.count("data:image/png;base64,"), 2)
        self.assertIn("1 of 3 vertebrae flagged: vertebra 2", text)
        self.assertIn("1 finding outside of vertebral bodies", text)
        self.assertIn("spine-fracture-default 1", text)

    def saved(self, button, name):
        path = self.folder / name
        with mock.patch.object(qt, "QFileDialog") as dialog:
            dialog.getSaveFileName.return_value = str(path)
            button.click()
        self.assertEqual(self.ui.messageLabel.text, "")
        return path

    def test_a_file_that_cannot_be_written_is_said(self):
        with mock.patch.object(qt, "QFileDialog") as dialog:
            dialog.getSaveFileName.return_value = str(self.folder / "none" / "spine.csv")
            self.ui.saveSpineTableButton.click()
        self.assertIn("cannot be written", self.ui.messageLabel.text)

    def test_the_picture_goes_with_the_CT(self):
        slicer.mrmlScene.RemoveNode(self.ct)
        self.widget.panel._findings.show(self.segmentation)
        self.assertTrue(self.ui.spinePictureLabel.isHidden())
        self.assertEqual(self.table.rowCount, 4)
        text = self.saved(self.ui.saveSpineReportButton, "spine.html").read_text(encoding="utf-8")
        self.assertNotIn("data:image", text)

    def test_a_run_that_knows_no_vertebrae_lists_findings_and_empties_the_table(self):
        result = runResult()
        result.report["vertebrae"] = []
        self.run_(dataclasses.replace(result, bodies=np.zeros(SHAPE, np.uint8)))
        self.assertEqual(self.table.columnCount, 5)
        self.assertEqual(self.firstCells(), ["1", "2"])
        self.assertEqual(self.logic.vertebrae(self.segmentation), [])
        self.assertFalse(self.ui.saveSpineTableButton.enabled)
        self.assertTrue(self.ui.spinePictureLabel.isHidden())


if __name__ == "__main__":
    unittest.main()
