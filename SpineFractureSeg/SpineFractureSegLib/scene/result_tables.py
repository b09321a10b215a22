"""Findings and scores as table nodes, as rows of text for the panel, and as CSV. Lengths in mm, volumes in mL (cm3)."""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING

import slicer
import vtk
from slicer.i18n import tr as _

from SpineFractureSegLib.scene.subject_hierarchy import placeBeside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slicer import vtkMRMLSegmentationNode, vtkMRMLTableNode

    from SpineFractureSegLib.engine.findings import Finding
    from SpineFractureSegLib.engine.metrics import Scores

FINDINGS_ROLE = "SpineFractureSeg.Findings"
SCORES_ROLE = "SpineFractureSeg.Scores"
_DECIMALS = (0, 2, 1, 1, 1, 1, 1, 1, 2, 2)  # of the columns of a finding
_ML = 1e-3  # mL in one mm3


def tableFor(segmentationNode: vtkMRMLSegmentationNode, role: str, name: str) -> vtkMRMLTableNode:
    """The table that the segmentation refers to in this role; a new one of this name where there is none."""
    tableNode = segmentationNode.GetNodeReference(role)
    if tableNode is None:
        tableNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", slicer.mrmlScene.GenerateUniqueName(name))
        segmentationNode.SetNodeReferenceID(role, tableNode.GetID())
        placeBeside(tableNode, segmentationNode)
    return tableNode


def findingColumns() -> list[str]:
    """Titles of the columns of ``findingRows`` and ``writeFindings``."""
    return [
        _("Finding"),
        _("Volume (mL)"),
        _("R (mm)"),
        _("A (mm)"),
        _("S (mm)"),
        _("Extent L-R (mm)"),
        _("Extent A-P (mm)"),
        _("Extent S-I (mm)"),
        _("Mean probability"),
        _("Max probability"),
    ]


def findingRows(findings: Sequence[Finding]) -> list[tuple[str, ...]]:
    """One row of text per finding, rounded for reading."""
    return [
        tuple(f"{value:.{places}f}" for value, places in zip(_findingValues(finding), _DECIMALS, strict=True))
        for finding in findings
    ]


def writeFindings(tableNode: vtkMRMLTableNode, findings: Sequence[Finding]) -> None:
    """Replaces the table's columns: numbers as the engine gave them, one row per finding."""
    rows = [_findingValues(finding) for finding in findings]
    columns = []
    for index, title in enumerate(findingColumns()):
        column = vtk.vtkIntArray() if index == 0 else vtk.vtkDoubleArray()
        column.SetName(title)
        for row in rows:
            column.InsertNextValue(row[index])
        columns.append(column)
    replaceColumns(tableNode, columns)


def readFindings(tableNode: vtkMRMLTableNode) -> list[tuple[float, ...]]:
    """The rows that ``writeFindings`` wrote, as numbers; none of a table with other columns."""
    table = tableNode.GetTable()
    if table.GetNumberOfColumns() != len(_DECIMALS):
        return []
    return [
        tuple(table.GetValue(row, column).ToDouble() for column in range(len(_DECIMALS)))
        for row in range(table.GetNumberOfRows())
    ]


def scoreColumns() -> list[str]:
    """Titles of the columns of ``scoreRows``, ``writeScores`` and ``scoresCsv``."""
    return [_("Measure"), _("Value"), _("Unit")]


def scoreRows(scores: Scores) -> list[tuple[str, str, str]]:
    """(measure, value, unit) as text, Dice and IoU first. The definitions are in ``engine/metrics.py``."""
    ml = scores.voxel_volume_mm3 * _ML
    return [
        (_("Dice"), _number(scores.dice, 4), ""),
        (_("IoU"), _number(scores.iou, 4), ""),
        (_("IoU, mean of fracture and background"), _number(scores.iou_two_class, 4), ""),
        (_("95 % Hausdorff distance (HD95)"), _number(scores.hd95_mm, 2), "mm"),
        *(
            (_("Surface within {tolerance:g} mm (NSD)").format(tolerance=tolerance), _number(share, 4), "")
            for tolerance, share in scores.nsd_at_mm.items()
        ),
        (_("Lesion sensitivity (10 % covered)"), _number(scores.sensitivity, 4), ""),
        (_("Lesion sensitivity (any overlap)"), _number(scores.sensitivity_any_overlap, 4), ""),
        (_("False positive lesions"), str(scores.false_positives), ""),
        (_("Lesions in the reference"), str(scores.reference_lesions), ""),
        (_("Lesions in the segmentation"), str(scores.predicted_lesions), ""),
        (_("Volume of the reference"), _number(scores.reference_voxels * ml, 3), "mL"),
        (_("Volume of the segmentation"), _number(scores.prediction_voxels * ml, 3), "mL"),
        (_("Volume of the overlap"), _number(scores.overlap_voxels * ml, 3), "mL"),
    ]


def writeScores(tableNode: vtkMRMLTableNode, scores: Scores) -> None:
    """Replaces the table's columns by those of ``scoreRows``, as text."""
    columns = []
    for title, values in zip(scoreColumns(), zip(*scoreRows(scores), strict=True), strict=True):
        column = vtk.vtkStringArray()
        column.SetName(title)
        for value in values:
            column.InsertNextValue(value)
        columns.append(column)
    replaceColumns(tableNode, columns)


def scoresCsv(scores: Scores, *, segment: str, reference: str, ct: str) -> str:
    """What was compared, then ``scoreRows``; the three names as the user knows them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([(_("Segment"), segment), (_("Reference"), reference), (_("CT"), ct), ()])
    writer.writerow(scoreColumns())
    writer.writerows(scoreRows(scores))
    return text.getvalue()


def _findingValues(finding: Finding) -> tuple[float, ...]:
    """In the order of ``findingColumns``."""
    return (
        finding.id,
        finding.volume_mm3 * _ML,
        *finding.centroid_ras_mm,
        *finding.extent_mm,
        finding.probability_mean,
        finding.probability_max,
    )


def _number(value: float, places: int) -> str:
    return f"{value:.{places}f}" if math.isfinite(value) else _("not defined")


def replaceColumns(tableNode: vtkMRMLTableNode, columns: Sequence[vtk.vtkAbstractArray]) -> None:
    """The table's columns from now on, their names as titles."""
    with slicer.util.NodeModify(tableNode):
        tableNode.RemoveAllColumns()
        for column in columns:
            tableNode.AddColumn(column)
        tableNode.SetUseColumnTitleAsColumnHeader(True)
