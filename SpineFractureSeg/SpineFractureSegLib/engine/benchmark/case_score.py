"""The scores of one case: whole volumes, intact vertebrae and cases without fracture included.

A *vertebra's score* is the mean fracture probability over its body. Components, false positives and lesions are
defined in ``components.py`` and ``lesions.py``, the voxel and border scores in ``metrics.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from SpineFractureSegLib.engine.array_metrics import (
    border_distances_mm,
    dice_from_counts,
    iou_from_counts,
    iou_two_class_from_counts,
)
from SpineFractureSegLib.engine.benchmark.components import describe_components
from SpineFractureSegLib.engine.benchmark.lesions import FOUND_FROM, Lesion, lesions_of, region_of
from SpineFractureSegLib.engine.benchmark.reliability import Reliability
from SpineFractureSegLib.engine.case import Case
from SpineFractureSegLib.engine.case_spacing import at_spacing, volume_at
from SpineFractureSegLib.engine.model_file import Model
from SpineFractureSegLib.engine.pipeline import segment_array
from SpineFractureSegLib.engine.postprocess import bounding_box, remove_small_components, threshold_mask
from SpineFractureSegLib.engine.progress import StopQuery, never_stop

FROC_THRESHOLDS = (0.02, *(round(0.05 * k, 2) for k in range(1, 20)), 0.97, 0.98, 0.99)
SMALLEST_BODY_MM3 = 2000.0  # bodies of which less is visible are not scored
FRACTURED_FROM = 0.1  # share of a body that must be drawn as fracture to make it a fractured one; less: not scored
NSD_TOLERANCE_MM = 2.0


@dataclass(frozen=True)
class VertebraScore:
    """One vertebra: what is true and what the model says."""

    vertebra: int
    fractured: bool
    probability: float  # mean over the body
    kind: str  # "wedge", ..., "real fracture", "drawn", "intact"
    grade: int | None  # Genant's; None where it is not known
    height_loss: float | None  # largest of anterior, middle and posterior loss

    @property
    def region(self) -> str:
        return region_of(self.vertebra)


@dataclass(frozen=True)
class LesionScore:
    """One lesion, and how much of it the mask covers at the model's own threshold."""

    lesion: Lesion
    covered: float  # share

    @property
    def found(self) -> bool:
        return self.covered >= FOUND_FROM


@dataclass(frozen=True)
class OperatingPoint:
    """Lesions found and false alarms of one case at one threshold."""

    threshold: float
    found: tuple[bool, ...]  # per lesion
    false_positives: int


@dataclass(frozen=True)
class CaseScore:
    """One case. Voxels of unknown state count nowhere. A score that is not defined is nan."""

    name: str
    patient: str
    slice_mm: float | None  # thickness of the slices it was made from; None where it is not known
    voxel_mm3: float
    voxels: int  # of the volume
    overlap: int  # voxels
    predicted: int
    reference: int
    hd95_mm: float  # nan unless both masks have voxels
    nsd: float  # at 2 mm
    false_positives: int
    false_volume_ml: float  # of the false-positive components
    lesions: tuple[LesionScore, ...]
    vertebrae: tuple[VertebraScore, ...]
    reliability: Reliability = field(repr=False)  # of the voxels within bodies
    operating_points: tuple[OperatingPoint, ...] = field(default=(), repr=False)

    @property
    def dice(self) -> float:
        """nan where there is neither reference nor prediction."""
        return dice_from_counts(self.overlap, self.predicted, self.reference)

    @property
    def iou(self) -> float:
        return iou_from_counts(self.overlap, self.predicted, self.reference)

    @property
    def iou_two_class(self) -> float:
        return iou_two_class_from_counts(self.overlap, self.predicted, self.reference, self.voxels)

    @property
    def found(self) -> int:
        return sum(lesion.found for lesion in self.lesions)


def score_case(
    case: Case, model: Model, device: str = "auto", should_stop: StopQuery = never_stop
) -> tuple[CaseScore, np.ndarray]:
    """Segments one case at the model's spacing and compares at the case's own.

    Returns: the scores and the probability of fracture (Z, Y, X) on the case's grid.
    """
    spacing = model.preprocessing.spacing_mm
    volumes, _ = segment_array(at_spacing(case, spacing).hu, model, device=device, should_stop=should_stop)
    probability = volume_at(volumes["fracture"], spacing, case.spacing_mm, case.hu.shape)
    return compare(case, probability, model.card.threshold, model.card.min_volume_mm3), probability


