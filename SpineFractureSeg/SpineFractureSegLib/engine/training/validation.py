"""Whole validation volumes, with those that have no fracture: the score that chooses weights, threshold and size.

Slices with a fracture alone would lie: a network that paints every vertebra scores well on them. So every case counts,
and false alarms in cases without fracture lower the pooled Dice.

To be affordable after every epoch, a case with labelled vertebral bodies is scored around these only (slices within
12 mm, rows and columns within 32 mm), one without labels and a real one without fracture everywhere, and all on every
n-th slice of the first plane; each scored voxel then stands for n. At the end threshold and smallest lesion are chosen
on (nearly) every slice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, stats

from SpineFractureSegLib.engine.case import FRACTURED, MAP_FRACTURE, UNCERTAIN, Case, voxel_classes
from SpineFractureSegLib.engine.inference import SlicePredictor
from SpineFractureSegLib.engine.progress import ProgressCallback
from SpineFractureSegLib.engine.slices import AXIS_OF_PLANE, to_plane
from SpineFractureSegLib.engine.training.dataset import is_real_negative

THRESHOLDS = tuple(round(0.20 + 0.05 * i, 2) for i in range(13))  # 0.20 ... 0.80
MIN_VOLUMES_MM3 = (0.0, 100.0, 250.0, 500.0, 1000.0, 2000.0)
SLICE_MARGIN_MM, IN_PLANE_MARGIN_MM = 12.0, 32.0
DRAWN_SHARE = 0.10  # of a body: from here on a drawn fracture makes it a fractured one, below it has no say
MIN_BODY_MM3 = 500.0  # vertebral bodies of which less is in the image have no say in the vertebra score


@dataclass(frozen=True)
class ValidationScores:
    """Voxel scores at ``threshold``. A score that no case can give is nan."""

    dice_pooled: float  # over the voxels of all cases, those without fracture included; chooses the weights
    dice_mean: float  # mean over the cases with a fracture
    vertebra_auc: float  # mean probability over each body, fractured against intact
    false_positive_ml: float  # mean volume painted in a real CT without fracture
    threshold: float  # the one with the best pooled Dice
    min_volume_mm3: float = 0.0  # the one with the best pooled Dice at that threshold; chosen by ``choose_min_volume``


@dataclass(frozen=True)
class ScoredCase:
    """A case's scored part as a stack (S, h, w) of every n-th slice."""

    case: Case
    probability: np.ndarray  # float16
    bodies: np.ndarray  # uint8 ids
    voxel_mm3: float  # the volume that one scored voxel stands for
    fracture_map: np.ndarray | None = None  # uint8, the case's, where it has one

    @property
    def fracture(self) -> np.ndarray:
        return self._classes() == FRACTURED

    @property
    def known(self) -> np.ndarray:
        return self._classes() != UNCERTAIN

    def _classes(self) -> np.ndarray:
        return voxel_classes(self.case.class_of_body, self.bodies, self.fracture_map)


def score_cases(
    predictor: SlicePredictor,
    cases: Sequence[Case],
    slice_step: int,
    negative_slice_step: int,
    on_progress: ProgressCallback,
) -> list[ScoredCase]:
    """Runs the network over every n-th slice of each case.

    Args:
        predictor: of the network; its ``should_stop`` is asked between batches.
        slice_step: every n-th slice of a case.
        negative_slice_step: the same for real cases without fracture.

    Raises: Cancelled, between batches.
    """
    scored = []
    for number, case in enumerate(cases):
        on_progress(number, len(cases), "validation cases")
        scored.append(_score_case(predictor, case, negative_slice_step if is_real_negative(case) else slice_step))
    on_progress(len(cases), len(cases), "validation cases")
    return scored


