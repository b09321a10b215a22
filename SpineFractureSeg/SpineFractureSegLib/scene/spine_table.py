"""The vertebrae of a run as a table node: one row each, from the top down, saved with the scene and read back from it.

What could not be measured is "not a number" in the table. Lengths in mm, probability and losses from 0 to 1.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import vtk
from slicer.i18n import tr as _

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.result_tables import replaceColumns, tableFor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slicer import vtkMRMLSegmentationNode, vtkMRMLTableNode

    from SpineFractureSegLib.engine.findings import Finding
    from SpineFractureSegLib.engine.vertebrae.vertebra import Vertebra

SPINE_ROLE = "SpineFractureSeg.Spine"  # of the segmentation node
_OUTSIDE = "SpineFractureSeg.FindingsOutside"  # ids of the findings outside of all bodies
_BETWEEN_NOTES = " | "  # a file of a table has one line per row
_TEXTS = (1, 18)  # columns: level, notes
_WHOLE_NUMBERS = (0, 16, 17)  # columns: number, flagged, complete


def spineColumns() -> list[str]:
    """Titles of the columns."""
    return [
        _("Vertebra"),
        _("Level"),
        _("R (mm)"),
        _("A (mm)"),
        _("S (mm)"),
        _("Fracture probability"),
        _("Anterior height (mm)"),
        _("Middle height (mm)"),
        _("Posterior height (mm)"),
        _("Width (mm)"),
        _("Depth (mm)"),
        _("Anterior height loss"),
        _("Middle height loss"),
        _("Posterior height loss"),
        _("Genant grade"),
        _("Trabecular HU"),
        _("Flagged"),
        _("Complete"),
        _("Notes"),
    ]


def writeSpine(tableNode: vtkMRMLTableNode, spine: Sequence[Vertebra], outside: Sequence[Finding]) -> None:
    """Replaces the table's columns.

    Args:
        spine: from the top down.
        outside: the findings outside of all bodies, which the panel lists below the vertebrae.
    """
    _writeRows(tableNode, spine)
    tableNode.SetAttribute(_OUTSIDE, json.dumps([finding.id for finding in outside]))


def updateSpine(
    segmentationNode: vtkMRMLSegmentationNode, described: tuple[Sequence[Vertebra], Sequence[Finding]]
) -> None:
    """Writes the spine table of a segmentation, see ``KeptResult.describe``; without vertebrae none is made."""
    spine, outside = described
    if spine or segmentationNode.GetNodeReference(SPINE_ROLE) is not None:
        tableNode = tableFor(segmentationNode, SPINE_ROLE, f"{segmentationNode.GetName()} spine")
        writeSpine(tableNode, spine, outside)


def readSpine(tableNode: vtkMRMLTableNode | None) -> list[Vertebra]:
    """The vertebrae that ``writeSpine`` wrote; none of a table with other columns."""
    table = tableNode.GetTable() if tableNode else None
    if table is None or table.GetNumberOfColumns() != len(spineColumns()):
        return []
    return [
        _vertebra([_cell(table, row, column) for column in range(table.GetNumberOfColumns())])
        for row in range(table.GetNumberOfRows())
    ]


def readOutside(tableNode: vtkMRMLTableNode) -> set[int]:
    """Ids of the findings outside of all bodies."""
    return set(json.loads(tableNode.GetAttribute(_OUTSIDE) or "[]"))


def spineFromReport(report: dict) -> list[Vertebra]:
    """The vertebrae of the engine's report."""
    from SpineFractureSegLib.engine.vertebrae.vertebra import Vertebra

    return [
        Vertebra(**{**fields, "centroid_ras_mm": tuple(fields["centroid_ras_mm"]), "notes": tuple(fields["notes"])})
        for fields in report["vertebrae"]
    ]


