"""How the vertebral bodies of acrinflt_lumbar were labelled, a CT that came without labels.

  python Resources/ShapeLibrary/label_acrinflt.py MODEL

MODEL is the file of the bundled model's version 1 (in the repository's history, 7ba01ca); run anew later, with
a newer engine, it gave the same labels but for nine voxels. Its vertebra channel outlines the column; it is cut at the
discs, whose places on the column's middle were read off the CT by eye (at slices of 4.25 mm no rule finds all of them);
the first sacral body is the bone between four corners, read off the same way. Each body was then looked at in sagittal
slices. The disc T9/T10 cannot be seen and is put at a typical height; T9 and T10 are bone to the vertebra channel and
left out of fracture loss and score. acrinflt_cervicothoracic stays without labels: there no disc can be told from the
bodies.
"""

import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy import ndimage

from SpineFractureSegLib.engine.model_file import Model, load_model
from SpineFractureSegLib.engine.pipeline import segment_array
from SpineFractureSegLib.engine.simulator.shapes import load_spine

DISC_SLICES = (
    130,
    164,
    199,
    237,
    272,
    306,
    338,
    368,
    395,
    423,
)  # z of the discs from L5/S1 upwards on the column's middle
LOWEST = 24  # L5
UNCERTAIN = (16, 17)
HALF_DISC_MM = {24: 4.0, 23: 3.5, 22: 3.5, 21: 3.5, 20: 3.0, 19: 2.5, 18: 2.5}  # of the disc below each body
SACRAL_FRONT, SACRAL_BACK = np.array((114.0, 188.0)), np.array((133.0, 206.0))  # corners (z, y) of the S1 endplate
SACRAL_MIDDLE, SACRAL_HEIGHT_MM = 56, 27  # x; mm along the body


def label(hu: np.ndarray, model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Vertebra ids uint8 and bodies bool, both (Z, Y, X), of T9 to S1."""
    probability, _ = segment_array(hu, model, device="cpu")
    column = largest_part(ndimage.binary_closing(probability["vertebra"] > 0.5, np.ones((5, 3, 3))))
    points, middle, tangent = _middle_line(column)
    nearest = np.clip(points[0] - middle[0, 0], 0, middle.shape[1] - 1).astype(int)
    for _ in range(3):  # the foot of each voxel's perpendicular on the middle line
        along = ((points - middle[:, nearest]) * tangent[:, nearest]).sum(axis=0)
        nearest = np.clip(nearest + np.round(along * tangent[0, nearest]), 0, middle.shape[1] - 1).astype(int)
    level = middle[0, nearest]
    vertebrae = np.zeros(hu.shape, np.uint8)
    for step, (low, high) in enumerate(pairwise(DISC_SLICES)):
        vertebra = LOWEST - step
        above = HALF_DISC_MM.get(vertebra - 1, 2.0)
        inside = (level >= low + HALF_DISC_MM.get(vertebra, 2.0)) & (level <= high - above)
        body = np.zeros(hu.shape, bool)
        body[tuple(points[:, inside])] = True
        body = ndimage.binary_closing(body, iterations=2) | body
        vertebrae[largest_part(ndimage.binary_opening(body, iterations=2))] = vertebra
    vertebrae[_sacral_body(hu) & (vertebrae == 0)] = 26
    return vertebrae, vertebrae > 0


def _middle_line(column: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Voxels (3, N) of the column, its smoothed middle (3, Z) per slice, and its direction."""
    points = np.array(np.nonzero(column))
    slices = np.arange(points[0].min(), points[0].max() + 1)
    y = ndimage.gaussian_filter1d([points[1][points[0] == z].mean() for z in slices], 10)
    x = ndimage.gaussian_filter1d([np.median(points[2][points[0] == z]) for z in slices], 12)
    middle = np.stack([slices, y, x])
    tangent = np.gradient(middle, axis=1)
    return points, middle, tangent / np.linalg.norm(tangent, axis=0)


def _sacral_body(hu: np.ndarray) -> np.ndarray:
    plate = (SACRAL_BACK - SACRAL_FRONT) / np.linalg.norm(SACRAL_BACK - SACRAL_FRONT)
    down = np.array((-plate[1], plate[0]))
    z, y, x = np.ogrid[: hu.shape[0], : hu.shape[1], : hu.shape[2]]
    z, y = z - SACRAL_FRONT[0], y - SACRAL_FRONT[1]
    depth, below = z * plate[0] + y * plate[1], z * down[0] + y * down[1]
    narrowing = below / SACRAL_HEIGHT_MM
    inside = (below > 0) & (below < SACRAL_HEIGHT_MM) & (depth > 3 * narrowing)
    inside = inside & (depth < np.linalg.norm(SACRAL_BACK - SACRAL_FRONT) * (1 - 0.35 * narrowing))
    inside = inside & (np.abs(x - SACRAL_MIDDLE) < 24 - 6 * narrowing)
    return largest_part(ndimage.binary_opening(inside & (ndimage.gaussian_filter(hu.astype(np.float32), 1) > 110)))


def largest_part(mask: np.ndarray) -> np.ndarray:
    parts, count = ndimage.label(mask)
    return mask if count == 0 else parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])


if __name__ == "__main__":
    path = Path(__file__).parent / "acrinflt_lumbar.npz"
    vertebrae, bodies = label(load_spine(path).hu, load_model(sys.argv[1]))
    with np.load(path) as stored:  # the Hounsfield units stay as they are stored
        about = json.dumps(json.loads(str(stored["about"])) | {"uncertain": UNCERTAIN})
        arrays = dict(stored) | {"vertebrae": vertebrae, "bodies": bodies, "about": about}
    np.savez_compressed(path, **arrays)
    print({int(i): int((vertebrae == i).sum()) for i in np.unique(vertebrae[bodies])}, "mm3 by vertebra")
