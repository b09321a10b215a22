"""How the answers become lesions: plane weights, average over bodies, threshold, smallest lesion, chosen together.

Among the ways to read the answers that raise no more false positives a scan than allowed, the best pooled Dice decides
how they are fused, and nearly the best suffices for a lower threshold.
Dice is pooled over the voxels of all cases, those without fracture included, so false alarms cost there, too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from SpineFractureSegLib.engine.array_metrics import dice_from_counts
from SpineFractureSegLib.engine.benchmark.components import describe_components
from SpineFractureSegLib.engine.calibration.answers import Answer, Fusion
from SpineFractureSegLib.engine.case import Case
from SpineFractureSegLib.engine.postprocess import threshold_mask

THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(1, 20))
MIN_VOLUMES_MM3 = (0.0, 100.0, 250.0, 500.0, 1000.0)  # a crushed cervical body has some 2000 mm3
SHARE_STEPS = 4  # a plane's weight is a multiple of a quarter
LEAST_GAIN = 0.01  # of pooled Dice: for less the usual fusion is not left
TOLERANCE = 0.025  # of pooled Dice, about what it varies by with other simulated cases of the same patients


@dataclass(frozen=True)
class Reading:
    """One way to read the network's answers."""

    fusion: Fusion
    threshold: float
    min_volume_mm3: float


@dataclass(frozen=True)
class OperatingPoint:
    """A reading and what it gives on the cases it was tried on."""

    reading: Reading
    dice_pooled: float  # nan without any fracture
    false_positives: float  # mean per scan
    false_in_real: int = 0  # in all real CTs without fracture together


@dataclass
class _Totals:
    """Sums over cases, per threshold and smallest lesion; volumes in mm3, as cases may differ in spacing."""

    overlap: np.ndarray = field(default_factory=lambda: _zeros())
    predicted: np.ndarray = field(default_factory=lambda: _zeros())
    false: np.ndarray = field(default_factory=lambda: _zeros())
    false_in_real: np.ndarray = field(default_factory=lambda: _zeros())
    reference: float = 0.0


def choose_operating_point(
    answers: Sequence[Answer], fusions: Sequence[Fusion], allowed_false_positives: float
) -> OperatingPoint:
    """A threshold and a smallest lesion that find as much as the allowed false positives and the outline permit.

    First the fusion with the best pooled Dice; another than the usual one must be better by ``LEAST_GAIN``. Then, of
    its points whose Dice is at most ``TOLERANCE`` below the best, the one with the lowest threshold, and of these the
    one with the fewest false positives: a fracture that is missed costs more than a little of the outline. It is not
    lowered so far that there are more false findings in the real CTs than with the best Dice. Where no point keeps to
    the allowed number of false positives, those with the fewest count.

    Args:
        answers: of the model, at least one.
        fusions: to try, the usual one first.
        allowed_false_positives: per scan.
    """
    points = [point for fusion in fusions for point in operating_points(answers, fusion)]
    limit = max(allowed_false_positives, min(point.false_positives for point in points))
    points = [point for point in points if point.false_positives <= limit]

    def merit(point: OperatingPoint) -> tuple[float, int]:
        fusion = point.reading.fusion
        return _dice(point) + (LEAST_GAIN if fusion == fusions[0] else 0.0), -fusions.index(fusion)

    best = max(points, key=merit)
    alike = [
        point
        for point in points
        if point.reading.fusion == best.reading.fusion
        and _dice(point) >= _dice(best) - TOLERANCE
        and point.false_in_real <= best.false_in_real
    ]
    return min(alike, key=lambda p: (p.reading.threshold, p.false_positives, p.reading.min_volume_mm3))


def _dice(point: OperatingPoint) -> float:
    return -1.0 if np.isnan(point.dice_pooled) else round(point.dice_pooled, 9)


def operating_points(answers: Sequence[Answer], fusion: Fusion) -> Iterator[OperatingPoint]:
    """Every threshold that is not below the body gate, with every smallest lesion."""
    totals = _Totals()
    for answer in answers:
        _add(totals, answer, fusion)
    for (row, threshold), (column, smallest) in product(enumerate(THRESHOLDS), enumerate(MIN_VOLUMES_MM3)):
        if threshold < fusion.body_gate:
            continue
        yield OperatingPoint(
            Reading(fusion, threshold, smallest),
            float(dice_from_counts(totals.overlap[row, column], totals.predicted[row, column], totals.reference)),
            float(totals.false[row, column] / len(answers)),
            int(totals.false_in_real[row, column]),
        )


def is_real_negative(case: Case) -> bool:
    """Whether the case is a real CT as it was scanned, without a fracture."""
    return bool(case.truth.get("as_scanned")) and not case.has_fracture


def plane_shares(planes: Sequence[str]) -> list[dict[str, float]]:
    """All weights in quarters that sum to 1.

    >>> plane_shares(["sagittal"])
    [{'sagittal': 1.0}]
    >>> len(plane_shares(["sagittal", "axial"])), len(plane_shares(["sagittal", "axial", "coronal"]))
    (5, 15)
    """
    return [
        {plane: part / SHARE_STEPS for plane, part in zip(planes, parts, strict=True)}
        for parts in product(range(SHARE_STEPS + 1), repeat=len(planes))
        if sum(parts) == SHARE_STEPS
    ]


def _add(totals: _Totals, answer: Answer, fusion: Fusion) -> None:
    case = answer.case
    truth, uncertain = case.fracture_mask, case.uncertain_mask
    probability = answer.probability(fusion)
    voxel_mm3 = case.spacing_mm**3
    totals.reference += truth.sum() * voxel_mm3
    for row, threshold in enumerate(THRESHOLDS):
        every = describe_components(threshold_mask(probability, threshold), truth, uncertain)
        for column, smallest in enumerate(MIN_VOLUMES_MM3):
            kept = every.of_size(smallest / voxel_mm3)
            totals.overlap[row, column] += kept.overlap.sum() * voxel_mm3
            totals.predicted[row, column] += kept.known.sum() * voxel_mm3
            totals.false[row, column] += kept.false.sum()
            totals.false_in_real[row, column] += kept.false.sum() if is_real_negative(case) else 0


def _zeros() -> np.ndarray:
    return np.zeros((len(THRESHOLDS), len(MIN_VOLUMES_MM3)))
