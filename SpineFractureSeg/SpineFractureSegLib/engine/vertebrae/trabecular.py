"""Mean Hounsfield units of a body's trabecular core: an opportunistic hint at bone density.

It is no densitometry: contrast medium, tube voltage and the reconstruction kernel move it by tens of HU.
"""

import numpy as np
from scipy import ndimage

from SpineFractureSegLib.engine.vertebrae.body_frame import BodyFrame

_SHELL_MM = 4.0  # endplates and cortex with their blur
_SHELL_SHARE = 0.3  # of the thickness, where that is less: cervical and crushed bodies
_FRONT_FROM = 0.35  # share of the depth; further back the basivertebral veins enter
_SMALLEST_MM3 = 300.0
_SMOOTH_MM = 1.5  # so that noise is not taken for metal
_DENSE_HU, _GAS_HU = 450.0, -120.0
_MOST_FOREIGN = 0.03  # share of the core


def trabecular_hu(hu: np.ndarray, body: np.ndarray, frame: BodyFrame, spacing_mm: float) -> tuple[float | None, str]:
    """The mean and "", or None and why there is none.

    Args:
        hu: (Z, Y, X), of the box around the body.
        body: bool (Z, Y, X), the body.
        frame: of the body.
        spacing_mm: of the voxels.
    """
    distance = ndimage.distance_transform_edt(np.pad(body, 1), sampling=spacing_mm)[1:-1, 1:-1, 1:-1]
    shell_mm = min(_SHELL_MM, _SHELL_SHARE * 2 * float(distance.max()))
    core = (distance > shell_mm) & (frame.depth_share(body.shape, spacing_mm) > _FRONT_FROM)
    if core.sum() * spacing_mm**3 < _SMALLEST_MM3:
        return None, "The core is too small for a bone density."
    smooth = ndimage.gaussian_filter(hu.astype(np.float32), _SMOOTH_MM / spacing_mm)[core]
    if (smooth > _DENSE_HU).mean() > _MOST_FOREIGN:
        return None, "No bone density: cement, metal or dense bone in the core."
    if (smooth < _GAS_HU).mean() > _MOST_FOREIGN:
        return None, "No bone density: gas in the core."
    return round(float(hu[core].mean()), 1), ""
