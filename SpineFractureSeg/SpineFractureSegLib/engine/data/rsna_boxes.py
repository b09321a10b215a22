"""Boxes drawn in DICOM slices, as a mask on the working grid. Each is found by its slice's position in the patient."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from SpineFractureSegLib.engine.data.scan import Box
from SpineFractureSegLib.engine.dicom_files import DicomSeries, DicomSlice


def boxes_on_grid(
    boxes: Iterable[Box],
    series: DicomSeries,
    origin_mm: tuple[float, float, float],
    shape: tuple[int, int, int],
    spacing_mm: float,
) -> tuple[np.ndarray, int]:
    """bool (Z, Y, X) on the working grid, and how many boxes name a slice that the series does not have.

    A box is as thick as its slice. Where slices are tilted against the grid, the upright block around it is taken.

    Args:
        boxes: any number.
        series: of the CT; slices are called by the names of their files without the ending.
        origin_mm, shape, spacing_mm: of the grid.
    """
    slices = {Path(one.path).stem: one for one in series.slices if one.position_mm and one.orientation}
    thickness = _slice_distance(list(slices.values()))
    mask, lost = np.zeros(shape, bool), 0
    for box in boxes:
        if box.slice_name not in slices:
            lost += 1
            continue
        corners = (_corners(box, slices[box.slice_name], thickness) - origin_mm) / spacing_mm  # (8, 3), voxels x, y, z
        low = np.maximum(np.ceil(corners.min(0) - 1e-6), 0).astype(int)
        high = np.maximum(np.floor(corners.max(0) + 1e-6).astype(int) + 1, 0)
        mask[low[2] : high[2], low[1] : high[1], low[0] : high[0]] = True
    return mask, lost


def _corners(box: Box, where: DicomSlice, thickness: float) -> np.ndarray:
    along_row, along_column = np.reshape(where.orientation, (2, 3))
    normal = np.cross(along_row, along_column)
    edges = [(box.x - 0.5, box.x + box.width - 0.5), (box.y - 0.5, box.y + box.height - 0.5)]  # of pixels, not centers
    return np.array(
        [
            where.position_mm
            + along_row * where.spacing_mm[0] * x
            + along_column * where.spacing_mm[1] * y
            + normal * thickness * side
            for x in edges[0]
            for y in edges[1]
            for side in (-0.5, 0.5)
        ]
    )


def _slice_distance(slices: list[DicomSlice]) -> float:
    """Median distance in mm; what the header says where there is one slice. At least 1 mm, so that no box is lost."""
    if len(slices) < 2:
        return max([1.0, *(one.spacing_mm[2] for one in slices)])
    normal = np.cross(*np.reshape(slices[0].orientation, (2, 3)))
    steps = np.diff(sorted(float(np.dot(one.position_mm, normal)) for one in slices))
    return max(1.0, float(np.median(steps)))