def compare(
    case: Case,
    probability: np.ndarray,
    threshold: float,
    min_volume_mm3: float,
    froc_thresholds: Sequence[float] = FROC_THRESHOLDS,
) -> CaseScore:
    """Scores of a probability volume (Z, Y, X) against the case's truth.

    Args:
        threshold, min_volume_mm3: from mask to lesions, as in the pipeline.
        froc_thresholds: where lesions found and false positives are counted as well.
    """
    truth, uncertain = case.fracture_mask, case.uncertain_mask
    numbers, lesions = lesions_of(case)
    voxel_mm3 = case.spacing_mm**3
    mask = threshold_mask(probability, threshold)
    components = describe_components(mask, truth, uncertain).of_size(min_volume_mm3 / voxel_mm3)
    mask = remove_small_components(mask, min_volume_mm3, voxel_mm3)
    hd95, nsd = _border_scores(mask & ~uncertain, truth, case.spacing_mm)
    within = (case.bodies > 0) & ~uncertain
    reliability = Reliability()
    reliability.add(probability[within], truth[within])
    slice_mm = case.truth.get("scan", {}).get("slice_mm")
    return CaseScore(
        name=case.name,
        patient=case.patient,
        slice_mm=None if slice_mm is None else float(slice_mm),
        voxel_mm3=voxel_mm3,
        voxels=case.hu.size,
        overlap=int(components.overlap.sum()),
        predicted=int(components.known.sum()),
        reference=int(truth.sum()),
        hd95_mm=hd95,
        nsd=nsd,
        false_positives=int(components.false.sum()),
        false_volume_ml=float(components.voxels[components.false].sum() * voxel_mm3 / 1000),
        lesions=tuple(map(LesionScore, lesions, _covered(numbers, len(lesions), mask))),
        vertebrae=_vertebra_scores(case, probability, truth, uncertain),
        reliability=reliability,
        operating_points=_operating_points(
            probability, truth, uncertain, numbers, len(lesions), min_volume_mm3 / voxel_mm3, froc_thresholds
        ),
    )


def _operating_points(
    probability: np.ndarray,
    truth: np.ndarray,
    uncertain: np.ndarray,
    numbers: np.ndarray,
    lesion_count: int,
    min_voxels: float,
    thresholds: Sequence[float],
) -> tuple[OperatingPoint, ...]:
    """One point per threshold; only the box in which anything is said is looked at."""
    box = bounding_box(threshold_mask(probability, min(thresholds))) if thresholds else None
    if box is None:
        return tuple(OperatingPoint(level, (False,) * lesion_count, 0) for level in thresholds)
    sizes = np.bincount(numbers.ravel(), minlength=lesion_count + 1)[1:]
    probability, truth, uncertain, numbers = (array[box] for array in (probability, truth, uncertain, numbers))
    points = []
    for level in thresholds:
        mask = threshold_mask(probability, level)
        components = describe_components(mask, truth, uncertain).of_size(min_voxels)
        kept = remove_small_components(mask, min_voxels, 1.0)
        covered = np.bincount(numbers[kept], minlength=lesion_count + 1)[1:] / sizes
        points.append(OperatingPoint(level, tuple((covered >= FOUND_FROM).tolist()), int(components.false.sum())))
    return tuple(points)


def _covered(numbers: np.ndarray, lesion_count: int, mask: np.ndarray) -> list[float]:
    """Share of each lesion inside the mask."""
    sizes = np.bincount(numbers.ravel(), minlength=lesion_count + 1)[1:]
    return (np.bincount(numbers[mask], minlength=lesion_count + 1)[1:] / np.maximum(sizes, 1)).tolist()


def _border_scores(mask: np.ndarray, truth: np.ndarray, spacing_mm: float) -> tuple[float, float]:
    """HD95 in mm and NSD, by the rule for empty masks in ``metrics.py``."""
    if not mask.any() or not truth.any():
        return float("nan"), 0.0 if mask.any() or truth.any() else float("nan")
    distances = border_distances_mm(mask, truth, np.eye(3) * spacing_mm)
    within = np.concatenate(distances) <= NSD_TOLERANCE_MM
    return max(float(np.percentile(d, 95)) for d in distances), float(within.mean())


def _vertebra_scores(
    case: Case, probability: np.ndarray, truth: np.ndarray, uncertain: np.ndarray
) -> tuple[VertebraScore, ...]:
    scores = []
    about = case.truth.get("vertebrae", {})
    for vertebra in np.unique(case.bodies[case.bodies > 0]).tolist():
        body = (case.bodies == vertebra) & ~uncertain
        broken = float(truth[body].mean()) if body.any() else 0.0
        if body.sum() * case.spacing_mm**3 < SMALLEST_BODY_MM3 or 0 < broken < FRACTURED_FROM:
            continue
        known = about.get(str(vertebra), {})
        losses = known.get("height_loss", {}).values()
        scores.append(
            VertebraScore(
                vertebra=vertebra,
                fractured=broken > 0,
                probability=float(probability[body].mean()),
                kind=known.get("type", "drawn") if broken else "intact",
                grade=known.get("genant") or None,
                height_loss=max(losses) if losses else None,
            )
        )
    return tuple(scores)
