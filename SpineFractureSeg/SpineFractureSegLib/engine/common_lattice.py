"""Two masks on one lattice, in a box around all foreground, so that they can be compared voxel by voxel.

A *lattice* is a grid without borders: spacing, directions and a point on it. An *index* is (x, y, z) on the reference's
lattice; it can lie outside the reference's image.
"""

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from SpineFractureSegLib.engine.postprocess import bounding_box

_SAME_PLACE = 0.01  # voxels; two grids that differ less are one


def same_grid(first: sitk.Image, second: sitk.Image) -> bool:
    """Whether two images have one size and the same corners."""
    if first.GetSize() != second.GetSize():
        return False
    corners = _corners(first.GetSize())
    ours = _continuous_indices(second, _positions(first, corners))
    return bool(np.abs(ours - corners).max() < _SAME_PLACE)


def fields_touch(first: sitk.Image, second: sitk.Image) -> bool:
    """Whether the boxes around the two fields of view, taken along the second's axes, overlap."""
    corners = _continuous_indices(second, _positions(first, _corners(first.GetSize())))
    return bool((corners.max(0) > -0.5).all() and (corners.min(0) < np.array(second.GetSize()) - 0.5).all())


def on_one_lattice(prediction: sitk.Image, reference: sitk.Image) -> tuple[np.ndarray, np.ndarray, int]:
    """Both masks as bool (Z, Y, X) in the box around all foreground, and the number of voxels of the whole field.

    The field is the reference's grid, extended along its own lattice to hold the prediction's foreground.
    """
    predicted, truth = (sitk.GetArrayViewFromImage(image) > 0.5 for image in (prediction, reference))
    size = np.array(reference.GetSize())
    boxes = [(np.zeros(3, int), size)]  # of the field, then of each foreground: first index and the one after the last
    if (box := _index_box(truth)) is not None:
        boxes.append(box)
    same = same_grid(prediction, reference)
    if (box := _index_box(predicted)) is not None:
        if not same:
            faces = _corners(box[1] - box[0]) + box[0]
            faces = _continuous_indices(reference, _positions(prediction, faces))
            box = np.floor(faces.min(0) - 0.5).astype(int), np.ceil(faces.max(0) + 0.5).astype(int) + 1
        boxes.append(box)
    field = np.max([b[1] for b in boxes], 0) - np.min([b[0] for b in boxes], 0)
    total = int(np.prod(field))
    if len(boxes) == 1:
        return np.zeros((1, 1, 1), bool), np.zeros((1, 1, 1), bool), total
    start, stop = np.min([b[0] for b in boxes[1:]], 0), np.max([b[1] for b in boxes[1:]], 0)
    if same:
        crop = tuple(slice(a, b) for a, b in zip(start[::-1], stop[::-1], strict=True))
        return predicted[crop], truth[crop], total
    return _cut(prediction, reference, start, stop), _cut(reference, reference, start, stop), total


def _cut(image: sitk.Image, lattice: sitk.Image, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """The foreground of ``image`` on a box of a lattice, nearest neighbor, nothing outside the image."""
    result = sitk.Resample(
        sitk.Cast(image > 0.5, sitk.sitkUInt8),
        [int(n) for n in stop - start],
        sitk.Transform(),
        sitk.sitkNearestNeighbor,
        lattice.TransformContinuousIndexToPhysicalPoint([float(n) for n in start]),
        lattice.GetSpacing(),
        lattice.GetDirection(),
        0,
    )
    return sitk.GetArrayFromImage(result) > 0


def _index_box(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """First index (x, y, z) of the foreground and the one after its last."""
    box = bounding_box(mask)
    return None if box is None else (np.array([s.start for s in box[::-1]]), np.array([s.stop for s in box[::-1]]))


def _corners(size: Sequence[int]) -> np.ndarray:
    """(8, 3) indices of the centers of the corner voxels of a box."""
    return np.stack(np.meshgrid(*[(0, int(n) - 1) for n in size])).reshape(3, 8).T.astype(float)


def _positions(image: sitk.Image, indices: np.ndarray) -> np.ndarray:
    return np.array([image.TransformContinuousIndexToPhysicalPoint(index.tolist()) for index in indices])


def _continuous_indices(image: sitk.Image, positions: np.ndarray) -> np.ndarray:
    return np.array([image.TransformPhysicalPointToContinuousIndex(position.tolist()) for position in positions])
