"""Levels of the vertebrae from a segmentation or label map in the scene, as TotalSegmentator and SPINEPS make them.

A ball in the middle of each body tells which segment it lies in: the tables of a run keep the centers of the bodies, so
that this works in a scene that was saved and loaded, too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.segment_reader import LABELMAP
from SpineFractureSegLib.scene.spine_table import SPINE_ROLE, readSpine, writeLevels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slicer import vtkMRMLLabelMapVolumeNode, vtkMRMLSegmentationNode

_RADIUS_MM = 5.0  # of the ball; the body of C3 is about 12 mm high
_STEP_MM = 1.0
_NUMBERED = re.compile(r"(?:segment|label)?[ _]?(\d+)", re.IGNORECASE)  # names that Slicer gives to values of a file


def nameVertebraeFrom(
    segmentationNode: vtkMRMLSegmentationNode, levelsNode: vtkMRMLSegmentationNode | vtkMRMLLabelMapVolumeNode
) -> None:
    """Gives each vertebra of a run the level of the segment, or of the label, in its middle; the others have none.

    Raises: UserError, when the run knows no vertebrae, or the names and numbers of the other node tell nothing.
    """
    from SpineFractureSegLib.engine.vertebrae.levels import levels_from_overlaps

    spine = readSpine(segmentationNode.GetNodeReference(SPINE_ROLE))
    if not spine:
        raise UserError(
            _('"{name}" has no vertebrae to be named: run a model that knows vertebrae first.').format(
                name=segmentationNode.GetName()
            )
        )
    ball = _ball()
    points = np.concatenate([ball + vertebra.centroid_ras_mm for vertebra in spine])
    if levelsNode.IsA("vtkMRMLSegmentationNode"):
        values, table = _segmentsAt(levelsNode, points)
    else:
        values, table = _labelsAt(levelsNode, points), None
    overlaps = []
    for own in values.reshape(len(spine), len(ball)):
        present, counts = np.unique(own[own > 0], return_counts=True)
        overlaps.append(dict(zip(present.tolist(), counts.tolist(), strict=True)))
    if not any(overlaps):
        raise UserError(
            _(
                'No segment of "{name}" named after a vertebra lies in the vertebrae that were found: choose a '
                "segmentation of vertebrae that was made from this CT."
            ).format(name=levelsNode.GetName())
        )
    writeLevels(segmentationNode, levels_from_overlaps(spine, [len(ball)] * len(spine), overlaps, table))


def _ball() -> np.ndarray:
    """Points (N, 3) in mm around 0."""
    axis = np.arange(-_RADIUS_MM, _RADIUS_MM + _STEP_MM, _STEP_MM)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    return points[np.linalg.norm(points, axis=1) <= _RADIUS_MM]


def _segmentsAt(levelsNode: vtkMRMLSegmentationNode, world: np.ndarray) -> tuple[np.ndarray, Mapping[int, int] | None]:
    """A number for each point (N, 3), 0 outside of all segments of vertebrae, and what the numbers mean.

    The names of the segments say it ("L1", "vertebrae_L1", "L1 vertebra"), or, where none does, their numbers
    ("Segment_20").

    Raises: UserError, when they say nothing.
    """
    from SpineFractureSegLib.engine.vertebrae.levels import table_of_names

    segmentation = levelsNode.GetSegmentation()
    ids = list(segmentation.GetSegmentIDs())
    names = dict(enumerate((segmentation.GetSegment(segmentID).GetName() for segmentID in ids), start=1))
    table = table_of_names(names)
    if table:
        values = {number: number for number in table}
    else:
        matches = {number: _NUMBERED.fullmatch(name.strip()) for number, name in names.items()}
        values = {number: int(match[1]) for number, match in matches.items() if match}
    if not values:
        raise UserError(
            _(
                'No segment of "{name}" is called after a vertebra (L1, vertebrae_L1) or its number: choose a '
                "segmentation of TotalSegmentator or SPINEPS."
            ).format(name=levelsNode.GetName())
        )
    local = _fromWorld(levelsNode, world)
    found = np.zeros(len(world), np.int64)
    for number, value in values.items():
        found[_labelmapAt(levelsNode, ids[number - 1], local) != 0] = value
    return found, table or None


def _labelmapAt(levelsNode: vtkMRMLSegmentationNode, segmentID: str, local: np.ndarray) -> np.ndarray:
    """What a segment's labelmap holds at points in the segmentation's own space."""
    segmentation = levelsNode.GetSegmentation()
    if segmentation.ContainsRepresentation(LABELMAP):
        labelmap = slicer.vtkOrientedImageData()
        levelsNode.GetBinaryLabelmapRepresentation(segmentID, labelmap)
    else:
        convert = slicer.vtkSlicerSegmentationsModuleLogic.CreateRepresentationForOneSegment
        labelmap = convert(segmentation, segmentID, LABELMAP)
        if labelmap is None:
            return np.zeros(len(local), np.int64)
        labelmap.UnRegister(None)  # the reference that the function leaves to its caller
    matrix = vtk.vtkMatrix4x4()
    labelmap.GetImageToWorldMatrix(matrix)
    return _voxelsAt(labelmap, matrix, local)


def _labelsAt(levelsNode: vtkMRMLLabelMapVolumeNode, world: np.ndarray) -> np.ndarray:
    image = levelsNode.GetImageData()
    if image is None or image.GetNumberOfScalarComponents() != 1:
        raise UserError(
            _('"{name}" is no label map of vertebrae: choose one of TotalSegmentator or SPINEPS.').format(
                name=levelsNode.GetName()
            )
        )
    matrix = vtk.vtkMatrix4x4()
    levelsNode.GetIJKToRASMatrix(matrix)
    return _voxelsAt(image, matrix, _fromWorld(levelsNode, world))


def _fromWorld(node: vtkMRMLSegmentationNode | vtkMRMLLabelMapVolumeNode, world: np.ndarray) -> np.ndarray:
    """Points (N, 3) in the space of a node that may be under a transform."""
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, node.GetParentTransformNode(), transform)
    points, moved = vtk.vtkPoints(), vtk.vtkPoints()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(world, np.float64), deep=True))
    moved.SetDataTypeToDouble()
    transform.TransformPoints(points, moved)
    return vtk_to_numpy(moved.GetData()).copy()


def _voxelsAt(image: vtk.vtkImageData, ijkToLocal: vtk.vtkMatrix4x4, local: np.ndarray) -> np.ndarray:
    """The values (N,) of the voxels that hold the points; 0 outside of the image."""
    scalars = image.GetPointData().GetScalars()
    values = np.zeros(len(local), np.int64)
    if scalars is None:
        return values
    inverse = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(ijkToLocal, inverse)
    toIjk = np.array([[inverse.GetElement(row, column) for column in range(4)] for row in range(4)])
    extent = image.GetExtent()
    ijk = np.rint(local @ toIjk[:3, :3].T + toIjk[:3, 3]).astype(np.int64) - extent[::2]
    size = np.array(image.GetDimensions())
    inside = ((ijk >= 0) & (ijk < size)).all(axis=1)
    i, j, k = ijk[inside].T
    values[inside] = np.rint(vtk_to_numpy(scalars).reshape(size[::-1])[k, j, i]).astype(np.int64)
    return values
