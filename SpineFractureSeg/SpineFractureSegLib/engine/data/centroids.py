"""Centroids of vertebral bodies as VerSe stores them, as points in the patient.

``[{"direction": ["P", "I", "R"]}, {"label": 16, "X": ..., "Y": ..., "Z": ...}, ...]``: X, Y and Z count the voxels of
the CT along the three *axis codes*, each named by where it leads (P: to the back). The CT may be stored along others.
"""

import json
import math
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from SpineFractureSegLib.engine.errors import UserError, one_line

_OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "S": "I", "I": "S"}


def read_centroids(path: Path, ct: sitk.Image, isotropic: bool = False) -> dict[int, np.ndarray]:
    """Id -> position (x, y, z) in mm, LPS. Points that are not numbers are left out.

    Args:
        path: the JSON file.
        ct: the CT whose voxels are counted.
        isotropic: they are counted in steps of 1 mm instead.

    Raises: UserError, when the file is not what VerSe has.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        codes = [str(code).upper() for code in entries[0]["direction"]]
        points = {
            int(entry["label"]): [float(entry[axis]) for axis in "XYZ"] for entry in entries[1:] if "label" in entry
        }
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise UserError(
            f"'{path}' is no list of centroids ({type(error).__name__}: {one_line(error)}), a direction and labels "
            "with X, Y, Z are expected: get the file again."
        ) from error
    axes = [_axis_of(code, path, ct) for code in codes]
    if sorted(axis for axis, _ in axes) != [0, 1, 2]:
        raise UserError(f"'{path}' has the axis codes {codes}, three different axes are expected: get the file again.")
    size, spacing = ct.GetSize(), ct.GetSpacing()
    positions = {}
    for vertebra, point in points.items():
        if not all(map(math.isfinite, point)):
            continue
        index = [0.0] * 3
        for (axis, same), value in zip(axes, point, strict=True):
            steps = value / spacing[axis] if isotropic else value
            index[axis] = steps if same else size[axis] - 1 - steps
        positions[vertebra] = np.array(ct.TransformContinuousIndexToPhysicalPoint(index))
    return positions


def _axis_of(code: str, path: Path, ct: sitk.Image) -> tuple[int, bool]:
    """The CT's axis along which a code counts, and whether it counts in the same direction."""
    own = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(ct.GetDirection())
    for axis, letter in enumerate(own):
        if code in (letter, _OPPOSITE[letter]):
            return axis, code == letter
    raise UserError(f"'{path}' has the axis code '{code}', one of L, R, P, A, S, I is expected: get the file again.")