def _score_case(predictor: SlicePredictor, case: Case, step: int) -> ScoredCase:
    plane = predictor.preprocessing.planes[0]
    region = _scored_region(case, plane)
    start, stop = region[AXIS_OF_PLANE[plane]]
    numbers = range(start + min(step, stop - start) // 2, stop, step)
    probability = predictor.predict(case.hu, plane, region, numbers, "validation", overlap=0.25)[0]
    rows, columns = (slice(*region[axis]) for axis in range(3) if axis != AXIS_OF_PLANE[plane])
    bodies, fracture_map = (
        None
        if volume is None
        else np.ascontiguousarray(to_plane(volume, plane)[numbers.start : numbers.stop : step, rows, columns])
        for volume in (case.bodies, case.fracture_map)
    )
    return ScoredCase(case, probability.astype(np.float16), bodies, case.spacing_mm**3 * step, fracture_map)


def _scored_region(case: Case, plane: str) -> list[tuple[int, int]]:
    """(start, stop) along z, y and x: around the bodies and what was drawn, or everything."""
    if is_real_negative(case) or not case.bodies.any():
        return [(0, length) for length in case.bodies.shape]
    scored = case.bodies > 0
    if case.fracture_map is not None:
        scored |= case.fracture_map == MAP_FRACTURE
    region = []
    for axis in range(3):
        margin = SLICE_MARGIN_MM if axis == AXIS_OF_PLANE[plane] else IN_PLANE_MARGIN_MM
        there = np.flatnonzero(scored.any(axis=tuple({0, 1, 2} - {axis})))
        more = round(margin / case.spacing_mm)
        region.append((max(int(there[0]) - more, 0), min(int(there[-1]) + 1 + more, case.bodies.shape[axis])))
    return region


def validation_scores(scored: Sequence[ScoredCase]) -> ValidationScores:
    """The scores at the threshold with the best pooled Dice, without dropping small lesions."""
    volumes = np.array([_volumes(item) for item in scored])  # (case, threshold, [overlap, predicted, true]) in mm3
    overlap, predicted, true = volumes.sum(0).T
    pooled = 2 * overlap / np.maximum(predicted + true, 1e-9)
    best = int(pooled.argmax())
    at_best = volumes[:, best]
    with_fracture = at_best[:, 2] > 0
    dice = 2 * at_best[:, 0] / np.maximum(at_best[:, 1] + at_best[:, 2], 1e-9)
    real = np.array([is_real_negative(item.case) for item in scored])
    return ValidationScores(
        dice_pooled=float(pooled[best]),
        dice_mean=float(dice[with_fracture].mean()) if with_fracture.any() else float("nan"),
        vertebra_auc=_vertebra_auc(scored),
        false_positive_ml=float(at_best[real, 1].mean() / 1000) if real.any() else float("nan"),
        threshold=THRESHOLDS[best],
    )


def choose_min_volume(scored: Sequence[ScoredCase], threshold: float) -> float:
    """The size in mm3 below which dropping connected components gives the best pooled Dice; the smallest such size."""
    totals = np.zeros((len(MIN_VOLUMES_MM3), 2))  # overlap, predicted
    true = 0.0
    for item in scored:
        fracture, known = item.fracture, item.known
        true += fracture.sum() * item.voxel_mm3
        labels, count = ndimage.label((item.probability >= threshold) & known, np.ones((3, 3, 3)))
        predicted = np.bincount(labels.ravel(), minlength=count + 1)[1:] * item.voxel_mm3
        overlap = np.bincount(labels[fracture], minlength=count + 1)[1:] * item.voxel_mm3
        for row, smallest in enumerate(MIN_VOLUMES_MM3):
            kept = predicted >= smallest
            totals[row] += overlap[kept].sum(), predicted[kept].sum()
    pooled = 2 * totals[:, 0] / np.maximum(totals[:, 1] + true, 1e-9)
    return MIN_VOLUMES_MM3[int(pooled.argmax())]


def _volumes(item: ScoredCase) -> np.ndarray:
    """float64 (threshold, 3): overlap, predicted and true volume in mm3, over the known voxels."""
    known = item.known
    fracture = item.fracture[known]
    # bin k holds the probabilities from threshold k on, below the next
    bins = np.digitize(item.probability[known], THRESHOLDS)
    reached = [np.bincount(of, minlength=len(THRESHOLDS) + 1)[::-1].cumsum()[::-1][1:] for of in (bins[fracture], bins)]
    return np.stack([*reached, np.full(len(THRESHOLDS), fracture.sum())], axis=1) * item.voxel_mm3


def _vertebra_auc(scored: Sequence[ScoredCase]) -> float:
    """Chance that a fractured vertebra has a higher mean probability than an intact one; ties count half."""
    fractured, intact = [], []
    for item in scored:
        counts = np.bincount(item.bodies.ravel(), minlength=256)
        sums = np.bincount(item.bodies.ravel(), item.probability.ravel().astype(np.float64), minlength=256)
        broken = np.bincount(item.bodies[item.fracture], minlength=256)
        for body in np.flatnonzero(counts * item.voxel_mm3 >= MIN_BODY_MM3):
            if body == 0 or body in item.case.uncertain or 0 < broken[body] < DRAWN_SHARE * counts[body]:
                continue
            (fractured if broken[body] else intact).append(sums[body] / counts[body])
    if not fractured or not intact:
        return float("nan")
    ranks = stats.rankdata([*fractured, *intact])[: len(fractured)]
    return float((ranks.sum() / len(fractured) - (len(fractured) + 1) / 2) / len(intact))
