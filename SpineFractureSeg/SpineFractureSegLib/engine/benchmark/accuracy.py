"""Accuracy of a model on whole volumes: simulated cases with their truth, and real CTs without known fracture.

Words: a *lesion* is the body of one fractured vertebra; it is found when at least 10 % of it is covered. A *false
positive* is a 26-connected component of the mask that touches no fractured and no uncertain body. A vertebra's score
is the mean fracture probability over its body. Slices without fracture count like all others: scores over slices with
a fracture alone would flatter.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from SpineFractureSegLib.engine.case import Case
from SpineFractureSegLib.engine.case_spacing import at_spacing, volume_at
from SpineFractureSegLib.engine.metrics import bootstrap_interval, dice_from_counts, iou_from_counts, roc_auc
from SpineFractureSegLib.engine.model_file import Model
from SpineFractureSegLib.engine.pipeline import segment_array
from SpineFractureSegLib.engine.postprocess import bounding_box, label_components, remove_small_components
from SpineFractureSegLib.engine.progress import StopQuery, never_stop

FOUND_FROM = 0.1  # share of a fractured body that must be covered
FROC_THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(1, 20))
SMALLEST_BODY_MM3 = 2000  # bodies of which less is visible are not scored


@dataclass(frozen=True)
class VertebraScore:
    """One vertebra: what is true and what the model says."""

    vertebra: int
    fractured: bool
    probability: float  # mean over the body
    covered: float  # share of the body in the mask
    kind: str  # "wedge", "biconcave", "crush", "real fracture", "intact"
    height_loss: float | None  # largest of anterior, middle and posterior loss


@dataclass(frozen=True)
class OperatingPoint:
    """Lesions found and false alarms of one case at one threshold."""

    threshold: float
    found: int
    false_positives: int


@dataclass(frozen=True)
class CaseScore:
    """One case. Voxels in uncertain bodies count nowhere."""

    name: str
    patient: str
    overlap: int  # voxels
    predicted: int
    reference: int
    found: int
    lesions: int
    false_positives: int
    false_volume_ml: float  # of the false-positive components
    vertebrae: list[VertebraScore]
    operating_points: list[OperatingPoint] = field(default_factory=list)

    @property
    def dice(self) -> float:
        """nan where there is neither reference nor prediction."""
        return dice_from_counts(self.overlap, self.predicted, self.reference)

    @property
    def iou(self) -> float:
        return iou_from_counts(self.overlap, self.predicted, self.reference)


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


def compare(case: Case, probability: np.ndarray, threshold: float, min_volume_mm3: float) -> CaseScore:
    """Scores of a probability volume (Z, Y, X) against the case's truth."""
    truth, uncertain = case.fracture_mask, case.uncertain_mask
    mask = remove_small_components(probability >= threshold, min_volume_mm3, case.spacing_mm**3)
    false_alarms, false_voxels = _false_positives(mask, truth | uncertain)
    mask &= ~uncertain
    return CaseScore(
        name=case.name,
        patient=case.patient,
        overlap=int((mask & truth).sum()),
        predicted=int(mask.sum()),
        reference=int(truth.sum()),
        found=_found(case, mask),
        lesions=len(case.fractured),
        false_positives=false_alarms,
        false_volume_ml=false_voxels * case.spacing_mm**3 / 1000,
        vertebrae=_vertebra_scores(case, probability, mask),
        operating_points=_operating_points(case, probability, min_volume_mm3),
    )


def _operating_points(case: Case, probability: np.ndarray, min_volume_mm3: float) -> list[OperatingPoint]:
    """One point per threshold; only the box in which anything is said is looked at."""
    box = bounding_box(probability >= FROC_THRESHOLDS[0])
    if box is None:
        return [OperatingPoint(level, 0, 0) for level in FROC_THRESHOLDS]
    allowed = (case.fracture_mask | case.uncertain_mask)[box]
    points = []
    for level in FROC_THRESHOLDS:
        mask = remove_small_components(probability[box] >= level, min_volume_mm3, case.spacing_mm**3)
        points.append(OperatingPoint(level, _found(case, mask, box), _false_positives(mask, allowed)[0]))
    return points


def _found(case: Case, mask: np.ndarray, box: tuple[slice, ...] = (slice(None),) * 3) -> int:
    """How many fractured bodies the mask, given inside a box of the case, covers well enough."""
    size = np.bincount(case.bodies.ravel(), minlength=256)
    covered = np.bincount(case.bodies[box][mask], minlength=256)
    return sum(bool(covered[vertebra] >= FOUND_FROM * size[vertebra] > 0) for vertebra in case.fractured)


def _false_positives(mask: np.ndarray, allowed: np.ndarray) -> tuple[int, int]:
    """Number and voxels of the components that touch nothing of ``allowed``."""
    labels, count = label_components(mask)
    false = np.setdiff1d(np.arange(1, count + 1), np.unique(labels[allowed]))
    return len(false), int(np.isin(labels, false).sum()) if len(false) else 0


