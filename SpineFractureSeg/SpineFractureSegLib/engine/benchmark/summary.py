"""The figures to quote, from the scores of many cases, with their 95 % intervals.

Intervals are bootstrapped over patients. A test set with few patients has no spread to draw from: there cases are drawn
instead, and the intervals tell how stable the figures are over simulations, not over people.

Fractures of Genant grade 1 are reported apart: 20 to 25 % of height lost can hardly be told from natural wedging.
Wherever *clear* stands in a name they are left out.
"""

from collections.abc import Callable, Sequence
from itertools import takewhile

import numpy as np

from SpineFractureSegLib.engine.array_metrics import bootstrap_interval, dice_from_counts, iou_from_counts, roc_auc
from SpineFractureSegLib.engine.benchmark.case_score import CaseScore, LesionScore, VertebraScore
from SpineFractureSegLib.engine.benchmark.reliability import Reliability

FEWEST_PATIENTS = 8  # for a bootstrap over patients
FALSE_POSITIVES = (0.25, 1.0)  # per scan, at which the sensitivity is quoted


def summarize(scores: Sequence[CaseScore], threshold: float, seed: int = 0) -> dict:
    """All figures of a set of cases; None where a figure is not defined, ``name_interval`` beside ``name``.

    Args:
        scores: of one model.
        threshold: the model's: a vertebra is called fractured when its mean probability reaches it.
        seed: of the bootstrap.
    """
    patients = {score.patient for score in scores}
    by_patient = len(patients) >= FEWEST_PATIENTS
    figures = _Figures([score.patient if by_patient else score.name for score in scores], seed)
    with_fracture = [score if score.reference else None for score in scores]

    figures.pooled("dice_pooled", _volumes(scores), lambda rows: dice_from_counts(*rows.sum(axis=0)))
    figures.pooled("iou_pooled", _volumes(scores), lambda rows: iou_from_counts(*rows.sum(axis=0)))
    for name, value in {
        "dice_mean": lambda score: score.dice,
        "iou_mean": lambda score: score.iou,
        "iou_two_class_mean": lambda score: score.iou_two_class,
        "hd95_mm_mean": lambda score: score.hd95_mm,
        "nsd_2mm_mean": lambda score: score.nsd,
    }.items():  # over the cases with a fracture
        figures.mean(name, [value(score) if score else np.nan for score in with_fracture])
    figures.mean("false_positives_per_scan", [score.false_positives for score in scores])
    figures.mean("false_volume_ml_per_scan", [score.false_volume_ml for score in scores])

    lesions = [[lesion for lesion in score.lesions if is_clear(lesion.lesion.grade)] for score in scores]
    figures.share("lesion_sensitivity_clear", [[lesion.found for lesion in part] for part in lesions])
    figures.share("lesion_sensitivity_clear_any_overlap", [[lesion.covered > 0 for lesion in part] for part in lesions])
    mild = [[lesion.found for lesion in score.lesions if not is_clear(lesion.lesion.grade)] for score in scores]
    figures.share("lesion_sensitivity_grade_1", mild)
    for allowed in FALSE_POSITIVES:
        figures.only(f"lesion_sensitivity_clear_at_{allowed:g}_false_positives", sensitivity_at(scores, allowed))

    vertebrae = [[v for v in score.vertebrae if not v.fractured or is_clear(v.grade)] for score in scores]
    figures.auc("vertebra_auc_clear", vertebrae)
    figures.auc("vertebra_auc", [score.vertebrae for score in scores])
    called = [[(v.probability >= threshold, v.fractured) for v in part] for part in vertebrae]
    figures.share("vertebra_sensitivity_clear", [[c for c, fractured in part if fractured] for part in called])
    figures.share("vertebra_specificity", [[not c for c, fractured in part if not fractured] for part in called])
    figures.only("voxel_calibration_error", voxel_reliability(scores).error)
    figures.only("vertebra_calibration_error", vertebra_reliability(scores).error)
    return {
        "cases": len(scores),
        "cases_with_fracture": sum(bool(score.reference) for score in scores),
        "cases_both_empty": sum(not score.reference and not score.predicted for score in scores),
        "patients": len(patients),
        "intervals_over": "patients" if by_patient else "cases",
        "lesions": sum(len(score.lesions) for score in scores),
        "lesions_grade_1": sum(map(len, mild)),
        "vertebrae": sum(len(score.vertebrae) for score in scores),
        "vertebrae_fractured": sum(v.fractured for score in scores for v in score.vertebrae),
        **figures.values,
    }


def is_clear(grade: int | None) -> bool:
    """Whether a fracture of this grade is one that must be found: ungraded ones of arch and processes are."""
    return grade != 1


