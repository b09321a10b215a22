"""At which probability the surface of a vertebral body lies, chosen by heights that are known.

A network may draw bodies a little too large or too small all over. Heights are then wrong by the same amount
everywhere, and another probability at the surface mends them without touching the outline of fractures.

People count alike, however many bodies they have: whoever drew a person's label map drew all of its bodies a little
larger or smaller than another would have. For the same reason few people do not move the surface far: it stays as near
to where it was as one standard error of the gain over people allows (Breiman et al., "Classification and Regression
Trees", 1984, for that rule).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from SpineFractureSegLib.engine.benchmark.vertebra_summary import MATCHED_ABOVE
from SpineFractureSegLib.engine.benchmark.vertebrae import (
    GRID_MM,
    BodyMatches,
    height_error_mm,
    image_at,
    measured_reference,
)
from SpineFractureSegLib.engine.calibration.answers import Answer
from SpineFractureSegLib.engine.case_spacing import at_spacing
from SpineFractureSegLib.engine.vertebrae.field_of_view import FieldOfView
from SpineFractureSegLib.engine.vertebrae.measure import SpineVolume, measure_vertebrae

SURFACES = tuple(round(0.05 * k, 2) for k in range(5, 18))
FEWEST_BODIES = 10  # for fewer the given surface is kept
TOLERANCE = 0.02  # share of the smallest error that a surface nearer to the given one may always cost
_ORIGIN_MM = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class SurfaceChoice:
    """The probability at the surface, and the error of heights that it gives: mean absolute, then mean over people."""

    surface: float
    bodies: int  # on which it was chosen
    error_before_mm: float  # with the given surface; nan without bodies
    error_after_mm: float  # with the chosen one

    @property
    def errors_mm(self) -> dict[str, float]:
        """Both, as they are stored."""
        return {"height_error_before_mm": self.error_before_mm, "height_error_after_mm": self.error_after_mm}


def choose_body_surface(answers: Sequence[Answer], given: float) -> SurfaceChoice:
    """The nearest to the given surface of those that are about as good as the best.

    The best has the smallest error of the heights. About as good is what costs at most one standard error of that cost
    over people, or ``TOLERANCE``.

    Args:
        answers: of the model. Bodies that it does not find, and those without heights at some surface, are left out.
        given: probability at the surface so far.
    """
    surfaces = (given, *(surface for surface in SURFACES if surface != given))
    errors: dict[str, list[np.ndarray]] = {}  # of each person's bodies
    for answer in answers:
        if found := _errors_mm(answer, surfaces):
            errors.setdefault(answer.case.patient, []).extend(found)
    if not errors:
        return SurfaceChoice(given, 0, float("nan"), float("nan"))
    by_person = np.array([np.mean(found, axis=0) for found in errors.values()])
    mean = by_person.mean(axis=0)
    bodies, best = sum(map(len, errors.values())), 0
    if bodies >= FEWEST_BODIES:
        costs = by_person - by_person[:, [np.argmin(mean)]]
        doubt = np.std(costs, axis=0, ddof=1) / np.sqrt(len(costs)) if len(costs) > 1 else 0.0
        good = np.flatnonzero(costs.mean(axis=0) <= np.maximum(doubt, TOLERANCE * mean.min()))
        best = min(good, key=lambda k: (abs(surfaces[k] - given), mean[k]))
    return SurfaceChoice(surfaces[best], bodies, float(mean[0]), float(mean[best]))


def _errors_mm(answer: Answer, surfaces: Sequence[float]) -> list[np.ndarray]:
    """For each body that is found, (S,) the mean absolute error of its three heights at each surface."""
    if answer.spine is None or not answer.case.has_bodies:
        return []
    reference = at_spacing(answer.case, GRID_MM).bodies
    view = FieldOfView.of_array(answer.case.hu.shape, answer.case.spacing_mm)
    spacing_mm, box = answer.case_at_work.spacing_mm, answer.spine.box
    corner = tuple(axis.start * spacing_mm for axis in reversed(box))
    vertebra = answer.spine.vertebra.astype(np.float32)
    volume = SpineVolume(np.zeros_like(vertebra), vertebra, np.zeros(vertebra.shape, np.int16), spacing_mm, corner)
    true = measured_reference(reference, _ORIGIN_MM, view)
    matches = BodyMatches(reference, _ORIGIN_MM, image_at(answer.spine.bodies.labels, corner, spacing_mm))
    pairs = [(body, *matches.best(body)) for body in matches.judged(true)]
    found = [
        measure_vertebrae(answer.spine.bodies, replace(volume, surface=surface), view) if pairs else []
        for surface in surfaces
    ]
    rows = []
    for body, number, iou in pairs:
        if iou <= MATCHED_ABOVE:
            continue
        errors = [height_error_mm(spine[number - 1], true[body]) for spine in found]
        if None not in errors:
            rows.append(np.array([np.mean(np.abs(list(error.values()))) for error in errors]))
    return rows
