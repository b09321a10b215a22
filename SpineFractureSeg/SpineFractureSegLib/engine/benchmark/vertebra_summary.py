"""The figures of the vertebra benchmark: instance F1, errors of heights, agreement of Genant grades."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from SpineFractureSegLib.engine.benchmark.lesions import region_of
from SpineFractureSegLib.engine.data.vertebra_ids import NAMES
from SpineFractureSegLib.engine.vertebrae.vertebra import PLACES

MATCHED_ABOVE = 0.5  # intersection over union; more than one half, so that no instance can match two bodies


@dataclass(frozen=True)
class BodyScore:
    """One reference body."""

    vertebra: int  # VerSe id
    iou: float  # with the instance that fits best
    height_error_mm: dict[str, float] | None  # found less true, by place; None where either could not be measured
    true_genant: int | None  # None where the truth does not say
    genant: int | None
    reference_genant: int | None = None  # measured on the label map, as if the network had drawn it


@dataclass(frozen=True)
class SpineScore:
    """One case."""

    name: str
    group: str  # of cases that are reported together
    bodies: list[BodyScore] = field(default_factory=list)
    false_instances: int = 0


def summarize_spines(scores: Sequence[SpineScore]) -> dict[str, dict]:
    """By group: instance F1, errors of heights in mm, agreement of grades."""
    return {group: _summary([s for s in scores if s.group == group]) for group in sorted({s.group for s in scores})}


def weighted_kappa(true: Sequence[int], found: Sequence[int], power: int = 2, grades: int = 4) -> float:
    """Cohen's kappa with weights that grow with the distance of the grades; nan without disagreement by chance.

    Args: power: 1 for linear weights, 2 for quadratic ones.

    >>> weighted_kappa([0, 0, 1, 2], [0, 0, 1, 3], power=1).__round__(3)
    0.778
    """
    observed = np.zeros((grades, grades))
    np.add.at(observed, (np.asarray(true, int), np.asarray(found, int)), 1)
    weight = np.abs(np.subtract.outer(np.arange(grades), np.arange(grades))) ** power
    chance = np.outer(observed.sum(axis=1), observed.sum(axis=0)) / max(observed.sum(), 1)
    disagreement = float((weight * chance).sum())
    return 1 - float((weight * observed).sum()) / disagreement if disagreement else float("nan")


def _summary(scores: Sequence[SpineScore]) -> dict:
    bodies = [body for score in scores for body in score.bodies]
    matched = sum(body.iou > MATCHED_ABOVE for body in bodies)
    false = sum(score.false_instances for score in scores)
    graded = [body for body in bodies if body.true_genant is not None and body.genant is not None]
    true, found = [body.true_genant for body in graded], [body.genant for body in graded]
    on_labels = [body for body in bodies if body.true_genant is not None and body.reference_genant is not None]
    outlined = [body.true_genant for body in on_labels], [body.reference_genant for body in on_labels]
    table = np.zeros((4, 4), int)
    np.add.at(table, (np.array(true, int), np.array(found, int)), 1)
    return {
        "cases": len(scores),
        "bodies": len(bodies),
        "instance_f1": round(2 * matched / (matched + len(bodies) + false), 4) if bodies or false else None,
        "missed": len(bodies) - matched,
        "false_instances": false,
        "height_error_mm": {"all": _errors(bodies)}
        | {
            region: _errors([body for body in bodies if region_of(body.vertebra) == region])
            for region in sorted({region_of(body.vertebra) for body in bodies})
        },
        "graded": len(graded),
        "grades_true_by_found": table.tolist(),
        "weighted_kappa_quadratic": _rounded(weighted_kappa(true, found)),
        "weighted_kappa_linear": _rounded(weighted_kappa(true, found, power=1)),
        "graded_on_label_maps": len(on_labels),
        "weighted_kappa_quadratic_on_label_maps": _rounded(weighted_kappa(*outlined)),
    }


def _errors(bodies: Sequence[BodyScore]) -> dict:
    errors = np.array([[body.height_error_mm[place] for place in PLACES] for body in bodies if body.height_error_mm])
    if not errors.size:
        return {"bodies": 0}
    return {
        "bodies": len(errors),
        "mean_absolute": _rounded(np.abs(errors).mean()),
        "bias": _rounded(errors.mean()),
        "by_place": dict(zip(PLACES, (_rounded(e) for e in np.abs(errors).mean(axis=0)), strict=True)),
        "largest_tenth_from": _rounded(np.percentile(np.abs(errors), 90)),
    }


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 3)


def to_json(score: SpineScore) -> dict:
    """One case, of JSON types, with the levels' names."""
    return {
        "name": score.name,
        "group": score.group,
        "false_instances": score.false_instances,
        "bodies": [
            {
                "level": NAMES.get(body.vertebra, str(body.vertebra)),
                "iou": round(body.iou, 3),
                "height_error_mm": body.height_error_mm
                and {place: round(error, 2) for place, error in body.height_error_mm.items()},
                "true_genant": body.true_genant,
                "genant": body.genant,
                "genant_on_label_map": body.reference_genant,
            }
            for body in score.bodies
        ],
    }
