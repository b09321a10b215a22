"""A simulated fracture in a CT image, on the CT's own grid: for samples and demonstrations. Needs SimpleITK."""

import numpy as np
import SimpleITK as sitk

from SpineFractureSegLib.engine.orientation import WorkingVolume, to_ct_grid, to_working_grid
from SpineFractureSegLib.engine.preprocessing import AIR_HU
from SpineFractureSegLib.engine.simulator.bodies import vertebral_bodies
from SpineFractureSegLib.engine.simulator.in_place import fracture_in_place
from SpineFractureSegLib.engine.simulator.shape_builder import VERSE_IDS, labels_on_grid
from SpineFractureSegLib.engine.simulator.shapes import Spine


def fracture_ct(
    ct: sitk.Image,
    labels: sitk.Image,
    vertebra: int,
    kind: str,
    height_loss: tuple[float, float],
    seed: int,
    label_ids: dict[int, int] = VERSE_IDS,
) -> tuple[sitk.Image, sitk.Image, dict]:
    """Fractures one vertebra of a CT.

    Args:
        ct, labels: CT in HU and vertebra label map, each on its own grid.
        vertebra, kind, height_loss: as ``fracture_in_place``.

    Returns: CT (int16) and reference (uint8) on the CT's grid, and the truth of the case.

    Raises: ValueError, when the vertebra cannot be fractured as asked.
    """
    working = to_working_grid(ct, 1.0)
    vertebrae = labels_on_grid(labels, working.origin_mm, working.hu.shape, label_ids)
    spine = Spine(
        name="ct",
        patient="ct",
        split="test",
        source="",
        licence="",
        vertebrae=vertebrae,
        bodies=vertebral_bodies(vertebrae),
        hu=np.round(working.hu).astype(np.int16),
    )
    case = fracture_in_place(spine, vertebra, kind, height_loss, seed)

    def on_ct_grid(volume: np.ndarray) -> sitk.Image:
        return to_ct_grid(volume.astype(np.float32), WorkingVolume(volume, working.origin_mm, 1.0), ct)

    hu = on_ct_grid(case.hu.astype(np.float32) - AIR_HU) + AIR_HU  # outside of the working grid is air, not 0
    reference = on_ct_grid(case.fracture_mask) >= 0.5
    return sitk.Cast(sitk.Round(hu), sitk.sitkInt16), sitk.Cast(reference, sitk.sitkUInt8), case.truth
