"""How the vertebral bodies of acrinnsclc were labelled, a CT that came without labels.

  python Resources/ShapeLibrary/label_acrinnsclc.py FOLDER MODEL

FOLDER holds ct/acrinnsclc_thoracolumbar_3mm_ct.nii.gz. MODEL is the file of the bundled model's version 8, which never
saw this CT (in the repository's history, 58c2f3d). It found the bodies as for the spine table. Bridging spurs (diffuse
idiopathic skeletal hyperostosis) run along the front of the thoracic ones; two of these, T7 and T8, it saw in a left
and a right half, which are joined here through bone. Outlines are rounded; every body was looked at in sagittal slices.
Bodies alone, no arches; the first and the last are cut by the border and left out of fracture loss and score.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from label_acrinflt import largest_part
from scipy import ndimage

from SpineFractureSegLib.engine.model_file import Model, load_model
from SpineFractureSegLib.engine.pipeline import segment_array
from SpineFractureSegLib.engine.simulator.shape_builder import VERSE_IDS, build_spine
from SpineFractureSegLib.engine.simulator.shapes import Spine, crop_box, save_spine
from SpineFractureSegLib.engine.vertebrae.instances import find_bodies

UPPERMOST, LOWEST = 5, 21  # C5 to L2; the first rib is at the fourth body
HALVES = (14, 15)  # T7, T8
SURFACE = 0.5  # probability
BONE_HU = 110  # of what is added to a body: neither canal nor lung
MARGIN_MM = (0, 70, 50)  # z, y, x
LEFT_OUT_MM = 13  # at the lower border, where L3 begins; four slices
SLICE_MM = 3.27
_PAD = 20


def labels_of(spine: Spine, model: Model) -> np.ndarray:
    """Vertebra ids uint8 (Z, Y, X)."""
    vertebra = segment_array(spine.hu, model, device="cpu")[0]["vertebra"]
    found = find_bodies(vertebra, 1.0)
    numbers = np.where(found.labels > 0, found.labels + UPPERMOST - 1, 0)
    sure = ndimage.gaussian_filter(vertebra, 0.7) >= SURFACE
    bone = ndimage.gaussian_filter(spine.hu.astype(np.float32), 1) > BONE_HU
    vertebrae = np.zeros(spine.vertebrae.shape, np.uint8)
    for vertebra_id, where in enumerate(ndimage.find_objects(numbers)[UPPERMOST - 1 : LOWEST], start=UPPERMOST):
        box = tuple(slice(max(axis.start - _PAD, 0), axis.stop + _PAD) for axis in where)
        own = (numbers[box] == vertebra_id) & sure[box]
        body = _mended(own, bone[box], halves=vertebra_id in HALVES)
        vertebrae[box][body & np.isin(numbers[box], (0, vertebra_id))] = vertebra_id
    return vertebrae


def _mended(body: np.ndarray, bone: np.ndarray, halves: bool) -> np.ndarray:
    body, bone = np.pad(body, _PAD), np.pad(bone, _PAD)
    for shape in (np.ones((1, 1, 31)), _ball(8), _ball(4)) if halves else (_ball(4),):
        body = body | (ndimage.binary_closing(body, shape) & bone)
    body = ndimage.binary_opening(ndimage.binary_fill_holes(body), _ball(4))
    return largest_part(body)[(slice(_PAD, -_PAD),) * 3]


def _ball(radius: int) -> np.ndarray:
    return (np.mgrid[(slice(-radius, radius + 1),) * 3] ** 2).sum(axis=0) <= radius**2 + 0.5


def main(folder: Path, model_file: str) -> None:
    spine = build_spine(
        folder / "ct" / "acrinnsclc_thoracolumbar_3mm_ct.nii.gz",
        None,
        label_ids=VERSE_IDS,
        name="acrinnsclc",
        patient="ACRIN-NSCLC-042",
        split="train",
        uncertain=(UPPERMOST, LOWEST),
        source="ACRIN-NSCLC-042 via OHIF/viewer-testdata-dicomweb",
        licence="CC BY 3.0",
    )
    vertebrae = labels_of(spine, load_model(model_file))
    vertebrae[:LEFT_OUT_MM] = 0
    box = crop_box(vertebrae > 0, MARGIN_MM)
    vertebrae, hu = (np.ascontiguousarray(array[box]) for array in (vertebrae, spine.hu))
    spine = replace(spine, vertebrae=vertebrae, bodies=vertebrae > 0, hu=hu)
    save_spine(Path(__file__).parent / "acrinnsclc.npz", spine, SLICE_MM)
    print(json.dumps({int(i): int((vertebrae == i).sum()) for i in spine.ids}), "mm3 by vertebra")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