def _vertebra_scores(case: Case, probability: np.ndarray, mask: np.ndarray) -> list[VertebraScore]:
    scores = []
    about = case.truth.get("vertebrae", {})
    for vertebra in np.unique(case.bodies[case.bodies > 0]).tolist():
        body = case.bodies == vertebra
        if vertebra in case.uncertain or body.sum() * case.spacing_mm**3 < SMALLEST_BODY_MM3:
            continue
        known = about.get(str(vertebra), {})
        losses = known.get("height_loss", {}).values()
        fractured = vertebra in case.fractured
        scores.append(
            VertebraScore(
                vertebra,
                fractured,
                float(probability[body].mean()),
                float(mask[body].mean()),
                known.get("type", "intact") if fractured else "intact",
                max(losses) if losses else None,
            )
        )
    return scores


def summarize(scores: Sequence[CaseScore], threshold: float, seed: int = 0) -> dict:
    """The figures to quote, each with a 95 % interval by bootstrap over cases where it is a mean over them.

    With two or three patients in the test set an interval over patients says nothing, so cases are drawn again: the
    intervals tell how stable the figures are over simulations, not over people.
    """
    counts = np.array([(s.overlap, s.predicted, s.reference) for s in scores])
    with_fracture = [s for s in scores if s.reference]
    vertebrae = [v for s in scores for v in s.vertebrae]
    truth = np.array([v.fractured for v in vertebrae], bool)
    probability = np.array([v.probability for v in vertebrae])
    called = probability >= threshold
    pairs = np.stack([probability, truth], axis=1) if vertebrae else np.zeros((0, 2))
    owners = [s.name for s in scores for _ in s.vertebrae]
    lesions = sum(s.lesions for s in scores)

    def interval(values: Sequence[float]) -> list[float]:
        return [round(float(end), 4) for end in bootstrap_interval(np.asarray(values, float), seed=seed)]

    return {
        "cases": len(scores),
        "cases_with_fracture": len(with_fracture),
        "patients": len({s.patient for s in scores}),
        "dice_pooled": dice_from_counts(*counts.sum(axis=0).tolist()),
        "iou_pooled": iou_from_counts(*counts.sum(axis=0).tolist()),
        "dice_mean_of_cases_with_fracture": _mean([s.dice for s in with_fracture]),
        "dice_mean_interval": interval([s.dice for s in with_fracture]),
        "iou_mean_of_cases_with_fracture": _mean([s.iou for s in with_fracture]),
        "vertebrae": len(vertebrae),
        "fractured_vertebrae": int(truth.sum()),
        "vertebra_auc": roc_auc(probability, truth),
        "vertebra_auc_interval": [
            round(float(end), 4)
            for end in bootstrap_interval(
                pairs, patients=owners, statistic=lambda rows: roc_auc(rows[:, 0], rows[:, 1] > 0.5), seed=seed
            )
        ],
        "vertebra_sensitivity": float(called[truth].mean()) if truth.any() else float("nan"),
        "vertebra_specificity": float((~called[~truth]).mean()) if (~truth).any() else float("nan"),
        "lesion_sensitivity": sum(s.found for s in scores) / lesions if lesions else float("nan"),
        "false_positives_per_scan": _mean([s.false_positives for s in scores]),
        "false_positives_interval": interval([s.false_positives for s in scores]),
        "lesion_sensitivity_at_1_false_positive": sensitivity_at(scores, 1.0),
        "sensitivity_by_type": _sensitivity_by(vertebrae, threshold),
    }


def sensitivity_at(scores: Sequence[CaseScore], false_positives_per_scan: float) -> float:
    """Largest lesion sensitivity over thresholds with at most so many false positives a scan; nan without lesions."""
    lesions = sum(s.lesions for s in scores)
    reached = [
        sum(s.operating_points[k].found for s in scores) / lesions
        for k in range(len(FROC_THRESHOLDS))
        if lesions and _mean([s.operating_points[k].false_positives for s in scores]) <= false_positives_per_scan
    ]
    return max(reached, default=float("nan") if not lesions else 0.0)


def _sensitivity_by(vertebrae: Sequence[VertebraScore], threshold: float) -> dict[str, dict]:
    kinds = sorted({v.kind for v in vertebrae if v.fractured})
    table = {}
    for kind in kinds:
        hits = [v.probability >= threshold for v in vertebrae if v.fractured and v.kind == kind]
        table[kind] = {"vertebrae": len(hits), "sensitivity": float(np.mean(hits))}
    return table


def _mean(values: Sequence[float]) -> float:
    return float(np.nanmean(values)) if len(values) else float("nan")


def to_json(scores: Sequence[CaseScore]) -> list[dict]:
    """One row per case, without the operating points."""
    rows = []
    for score in scores:
        row = asdict(score)
        del row["operating_points"]
        rows.append(row | {"dice": score.dice, "iou": score.iou})
    return rows
