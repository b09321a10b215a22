"""Label files as they are in the wild: whole numbers stored as floats, axes not at right angles, overlapping segments.

Geometry is taken from the file's affine matrix, also where ITK refuses it (``engine.nifti`` reads it then).
"""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from SpineFractureSegLib.engine.case import MAP_FRACTURE, MAP_UNKNOWN
from SpineFractureSegLib.engine.data.scan import FractureMask, VertebraLabels
from SpineFractureSegLib.engine.data.slicer_segments import segments_in
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.volume import read_image

_ROUNDING = 0.02  # how far a label may lie from a whole number: what scaling and compression leave
_MANY_LABELS = 4  # so many different values in a file that is not said to hold fractures look like vertebrae


def read_vertebrae(labels: VertebraLabels) -> sitk.Image:
    """uint8 3D image of VerSe ids on the file's own grid.

    Raises: UserError, when the file cannot be read or holds no vertebra.
    """
    image, layers = _read_layers(labels.path)
    segments = [segment for segment in segments_in(labels.path) if segment.vertebra]
    result = np.zeros(layers.shape[:3], np.uint8)
    if segments:
        for segment in segments:
            result[_layer(layers, segment.layer, labels.path) == segment.value] = segment.vertebra
    else:
        for value in np.unique(layers[..., 0]):
            if int(value) in labels.ids:
                result[layers[..., 0] == value] = labels.ids[int(value)]
    if not result.any():
        found = ", ".join(str(int(value)) for value in np.unique(layers)[:6])
        raise UserError(
            f"'{labels.path}' holds no vertebra (values {found}), labels of vertebrae are expected: check whose "
            "numbers they are (--label-ids)."
        )
    return _on_grid_of(image, result)


def read_fracture(mask: FractureMask) -> sitk.Image:
    """uint8 3D image on the file's own grid: ``MAP_FRACTURE``, ``MAP_UNKNOWN``, 0 elsewhere.

    Raises: UserError, when the file cannot be read or looks like a label map of vertebrae.
    """
    image, layers = _read_layers(mask.path)
    result = np.zeros(layers.shape[:3], np.uint8)
    segments = segments_in(mask.path)
    if any(segment.is_fracture for segment in segments):
        for wanted, value in (("is_unknown", MAP_UNKNOWN), ("is_fracture", MAP_FRACTURE)):
            for segment in segments:
                if getattr(segment, wanted):
                    result[_layer(layers, segment.layer, mask.path) == segment.value] = value
        return _on_grid_of(image, result)
    result[np.isin(layers, mask.unknown).any(axis=-1)] = MAP_UNKNOWN
    drawn = layers != 0 if mask.values is None else np.isin(layers, mask.values)
    if mask.values is None:
        drawn &= ~np.isin(layers, mask.unknown)
        if not mask.named and (count := len(np.unique(layers[drawn]))) >= _MANY_LABELS:
            raise UserError(
                f"'{mask.path}' holds {count} different labels, which look like vertebrae, a mask of fractures is "
                "expected: end its name with _vertebrae, or with _fracture where each label is a fracture."
            )
    result[drawn.any(axis=-1)] = MAP_FRACTURE
    return _on_grid_of(image, result)


def _read_layers(path: Path) -> tuple[sitk.Image, np.ndarray]:
    """The image for its geometry, and int32 (Z, Y, X, layer)."""
    image = read_image(path)
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[:, :, :, 0]
    if image.GetDimension() != 3:
        raise UserError(f"'{path}' has {image.GetDimension()} dimensions, labels have 3: choose another file.")
    values = sitk.GetArrayViewFromImage(image)
    values = values if image.GetNumberOfComponentsPerPixel() > 1 else values[..., None]
    if values.dtype.kind == "f":
        whole = np.rint(values)
        off = np.abs(np.where(np.isfinite(values), values, np.inf) - whole)
        if not (off <= _ROUNDING).all():
            example = values.ravel()[int(np.argmax(~(off <= _ROUNDING)))]
            raise UserError(
                f"'{path}' holds values between whole numbers (for example {example:.4g}), labels are whole: "
                "export it again without interpolation."
            )
        values = whole
    if values.min() < 0 or values.max() > 65535:
        raise UserError(
            f"'{path}' holds values from {values.min():.6g} to {values.max():.6g}, labels lie from 0 to 65535: "
            "choose a label map."
        )
    return image, values.astype(np.int32)


def _layer(layers: np.ndarray, number: int, path: Path) -> np.ndarray:
    if number >= layers.shape[-1]:
        raise UserError(f"'{path}' names layer {number} and has {layers.shape[-1]}: export it from Slicer again.")
    return layers[..., number]


def _on_grid_of(image: sitk.Image, array: np.ndarray) -> sitk.Image:
    result = sitk.GetImageFromArray(array)
    result.SetOrigin(image.GetOrigin())
    result.SetSpacing(image.GetSpacing())
    result.SetDirection(image.GetDirection())
    return result
