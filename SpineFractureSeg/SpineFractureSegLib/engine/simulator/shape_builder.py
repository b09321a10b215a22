"""Makes spines of the shape library from CT and label files. The only part of the simulator that needs SimpleITK.

Label maps of thick slices are brought to 1 mm by interpolating each vertebra's signed distance, which leaves no steps.
"""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from SpineFractureSegLib.engine.orientation import to_working_grid
from SpineFractureSegLib.engine.simulator.bodies import vertebral_bodies
from SpineFractureSegLib.engine.simulator.shapes import Spine, crop_box

# TotalSegmentator v2 numbers upwards from the sacrum: 27 L5 ... 32 T12 ... 50 C1
TOTALSEGMENTATOR_TO_VERSE = {source: 51 - source for source in range(27, 51)} | {25: 26, 26: 26}
VERSE_IDS = {i: i for i in [*range(1, 27), 28]}


def build_spine(
    ct_path: str | Path | None,
    labels_path: str | Path | None,
    *,
    label_ids: dict[int, int] = VERSE_IDS,
    margin_mm: tuple[int, int, int] = (40, 70, 50),
    **about,
) -> Spine:
    """One spine from a CT, a vertebra label map, or both.

    Args:
        ct_path: CT in Hounsfield units; None for a label map alone.
        labels_path: vertebra label map, in its own grid; None for a CT without labels.
        label_ids: value in the file -> VerSe id; other values are dropped.
        margin_mm: (z, y, x) kept around the vertebrae; a CT without labels is kept whole.
        about: the other fields of ``Spine``: name, patient, split, source, licence, genant, uncertain.
    """
    if ct_path is not None:
        working = to_working_grid(sitk.ReadImage(str(ct_path)), 1.0)
        hu, origin = np.clip(np.round(working.hu), -1024, 3071).astype(np.int16), working.origin_mm
        shape = hu.shape
    else:
        hu, (origin, shape) = None, _grid_around(sitk.ReadImage(str(labels_path)))
    if labels_path is None:
        empty = np.zeros(shape, np.uint8)
        return Spine(vertebrae=empty, bodies=empty.astype(bool), hu=hu, **about)
    vertebrae = labels_on_grid(sitk.ReadImage(str(labels_path)), origin, shape, label_ids)
    if hu is None:
        vertebrae = np.pad(vertebrae, [(m, m) for m in margin_mm])
    box = crop_box((vertebrae > 0) & (vertebrae != 26), margin_mm)
    vertebrae = np.ascontiguousarray(vertebrae[box])
    hu = None if hu is None else np.ascontiguousarray(hu[box])
    return Spine(vertebrae=vertebrae, bodies=vertebral_bodies(vertebrae), hu=hu, **about)


def _grid_around(image: sitk.Image) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Origin (x, y, z) in mm and shape (z, y, x) of the 1 mm world-aligned grid that covers an image."""
    size = np.array(image.GetSize()) - 0.5
    corners = [
        image.TransformContinuousIndexToPhysicalPoint([float(size[k]) if corner >> k & 1 else -0.5 for k in range(3)])
        for corner in range(8)
    ]
    low, high = np.floor(np.min(corners, axis=0)), np.ceil(np.max(corners, axis=0))
    return tuple(map(float, low)), tuple(int(n) + 1 for n in (high - low)[::-1])


def labels_on_grid(
    image: sitk.Image, origin_mm: tuple[float, ...], shape: tuple[int, ...], label_ids: dict[int, int]
) -> np.ndarray:
    """Label map resampled to a 1 mm world-aligned grid, each label by its signed distance in mm. uint8 (Z, Y, X)."""
    values = np.round(sitk.GetArrayFromImage(image)).astype(np.int32)  # some public masks are float
    result = np.zeros(shape, np.uint8)
    best = np.zeros(shape, np.float32)
    to_index = np.linalg.inv(np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing()))
    spacing_zyx = image.GetSpacing()[::-1]
    for value, box in enumerate(ndimage.find_objects(values), start=1):
        if box is None or value not in label_ids:
            continue
        box = tuple(slice(max(0, e.start - 4), min(n, e.stop + 4)) for e, n in zip(box, values.shape, strict=True))
        inside = values[box] == value
        distance = ndimage.distance_transform_edt(inside, sampling=spacing_zyx)
        distance -= ndimage.distance_transform_edt(~inside, sampling=spacing_zyx)
        first, last = np.array([e.start for e in box])[::-1], np.array([e.stop - 1 for e in box])[::-1]
        corners = [np.where([c >> k & 1 for k in range(3)], last, first) for c in range(8)]
        world = np.array([image.TransformContinuousIndexToPhysicalPoint(c.astype(float).tolist()) for c in corners])
        low = np.maximum(0, np.floor(world.min(axis=0) - origin_mm)).astype(int)
        high = np.minimum(np.array(shape)[::-1], np.ceil(world.max(axis=0) - origin_mm) + 1).astype(int)
        z, y, x = np.meshgrid(*(np.arange(a, b) for a, b in zip(low[::-1], high[::-1], strict=True)), indexing="ij")
        points = np.stack([x + origin_mm[0], y + origin_mm[1], z + origin_mm[2]]) - np.array(image.GetOrigin()).reshape(
            3, 1, 1, 1
        )
        index = np.tensordot(to_index, points, 1) - first.reshape(3, 1, 1, 1)
        sampled = ndimage.map_coordinates(distance.astype(np.float32), index[::-1], order=1, cval=-10)
        target = tuple(slice(a, b) for a, b in zip(low[::-1], high[::-1], strict=True))
        wins = (sampled > 0) & (sampled > best[target])
        result[target][wins] = label_ids[value]
        best[target][wins] = sampled[wins]
    return result