def nameVertebra(segmentationNode: vtkMRMLSegmentationNode, number: int, level: str) -> None:
    """Names one vertebra, and the others by counting from it; an empty level takes all names away.

    Raises: UserError, when there is no vertebra of this number, or the level is none.
    """
    import SimpleITK as sitk

    from SpineFractureSegLib.engine.vertebrae.levels import levels_from_point

    tableNode = segmentationNode.GetNodeReference(SPINE_ROLE)
    spine = readSpine(tableNode)
    center = next((vertebra.centroid_ras_mm for vertebra in spine if vertebra.number == number), None)
    if center is None:
        raise UserError(
            _("There is no vertebra {number}, the segmentation has {count}: choose one of them.").format(
                number=number, count=len(spine)
            )
        )
    if level:
        nowhere = sitk.Image(1, 1, 1, sitk.sitkUInt8)  # the center itself tells which body is meant
        spine = levels_from_point(spine, nowhere, level, center)
    else:
        spine = [replace(vertebra, level=None) for vertebra in spine]
    writeLevels(segmentationNode, spine)


def writeLevels(segmentationNode: vtkMRMLSegmentationNode, spine: Sequence[Vertebra]) -> None:
    """Writes the same vertebrae again, with other levels."""
    _writeRows(segmentationNode.GetNodeReference(SPINE_ROLE), spine)


def _writeRows(tableNode: vtkMRMLTableNode, spine: Sequence[Vertebra]) -> None:
    rows = [_values(vertebra) for vertebra in spine]
    columns = []
    for index, title in enumerate(spineColumns()):
        column = vtk.vtkStringArray() if index in _TEXTS else vtk.vtkDoubleArray()
        column = vtk.vtkIntArray() if index in _WHOLE_NUMBERS else column
        column.SetName(title)
        for row in rows:
            column.InsertNextValue(row[index])
        columns.append(column)
    replaceColumns(tableNode, columns)


def _values(vertebra: Vertebra) -> tuple[float | str, ...]:
    """In the order of ``spineColumns``."""
    loss = vertebra.height_loss or {}
    return (
        vertebra.number,
        vertebra.level or "",
        *vertebra.centroid_ras_mm,
        vertebra.fracture_probability,
        *(_number(value) for value in (vertebra.anterior_mm, vertebra.middle_mm, vertebra.posterior_mm)),
        *(_number(value) for value in (vertebra.width_mm, vertebra.depth_mm)),
        *(_number(loss.get(place)) for place in ("anterior", "middle", "posterior")),
        _number(vertebra.genant),
        _number(vertebra.trabecular_hu),
        int(vertebra.flagged),
        int(vertebra.complete),
        _BETWEEN_NOTES.join(vertebra.notes),
    )


def _vertebra(values: Sequence[float | str]) -> Vertebra:
    from SpineFractureSegLib.engine.vertebrae.vertebra import PLACES, Vertebra

    number, level, r, a, s, probability, *measures, flagged, complete, notes = values
    measures = [None if math.isnan(value) else value for value in measures]
    anterior, middle, posterior, width, depth, *losses, genant, density = measures
    return Vertebra(
        number=int(number),
        level=level or None,
        centroid_ras_mm=(r, a, s),
        fracture_probability=probability,
        anterior_mm=anterior,
        middle_mm=middle,
        posterior_mm=posterior,
        width_mm=width,
        depth_mm=depth,
        height_loss=None if None in losses else dict(zip(PLACES, losses, strict=True)),
        genant=None if genant is None else int(genant),
        trabecular_hu=density,
        complete=bool(complete),
        flagged=bool(flagged),
        notes=tuple(notes.split(_BETWEEN_NOTES)) if notes else (),
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _cell(table: vtk.vtkTable, row: int, column: int) -> float | str:
    value = table.GetValue(row, column)
    if column in _TEXTS:
        return value.ToString()
    text = value.ToString()
    return math.nan if text.lower().strip() in ("", "nan", "-nan") else value.ToDouble()
