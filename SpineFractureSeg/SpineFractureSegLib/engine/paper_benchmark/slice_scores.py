"""What a network draws on the slices of test cases, counted, and the scores of the counts.

A case's pixels are those of its scored slices in all planes, axial and sagittal ones together unless one plane is asked
for. Pixels of which nothing is known are left out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from SpineFractureSegLib.engine.array_metrics import (
    bootstrap_interval,
    dice_from_counts,
    iou_from_counts,
    iou_two_class_from_counts,
    voxel_counts,
)
from SpineFractureSegLib.engine.case import FRACTURED, UNCERTAIN, Case
from SpineFractureSegLib.engine.inference import SlicePredictor
from SpineFractureSegLib.engine.paper_benchmark.cases import slices_with_fracture
from SpineFractureSegLib.engine.slices import to_plane


@dataclass(frozen=True)
class SliceCounts:
    """Known pixels of a case's scored slices in one plane, of those with a fracture or of the others."""

    case: str
    plane: str
    fractured: bool  # whether of the slices with a fracture
    overlap: int
    predicted: int
    reference: int
    total: int


@dataclass(frozen=True)
class Example:
    """The scored slice with the most fracture, for the figures; images (H, W)."""

    plane: str
    hu: np.ndarray  # int16
    truth: np.ndarray  # bool
    answer: np.ndarray  # bool


def score_slices(
    predictor: SlicePredictor, case: Case, plane: str, threshold: float, step: int
) -> tuple[list[SliceCounts], Example]:
    """Runs every n-th slice of one plane, whole slices.

    Args:
        predictor: of the network.
        case: on the predictor's working grid.
        plane: "axial", "sagittal" or "coronal".
        threshold: probability from which a pixel is fracture.
        step: n.

    Raises: as ``SlicePredictor.predict``.
    """
    region = [(0, length) for length in case.hu.shape]
    stack = to_plane(case.hu, plane)
    numbers = range(min(step, len(stack)) // 2, len(stack), step)
    answer = predictor.predict(case.hu, plane, region, numbers, "test slices", overlap=0.25)[0] >= threshold
    scored = slice(numbers.start, numbers.stop, numbers.step)
    classes = to_plane(case.classes, plane)[scored]
    truth, known = classes == FRACTURED, classes != UNCERTAIN
    with_fracture = slices_with_fracture(case, plane)[scored]
    counts = [
        SliceCounts(case.name, plane, fractured, *voxel_counts((answer & known)[of], truth[of]), int(known[of].sum()))
        for fractured, of in ((True, with_fracture), (False, ~with_fracture))
    ]
    widest = int(truth.sum((1, 2)).argmax())
    return counts, Example(plane, stack[scored][widest], truth[widest], answer[widest])


def summarize(
    runs: Sequence[Sequence[SliceCounts]], plane: str | None = None, *, all_slices: bool = False
) -> dict[str, float | int | list[float]]:
    """Scores of one network, trained with several seeds on the same cases.

    Args:
        runs: by seed, the counts of all cases.
        plane: one plane; None: all.
        all_slices: also those without fracture.

    Returns:
        dice, iou: mean over the cases with a fracture (mean over the seeds first).
        dice_interval: 95 %, cases drawn again with replacement; there are too few test patients to draw these.
        dice_of_seeds: lowest and highest dice of a seed.
        dice_pooled, iou_pooled, iou_two_class: over the pixels of all cases, those without fracture included, mean over
            the seeds; two-class is the mean of the foreground's and the background's.
        cases, cases_with_fracture, seeds: numbers.
    """
    by_case = [_by_case((one for one in run if one.fractured or all_slices), plane) for run in runs]
    fractured = [name for name, (_, _, reference, _) in by_case[0].items() if reference]
    dice = np.array([[dice_from_counts(*case[name][:3]) for name in fractured] for case in by_case])
    iou = np.array([[iou_from_counts(*case[name][:3]) for name in fractured] for case in by_case])
    pooled = [tuple(np.sum(list(case.values()), axis=0).tolist()) for case in by_case]
    return {
        "dice": _mean(dice),
        "iou": _mean(iou),
        "dice_interval": list(bootstrap_interval(dice.mean(0))),
        "dice_of_seeds": [float(dice.mean(1).min()), float(dice.mean(1).max())] if fractured else [],
        "dice_pooled": _mean([dice_from_counts(*counts[:3]) for counts in pooled]),
        "iou_pooled": _mean([iou_from_counts(*counts[:3]) for counts in pooled]),
        "iou_two_class": _mean([iou_two_class_from_counts(*counts) for counts in pooled]),
        "cases": len(by_case[0]),
        "cases_with_fracture": len(fractured),
        "seeds": len(runs),
    }


def _by_case(counts: Iterable[SliceCounts], plane: str | None) -> dict[str, tuple[int, int, int, int]]:
    """Case -> overlap, predicted, reference and all pixels."""
    sums: dict[str, tuple[int, int, int, int]] = {}
    for one in counts:
        if plane in (None, one.plane):
            before = sums.get(one.case, (0, 0, 0, 0))
            here = (one.overlap, one.predicted, one.reference, one.total)
            sums[one.case] = tuple(a + b for a, b in zip(before, here, strict=True))
    return sums


def _mean(values: Sequence[float] | np.ndarray) -> float:
    return float(np.mean(values)) if np.size(values) else float("nan")