def froc(scores: Sequence[CaseScore]) -> list[dict]:
    """One point per threshold: false positives per scan, share of the clear lesions and of those of grade 1 found."""
    if not scores:
        return []
    points = []
    for k, first in enumerate(scores[0].operating_points):
        found = {True: [], False: []}
        for score in scores:
            for lesion, hit in zip(score.lesions, score.operating_points[k].found, strict=True):
                found[is_clear(lesion.lesion.grade)].append(hit)
        points.append(
            {
                "threshold": first.threshold,
                "false_positives_per_scan": mean([score.operating_points[k].false_positives for score in scores]),
                "sensitivity": defined(mean(found[True])),
                "sensitivity_grade_1": defined(mean(found[False])),
            }
        )
    return points


def sensitivity_at(scores: Sequence[CaseScore], false_positives_per_scan: float) -> float:
    """Largest share of clear lesions found with at most so many false positives a scan; nan without lesions.

    From the highest threshold down to the first with more false positives: far below it everything runs together with
    the fractures into one part, which is then no false positive and finds them all.
    """
    points = [point for point in froc(scores) if point["sensitivity"] is not None]
    reached = takewhile(lambda point: point["false_positives_per_scan"] <= false_positives_per_scan, reversed(points))
    return max((point["sensitivity"] for point in reached), default=0.0 if points else float("nan"))


def voxel_reliability(scores: Sequence[CaseScore]) -> Reliability:
    """Of the voxels within bodies."""
    every = Reliability()
    for score in scores:
        every.merge(score.reliability)
    return every


def vertebra_reliability(scores: Sequence[CaseScore]) -> Reliability:
    """Of the mean probabilities of bodies."""
    vertebrae = [v for score in scores for v in score.vertebrae]
    every = Reliability()
    every.add(np.clip([v.probability for v in vertebrae], 0, 1), np.array([v.fractured for v in vertebrae], bool))
    return every


def vertebra_auc(vertebrae: Sequence[VertebraScore]) -> float:
    """Chance that a fractured vertebra has a higher score than an intact one; nan without either."""
    return roc_auc([v.probability for v in vertebrae], [v.fractured for v in vertebrae])


def pooled_dice(scores: Sequence[CaseScore]) -> float:
    return dice_from_counts(*_volumes(scores).sum(axis=0)) if scores else float("nan")


def lesions_of_all(scores: Sequence[CaseScore]) -> list[LesionScore]:
    return [lesion for score in scores for lesion in score.lesions]


def mean(values: Sequence[float]) -> float:
    """nan without a value; nan among the values is left out."""
    values = [value for value in values if not np.isnan(value)]
    return float(np.mean(values)) if values else float("nan")


def defined(value: float) -> float | None:
    """Rounded to four digits, None instead of nan: JSON has none."""
    return None if np.isnan(value) else round(float(value), 4)


def _volumes(scores: Sequence[CaseScore]) -> np.ndarray:
    """(N, 3): overlap, prediction and reference in mm3."""
    counts = [(score.overlap, score.predicted, score.reference) for score in scores]
    return np.array(counts, float).reshape(-1, 3) * np.array([[score.voxel_mm3] for score in scores]).reshape(-1, 1)


class _Figures:
    """Gathers figures with their intervals. ``owners``: per case, what the bootstrap draws together."""

    def __init__(self, owners: Sequence[str], seed: int) -> None:
        self.values: dict[str, float | list | None] = {}
        self._owners, self._seed = list(owners), seed

    def only(self, name: str, value: float) -> None:
        self.values[name] = defined(value)

    def mean(self, name: str, per_case: Sequence[float]) -> None:
        self._add(name, np.array(per_case, float), self._owners, mean)

    def share(self, name: str, per_case: Sequence[Sequence[bool]]) -> None:
        """Of all entries of all cases."""
        owners = [owner for owner, part in zip(self._owners, per_case, strict=True) for _ in part]
        self._add(name, np.array([float(value) for part in per_case for value in part]), owners, mean)

    def auc(self, name: str, per_case: Sequence[Sequence[VertebraScore]]) -> None:
        owners = [owner for owner, part in zip(self._owners, per_case, strict=True) for _ in part]
        rows = np.array([(v.probability, v.fractured) for part in per_case for v in part], float).reshape(-1, 2)
        self._add(name, rows, owners, lambda drawn: roc_auc(drawn[:, 0], drawn[:, 1] > 0.5))

    def pooled(self, name: str, rows: np.ndarray, statistic: Callable[[np.ndarray], float]) -> None:
        self._add(name, rows, self._owners, statistic)

    def _add(
        self, name: str, rows: np.ndarray, owners: Sequence[str], statistic: Callable[[np.ndarray], float]
    ) -> None:
        if not len(rows):
            self.values |= {name: None, f"{name}_interval": [None, None]}
            return
        self.values[name] = defined(statistic(rows))
        ends = bootstrap_interval(rows, patients=owners, statistic=statistic, seed=self._seed)
        self.values[f"{name}_interval"] = [defined(end) for end in ends]
