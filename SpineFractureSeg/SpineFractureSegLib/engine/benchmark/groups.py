"""The same scores, one row per kind of fracture, grade, region of the spine, slice thickness and spine."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from SpineFractureSegLib.engine.benchmark.case_score import CaseScore, LesionScore, VertebraScore
from SpineFractureSegLib.engine.benchmark.lesions import REGIONS
from SpineFractureSegLib.engine.benchmark.summary import (
    defined,
    is_clear,
    lesions_of_all,
    mean,
    pooled_dice,
    sensitivity_at,
    vertebra_auc,
)

T = TypeVar("T")
_THICKNESS_MM = (1.0, 2.0, 3.0)  # upper ends of the classes, the last is open


def tables(scores: Sequence[CaseScore], threshold: float) -> dict[str, list[dict]]:
    """Name of the table -> its rows, each with its group's name first. Figures that are not defined are None."""
    lesions = lesions_of_all(scores)
    vertebrae = [vertebra for score in scores for vertebra in score.vertebrae]
    return {
        "by_type": [
            _lesion_row("type", kind, part) | _fractured_row([v for v in vertebrae if v.kind == kind], vertebrae)
            for kind, part in _grouped(lesions, lambda one: one.lesion.kind)
        ],
        "by_grade": [
            _lesion_row("grade", _grade_name(grade), part)
            | _fractured_row([v for v in vertebrae if v.fractured and v.grade == grade], vertebrae)
            for grade, part in _grouped(lesions, lambda one: one.lesion.grade)
        ],
        "by_region": [
            _lesion_row("region", region, [one for one in lesions if one.lesion.region == region])
            | _region_row([v for v in vertebrae if v.region == region], threshold)
            for region in (*REGIONS, "unknown")
            if any(one.lesion.region == region for one in lesions) or any(v.region == region for v in vertebrae)
        ],
        "by_slice_thickness": [
            {"slice_thickness": name} | _case_row(part) for name, part in _grouped(scores, _thickness_name)
        ],
        "by_patient": [
            {"patient": name} | _case_row(part) for name, part in _grouped(scores, lambda score: score.patient)
        ],
    }


def _grouped(items: Iterable[T], key: Callable[[T], Hashable]) -> list[tuple[Hashable, list[T]]]:
    """In order of their keys, None last."""
    groups: dict[Hashable, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return sorted(groups.items(), key=lambda group: (group[0] is None, str(group[0])))


def _lesion_row(name: str, value: str, lesions: Sequence[LesionScore]) -> dict:
    return {
        name: value,
        "lesions": len(lesions),
        "found": sum(lesion.found for lesion in lesions),
        "sensitivity": defined(mean([lesion.found for lesion in lesions])),
        "covered": defined(mean([lesion.covered for lesion in lesions])),
    }


def _fractured_row(fractured: Sequence[VertebraScore], vertebrae: Sequence[VertebraScore]) -> dict:
    """Fractured bodies of one group against all intact ones."""
    intact = [v for v in vertebrae if not v.fractured]
    return {
        "bodies": len(fractured),
        "probability": defined(mean([v.probability for v in fractured])),
        "auc": defined(vertebra_auc([*fractured, *intact])),
    }


def _region_row(vertebrae: Sequence[VertebraScore], threshold: float) -> dict:
    clear = [v for v in vertebrae if not v.fractured or is_clear(v.grade)]
    return {
        "bodies": len(vertebrae),
        "auc": defined(vertebra_auc(clear)),
        "specificity": defined(mean([v.probability < threshold for v in vertebrae if not v.fractured])),
    }


def _case_row(scores: Sequence[CaseScore]) -> dict:
    return {
        "cases": len(scores),
        "dice_pooled": defined(pooled_dice(scores)),
        "lesions": len(lesions_of_all(scores)),
        "sensitivity": defined(mean([lesion.found for lesion in lesions_of_all(scores)])),
        "sensitivity_at_0.25_false_positives": defined(sensitivity_at(scores, 0.25)),
        "false_positives_per_scan": defined(mean([score.false_positives for score in scores])),
    }


def _grade_name(grade: int | None) -> str:
    return "not graded" if grade is None else str(grade)


def _thickness_name(score: CaseScore) -> str:
    if score.slice_mm is None:
        return "not known"
    lower = 0.0
    for upper in _THICKNESS_MM:
        if score.slice_mm <= upper:
            return f"over {lower:g} to {upper:g} mm" if lower else f"up to {upper:g} mm"
        lower = upper
    return f"over {lower:g} mm"
