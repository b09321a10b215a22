"""A mask from a file, drawn by hand or written by a program, as 0 and 1.

Which voxels count: those of any label; but in a Slicer segmentation that has a segment called "Fracture", only that
segment's, so that segments of vertebrae beside it do no harm.
"""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.volume import read_image

_SEGMENT = "fracture"


def read_mask(path: str | Path) -> sitk.Image:
    """uint8 3D image on the file's grid, 1 where there is fracture.

    Raises: UserError, when the file cannot be read, is no 3D image, or holds values that are no labels.
    """
    image = read_image(path)
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[:, :, :, 0]
    if image.GetDimension() != 3:
        raise UserError(f"'{path}' has {image.GetDimension()} dimensions, a mask has 3: choose another file.")
    values = sitk.GetArrayViewFromImage(image)
    if not np.array_equal(values, np.rint(values)):  # also where a value is NaN
        raise UserError(f"'{path}' holds values that are not whole numbers, a mask holds 0 and labels.")
    layers = values if image.GetNumberOfComponentsPerPixel() > 1 else values[..., None]
    mask = sitk.GetImageFromArray(_fracture_voxels(image, layers).astype(np.uint8))
    mask.SetOrigin(image.GetOrigin())
    mask.SetSpacing(image.GetSpacing())
    mask.SetDirection(image.GetDirection())
    return mask


def _fracture_voxels(image: sitk.Image, layers: np.ndarray) -> np.ndarray:
    """bool (Z, Y, X) of layers (Z, Y, X, layer); overlapping segments lie in different layers."""
    keys = [key for key in image.GetMetaDataKeys() if key.startswith("Segment") and key.endswith("_Name")]
    for prefix in (key.removesuffix("_Name") for key in keys):
        if image.GetMetaData(f"{prefix}_Name").strip().lower() == _SEGMENT:
            layer, label = (_number(image, f"{prefix}_{field}") for field in ("Layer", "LabelValue"))
            if layer is not None and label is not None and 0 <= layer < layers.shape[-1]:
                return layers[..., layer] == label
    return (layers != 0).any(axis=-1)


def _number(image: sitk.Image, key: str) -> int | None:
    text = image.GetMetaData(key).strip() if image.HasMetaDataKey(key) else ""
    return int(text) if text.isdecimal() else None
