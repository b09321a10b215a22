"""At which probability the surface of a vertebral body lies, chosen by heights that are known.

A network may draw bodies a little too large or too small all over. Heights are then wrong by the same amount
everywhere, and another probability at the surface mends them without touching the outline of fractures.
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
_ORIGIN_MM = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class SurfaceChoice:
    """The probability at the surface, and the mean absolute error of the heights that it gives."""

    surface: float
    bodies: int  # on which it was chosen
    error_before_mm: float  # with the given surface; nan without bodies
    error_after_mm: float  # with the chosen one

    @property
    def errors_mm(self) -> dict[str, float]:
        """Both, as they are stored."""
        return {"height_error_before_mm": self.error_before_mm, "height_error_after_mm": self.error_after_mm}


def choose_body_surface(answers: Sequence[Answer], given: float) -> SurfaceChoice:
    """The surface with the smallest error of the heights; of equal ones the nearest to the given one.

    Args:
        answers: of the model. Bodies that it does not find, and those without heights at some surface, are left out.
        given: probability at the surface so far.
    """
    surfaces = (given, *(surface for surface in SURFACES if surface != given))
    errors = [row for answer in answers for row in _errors_mm(answer, surfaces)]
    if not errors:
        return SurfaceChoice(given, 0, float("nan"), float("nan"))
    mean = np.mean(errors, axis=0)
    best = 0
    if len(errors) >= FEWEST_BODIES:
        best = min(range(len(surfaces)), key=lambda k: (round(mean[k], 6), abs(surfaces[k] - given)))
    return SurfaceChoice(surfaces[best], len(errors), float(mean[0]), float(mean[best]))


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
