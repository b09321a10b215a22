"""How well a mask agrees with a reference. Definitions, because libraries disagree:

- *Dice* 2 TP / (2 TP + FP + FN) and *IoU* TP / (TP + FP + FN) are those of the foreground; *two-class IoU* is the mean
  of foreground's and background's.
- *Border*: the voxels of a mask with a face neighbor outside it (beyond the image is outside). Distances are between
  voxel centers, in mm. *HD95* is the larger of the two 95th percentiles (linear interpolation) of the distances from
  one border to the other. *NSD* is the share of the voxels of both borders that lie within the tolerance of the other
  border. Both are MONAI's definitions; DeepMind's surface-distance weighs pieces of a surface between the voxels by
  their area and differs by fractions of a voxel.
- *Lesions* are 26-connected components. A reference lesion is found when at least 10 % of its voxels are covered (by
  "any overlap": one voxel); a predicted one is a false positive when less than 10 % of it lies on the reference.
- *Empty masks*: both empty, the scores are not a number and the case leaves means but is counted (``both_empty``); one
  empty, overlap and NSD are 0 and HD95 is not a number.
- *Different grids*: the prediction is brought onto the reference's lattice (nearest neighbor), which is extended to
  hold all of the prediction; a reference cropped to its own extent does not hide false positives.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from SpineFractureSegLib.engine.array_metrics import (
    bootstrap_interval,
    border_distances_mm,
    dice,
    dice_from_counts,
    iou,
    iou_from_counts,
    iou_two_class,
    iou_two_class_from_counts,
    ratio,
    roc_auc,
    voxel_counts,
)
from SpineFractureSegLib.engine.common_lattice import fields_touch, on_one_lattice, same_grid
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.postprocess import label_components

__all__ = [
    "Scores",
    "bootstrap_interval",
    "dice",
    "dice_from_counts",
    "evaluate",
    "iou",
    "iou_from_counts",
    "iou_two_class",
    "roc_auc",
]

FOUND_SHARE = 0.1  # of a lesion that must be covered
NSD_TOLERANCES_MM = (2.0,)


@dataclass(frozen=True)
class Scores:
    """One case. nan where a score is not defined; see the module for the definitions."""

    dice: float
    iou: float
    iou_two_class: float
    hd95_mm: float
    nsd_at_mm: dict[float, float]  # by tolerance in mm
    sensitivity: float  # share of the reference's lesions that are found
    sensitivity_any_overlap: float
    false_positives: int  # predicted lesions beside the reference's
    reference_lesions: int
    predicted_lesions: int
    prediction_voxels: int  # voxels of the reference's lattice
    reference_voxels: int
    overlap_voxels: int
    total_voxels: int
    voxel_volume_mm3: float
    both_empty: bool
    resampled: bool  # the prediction lay on another grid

    def to_json(self) -> dict:
        """The fields under their own names, nan as None."""
        fields = {name: _json(value) for name, value in vars(self).items()}
        fields["nsd_at_mm"] = {f"{tolerance:g}": _json(value) for tolerance, value in self.nsd_at_mm.items()}
        return fields


def evaluate(prediction: sitk.Image, reference: sitk.Image) -> Scores:
    """Compares two masks.

    Args:
        prediction: fracture where above 0.5; any grid.
        reference: fracture where above 0.5.

    Raises: UserError, when one is no scalar 3D image or the two lie in different places.
    """
    for name, image in (("prediction", prediction), ("reference", reference)):
        if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() > 1:
            raise UserError(
                f"The {name} has {image.GetDimension()} dimensions and {image.GetNumberOfComponentsPerPixel()} values "
                "per voxel, a 3D mask with one is needed: export the fracture segment alone."
            )
    resampled = not same_grid(prediction, reference)
    if resampled and not fields_touch(prediction, reference):
        raise UserError(
            "Prediction and reference lie in different places and cannot be compared: choose masks of the same CT."
        )
    predicted, truth, total = on_one_lattice(prediction, reference)
    voxel_axes = np.reshape(reference.GetDirection(), (3, 3)) * reference.GetSpacing()
    return _score(predicted, truth, total, voxel_axes, resampled)


def _score(predicted: np.ndarray, truth: np.ndarray, total: int, voxel_axes: np.ndarray, resampled: bool) -> Scores:
    overlap, prediction_voxels, reference_voxels = voxel_counts(predicted, truth)
    nothing = float("nan") if not prediction_voxels and not reference_voxels else 0.0
    hd95, nsd = float("nan"), dict.fromkeys(NSD_TOLERANCES_MM, nothing)
    if prediction_voxels and reference_voxels:
        distances = border_distances_mm(predicted, truth, voxel_axes)
        hd95 = max(float(np.percentile(d, 95)) for d in distances)
        nsd = {t: float(np.mean(np.concatenate(distances) <= t)) for t in NSD_TOLERANCES_MM}
    covered = _covered_shares(truth, predicted)
    on_reference = _covered_shares(predicted, truth)
    return Scores(
        dice=dice_from_counts(overlap, prediction_voxels, reference_voxels),
        iou=iou_from_counts(overlap, prediction_voxels, reference_voxels),
        iou_two_class=iou_two_class_from_counts(overlap, prediction_voxels, reference_voxels, total),
        hd95_mm=hd95,
        nsd_at_mm=nsd,
        sensitivity=ratio(int((covered >= FOUND_SHARE).sum()), len(covered)),
        sensitivity_any_overlap=ratio(int((covered > 0).sum()), len(covered)),
        false_positives=int((on_reference < FOUND_SHARE).sum()),
        reference_lesions=len(covered),
        predicted_lesions=len(on_reference),
        prediction_voxels=prediction_voxels,
        reference_voxels=reference_voxels,
        overlap_voxels=overlap,
        total_voxels=total,
        voxel_volume_mm3=float(abs(np.linalg.det(voxel_axes))),
        both_empty=not prediction_voxels and not reference_voxels,
        resampled=resampled,
    )


def _covered_shares(lesions: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """For each component of ``lesions`` the share of its voxels that lies in ``cover``."""
    labels, count = label_components(lesions)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return np.bincount(labels[cover], minlength=count + 1)[1:] / np.maximum(sizes, 1)


def _json(value: object) -> object:
    return None if isinstance(value, float) and np.isnan(value) else value
