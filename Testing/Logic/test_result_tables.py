"""Findings and scores as tables, rows and CSV."""

import csv
import dataclasses
import io

import numpy as np
import SimpleITK as sitk
import slicer
from scene_test_case import SceneTestCase, block

from SpineFractureSegLib.engine.findings import Finding
from SpineFractureSegLib.engine.metrics import evaluate
from SpineFractureSegLib.scene.result_tables import (
    FINDINGS_ROLE,
    SCORES_ROLE,
    findingColumns,
    findingRows,
    scoreRows,
    scoresCsv,
    tableFor,
    writeFindings,
    writeScores,
)

FINDINGS = [
    Finding(1, (-12.345, 6.0, 100.26), 3456.789, (31.2, 25.0, 9.04), 0.81234, 0.98765),
    Finding(2, (0.0, -6.0, 20.0), 12.5, (3.0, 2.0, 1.0), 0.5, 0.61),
]


MASK, LONGER_MASK = block(), block((2, 3, 4), (6, 8, 10))


def scores(first=MASK, second=LONGER_MASK):
    return evaluate(*(sitk.GetImageFromArray(mask) for mask in (first, second)))


class ResultTablesTest(SceneTestCase):
    def segmentationNode(self):
        return self.makeSegmentation({"a": block()}, self.makeVolume())

    def values(self, tableNode):
        """The table as rows of numbers or text."""
        table = tableNode.GetTable()
        return [
            [table.GetColumn(c).GetVariantValue(r).ToString() for c in range(table.GetNumberOfColumns())]
            for r in range(table.GetNumberOfRows())
        ]

    def test_findings_are_numbers_in_the_table_and_rounded_in_the_panel(self):
        tableNode = tableFor(self.segmentationNode(), FINDINGS_ROLE, "findings")
        writeFindings(tableNode, FINDINGS)
        table = tableNode.GetTable()
        self.assertEqual([table.GetColumnName(c) for c in range(table.GetNumberOfColumns())], findingColumns())
        written = [[float(value) for value in row] for row in self.values(tableNode)]
        np.testing.assert_allclose(
            written[0], [1, 3.456789, -12.345, 6, 100.26, 31.2, 25, 9.04, 0.81234, 0.98765], rtol=1e-5
        )
        self.assertEqual(
            findingRows(FINDINGS)[0], ("1", "3.46", "-12.3", "6.0", "100.3", "31.2", "25.0", "9.0", "0.81", "0.99")
        )
        self.assertEqual([len(row) for row in findingRows(FINDINGS)], [len(findingColumns())] * 2)

    def test_writing_again_replaces_the_rows(self):
        tableNode = tableFor(self.segmentationNode(), FINDINGS_ROLE, "findings")
        for findings in (FINDINGS, FINDINGS[:1], []):
            writeFindings(tableNode, findings)
            self.assertEqual(tableNode.GetNumberOfRows(), len(findings))
            self.assertEqual(tableNode.GetNumberOfColumns(), len(findingColumns()))

    def test_each_role_has_its_table_which_is_used_again(self):
        segmentationNode = self.segmentationNode()
        findings = tableFor(segmentationNode, FINDINGS_ROLE, "findings")
        self.assertIsNot(tableFor(segmentationNode, SCORES_ROLE, "scores"), findings)
        self.assertIs(tableFor(segmentationNode, FINDINGS_ROLE, "another name"), findings)
        self.assertIsNot(tableFor(self.segmentationNode(), FINDINGS_ROLE, "findings"), findings)

    def test_a_deleted_table_is_made_anew(self):
        segmentationNode = self.segmentationNode()
        slicer.mrmlScene.RemoveNode(tableFor(segmentationNode, FINDINGS_ROLE, "findings"))
        writeFindings(tableFor(segmentationNode, FINDINGS_ROLE, "findings"), FINDINGS)
        self.assertEqual(tableFor(segmentationNode, FINDINGS_ROLE, "findings").GetNumberOfRows(), 2)

    def test_scores_begin_with_dice_and_iou_and_have_units(self):
        rows = scoreRows(scores())
        overlap, union = 99, 119  # voxels
        self.assertEqual(rows[0], ("Dice", f"{2 * overlap / (overlap + union):.4f}", ""))
        self.assertEqual(rows[1], ("IoU", f"{overlap / union:.4f}", ""))
        self.assertIn(("95 % Hausdorff distance (HD95)", "1.00", "mm"), rows)
        self.assertIn(("Surface within 2 mm (NSD)", "1.0000", ""), rows)
        self.assertIn(("Volume of the overlap", "0.099", "mL"), rows)
        self.assertIn(("False positive lesions", "0", ""), rows)

    def test_a_score_that_is_not_defined_says_so(self):
        rows = dict(row[:2] for row in scoreRows(scores(first=np.zeros_like(MASK))))
        self.assertEqual(rows["Dice"], "0.0000")
        self.assertEqual(rows["95 % Hausdorff distance (HD95)"], "not defined")

    def test_scores_are_written_as_they_are_shown(self):
        tableNode = tableFor(self.segmentationNode(), SCORES_ROLE, "scores")
        writeScores(tableNode, scores())
        writeScores(tableNode, scores())
        self.assertEqual([tuple(row) for row in self.values(tableNode)], scoreRows(scores()))

    def test_csv_names_what_was_compared_and_holds_all_scores(self):
        text = scoresCsv(scores(), segment='Fracture of "A", left', reference="Fractür", ct="CT 3")
        rows = list(csv.reader(io.StringIO(text)))
        self.assertEqual(rows[0], ["Segment", 'Fracture of "A", left'])
        self.assertEqual(rows[1:4], [["Reference", "Fractür"], ["CT", "CT 3"], []])
        self.assertEqual(rows[4], ["Measure", "Value", "Unit"])
        self.assertEqual([tuple(row) for row in rows[5:]], scoreRows(scores()))

    def test_no_score_of_the_engine_is_left_out(self):
        """Each field changes a row, but for those that are no scores."""
        plain = scores()
        for field in dataclasses.fields(plain):
            if field.name in ("total_voxels", "both_empty", "resampled"):
                continue
            value = getattr(plain, field.name)
            changed = {2.0: 0.123} if isinstance(value, dict) else value + 1234
            self.assertNotEqual(scoreRows(dataclasses.replace(plain, **{field.name: changed})), scoreRows(plain))

    def test_tables_come_back_with_a_saved_scene(self):
        segmentationNode = self.makeSegmentation({"a": block()}, self.makeVolume(), name="mine")
        writeFindings(tableFor(segmentationNode, FINDINGS_ROLE, "findings"), FINDINGS)
        writeScores(tableFor(segmentationNode, SCORES_ROLE, "scores"), scores())
        self.reloadScene()
        segmentationNode = self.node("mine")
        findings = tableFor(segmentationNode, FINDINGS_ROLE, "findings")
        self.assertIs(findings, self.node("findings"))
        np.testing.assert_allclose([float(row[1]) for row in self.values(findings)], [3.456789, 0.0125], rtol=1e-5)
        table = tableFor(segmentationNode, SCORES_ROLE, "scores")
        self.assertEqual([tuple(row) for row in self.values(table)], scoreRows(scores()))
        writeFindings(findings, FINDINGS[:1])
        self.assertEqual(findings.GetNumberOfRows(), 1)

    def test_tables_lie_beside_the_segmentation_in_the_tree(self):
        hierarchyNode = slicer.mrmlScene.GetSubjectHierarchyNode()
        segmentationNode = self.segmentationNode()
        folder = hierarchyNode.CreateFolderItem(hierarchyNode.GetSceneItemID(), "patient")
        hierarchyNode.SetItemParent(hierarchyNode.GetItemByDataNode(segmentationNode), folder)
        tableNode = tableFor(segmentationNode, FINDINGS_ROLE, "findings")
        self.assertEqual(hierarchyNode.GetItemParent(hierarchyNode.GetItemByDataNode(tableNode)), folder)
