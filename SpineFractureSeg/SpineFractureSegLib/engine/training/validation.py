"""Whole validation volumes, with those that have no fracture: the score that chooses weights, threshold and size.

Slices with a fracture alone would lie: a network that paints every vertebra scores well on them. So every case counts,
and false alarms in cases without fracture lower the pooled Dice.

To be affordable after every epoch, a case with labelled vertebral bodies is scored around these only (slices within
12 mm, rows and columns within 32 mm), one without labels and a real one without fracture everywhere, and all on every
n-th slice of the first plane; each scored voxel then stands for n. At the end threshold and smallest lesion are chosen
on (nearly) every slice.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, stats

from SpineFractureSegLib.engine.case import FRACTURED, MAP_FRACTURE, UNCERTAIN, Case, voxel_classes
from SpineFractureSegLib.engine.errors import Cancelled
from SpineFractureSegLib.engine.inference import SlicePredictor
from SpineFractureSegLib.engine.progress import ProgressCallback
from SpineFractureSegLib.engine.slices import AXIS_OF_PLANE, to_plane
from SpineFractureSegLib.engine.training.dataset import is_real_negative
from SpineFractureSegLib.engine.training.team import Team

THRESHOLDS = tuple(round(0.20 + 0.05 * i, 2) for i in range(13))  # 0.20 ... 0.80
MIN_VOLUMES_MM3 = (0.0, 100.0, 250.0, 500.0, 1000.0, 2000.0)
SLICE_MARGIN_MM, IN_PLANE_MARGIN_MM = 12.0, 32.0
DRAWN_SHARE = 0.10  # of a body: from here on a drawn fracture makes it a fractured one, below it has no say
MIN_BODY_MM3 = 500.0  # vertebral bodies of which less is in the image have no say in the vertebra score


@dataclass(frozen=True)
class ValidationScores:
    """Voxel scores at ``threshold``. A score that no case can give is nan."""

    dice_pooled: float  # over the voxels of all cases, those without fracture included
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
    hu: np.ndarray | None = None  # int16, for pictures

    @property
    def fracture(self) -> np.ndarray:
        return self._classes() == FRACTURED

    @property
    def known(self) -> np.ndarray:
        return self._classes() != UNCERTAIN

    def dice(self, threshold: float) -> float:
        """Of the known voxels; nan where there is no fracture, however much is painted."""
        fracture, painted = self.fracture, self.painted(threshold)
        return float(2 * (fracture & painted).sum() / (fracture.sum() + painted.sum())) if fracture.any() else math.nan

    def painted(self, threshold: float) -> np.ndarray:
        """bool (S, h, w): where the answer is fracture, of the known voxels."""
        return (self.probability >= threshold) & self.known

    def _classes(self) -> np.ndarray:
        return voxel_classes(self.case.class_of_body, self.bodies, self.fracture_map)


def score_cases(
    predictor: SlicePredictor,
    cases: Sequence[Case],
    slice_step: int,
    negative_slice_step: int,
    team: Team,
    on_progress: ProgressCallback,
) -> list[ScoredCase]:
    """Runs the network over every n-th slice of each case; the processes of a team share the cases.

    Args:
        predictor: of the network; its ``should_stop`` is asked between batches.
        cases: the same in every process.
        slice_step: every n-th slice of a case.
        negative_slice_step: the same for real cases without fracture.
        team: whose lead gets the scored cases; the others get none.
        on_progress: called before every case of this process.

    Raises: Cancelled, in every process, when one was stopped.
    """
    own, answers, request = range(team.rank, len(cases), team.size), [], None
    try:
        for number in own:
            on_progress(len(answers), len(own), "validation cases")
            answers.append((number, _predict_case(predictor, cases[number], slice_step, negative_slice_step)))
    except Cancelled as stopped:
        request = stopped  # raised once the others know: they would wait for this process
    if team.any(request is not None):
        raise request or Cancelled("Stopped on request.")
    on_progress(len(own), len(own), "validation cases")
    plane = predictor.preprocessing.planes[0]
    answers = sorted(team.gathered(answers), key=lambda answer: answer[0])
    return [
        _scored_case(cases[number], probability, plane, slice_step, negative_slice_step)
        for number, probability in answers
    ]


def _predict_case(predictor: SlicePredictor, case: Case, slice_step: int, negative_slice_step: int) -> np.ndarray:
    """float16 (S, h, w): the fracture's probability on every n-th slice of the case's scored part."""
    plane = predictor.preprocessing.planes[0]
    region, numbers = _scored_slices(case, plane, negative_slice_step if is_real_negative(case) else slice_step)
    return predictor.predict(case.hu, plane, region, numbers, "validation", overlap=0.25)[0].astype(np.float16)


def _scored_case(
    case: Case, probability: np.ndarray, plane: str, slice_step: int, negative_slice_step: int
) -> ScoredCase:
    """The answer beside the truth of the same slices."""
    step = negative_slice_step if is_real_negative(case) else slice_step
    region, numbers = _scored_slices(case, plane, step)
    rows, columns = (slice(*region[axis]) for axis in range(3) if axis != AXIS_OF_PLANE[plane])
    part = (slice(numbers.start, numbers.stop, numbers.step), rows, columns)
    bodies, fracture_map = (
        None if volume is None else np.ascontiguousarray(to_plane(volume, plane)[part])
        for volume in (case.bodies, case.fracture_map)
    )
    voxel_mm3 = case.spacing_mm**3 * step
    return ScoredCase(case, probability, bodies, voxel_mm3, fracture_map, to_plane(case.hu, plane)[part])


def _scored_slices(case: Case, plane: str, step: int) -> tuple[list[tuple[int, int]], range]:
    """The region (start, stop) along z, y and x, and the numbers of the slices."""
    region = _scored_region(case, plane)
    start, stop = region[AXIS_OF_PLANE[plane]]
    return region, range(start + min(step, stop - start) // 2, stop, step)


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
