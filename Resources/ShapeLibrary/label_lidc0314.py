"""How the vertebral bodies of lidc0314 were labelled, a CT that came without labels.

  python Resources/ShapeLibrary/build_library.py FOLDER lidc0314
  python Resources/ShapeLibrary/label_lidc0314.py MODEL

MODEL is the file of the bundled model's version 6, which never saw this CT (in the repository's history, f06ff12). It
found the bodies as for the spine table; the CT's slices of 1 mm show every disc, so that nothing had to be read off by
eye as for acrinflt_lumbar. Every body was looked at in five sagittal slices. Bodies alone, no arches; the first and the
last are cut by the border and left out of fracture loss and score.
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
from SpineFractureSegLib.engine.simulator.shapes import Spine, crop_box, load_spine, save_spine
from SpineFractureSegLib.engine.vertebrae.instances import find_bodies

UPPERMOST, LOWEST = 7, 20  # C7, above the first rib, to L1, below the last
SURFACE = 0.6  # probability; calibrated for the heights of version 6
MARGIN_MM = (0, 70, 50)  # z, y, x
LEFT_OUT_MM = 13  # at the lower border, where half of L1 is no bone to the model


def labelled(spine: Spine, model: Model) -> Spine:
    """The spine cropped to its vertebrae, with ids and bodies."""
    vertebra = segment_array(spine.hu, model, device="cpu")[0]["vertebra"]
    found = find_bodies(vertebra, 1.0)
    numbers = np.where(found.labels > 0, np.minimum(found.labels + UPPERMOST - 1, LOWEST), 0)  # the border splits L1
    vertebrae = np.zeros(spine.vertebrae.shape, np.uint8)
    for vertebra_id in range(UPPERMOST, LOWEST + 1):
        inside = (numbers == vertebra_id) & (ndimage.gaussian_filter(vertebra, 0.7) >= SURFACE)
        vertebrae[ndimage.binary_fill_holes(largest_part(inside))] = vertebra_id
    vertebrae[:LEFT_OUT_MM] = 0
    box = crop_box(vertebrae > 0, MARGIN_MM)
    vertebrae = np.ascontiguousarray(vertebrae[box])
    hu = np.ascontiguousarray(spine.hu[box])
    return replace(spine, vertebrae=vertebrae, bodies=vertebrae > 0, hu=hu, uncertain=(UPPERMOST, LOWEST))


if __name__ == "__main__":
    path = Path(__file__).parent / "lidc0314.npz"
    spine = labelled(load_spine(path), load_model(sys.argv[1]))
    save_spine(path, spine)
    print(json.dumps({int(i): int((spine.vertebrae == i).sum()) for i in spine.ids}), "mm3 by vertebra")
