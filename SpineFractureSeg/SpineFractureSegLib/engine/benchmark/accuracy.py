"""The accuracy benchmark: held-out simulated cases, real CTs without known fracture, and real fractured shapes.

What is measured is defined in ``case_score.py`` (one case), ``summary.py`` and ``groups.py`` (many); the report has
JSON types only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from SpineFractureSegLib.engine.benchmark.case_score import CaseScore
from SpineFractureSegLib.engine.benchmark.groups import tables
from SpineFractureSegLib.engine.benchmark.kept_scores import model_fingerprint
from SpineFractureSegLib.engine.benchmark.real_shapes import RealShape, real_shape_cases, shape_rows, shapes_found
from SpineFractureSegLib.engine.benchmark.reliability import Reliability
from SpineFractureSegLib.engine.benchmark.scoring import CaseScorer
from SpineFractureSegLib.engine.benchmark.summary import (
    froc,
    summarize,
    vertebra_reliability,
    voxel_reliability,
)
from SpineFractureSegLib.engine.case import Case, load_case
from SpineFractureSegLib.engine.json_fields import to_fields
from SpineFractureSegLib.engine.model_file import Model
from SpineFractureSegLib.engine.progress import ProgressCallback


@dataclass
class Accuracy:
    """What was measured so far; ``report`` is what is written, the others are for pictures and curves."""

    report: dict
    simulated: list[CaseScore] = field(default_factory=list)
    real: list[CaseScore] = field(default_factory=list)
    shapes: list[CaseScore] = field(default_factory=list)

    @property
    def reliability(self) -> dict[str, Reliability]:
        return {"voxels": voxel_reliability(self.simulated), "vertebrae": vertebra_reliability(self.simulated)}


def begin(model: Model) -> Accuracy:
    """An empty report of a model from a file."""
    card = model.card
    return Accuracy(
        {
            "model": card.name,
            "version": card.version,
            "sha256": model_fingerprint(model.path),
            "threshold": card.threshold,
            "min_volume_mm3": card.min_volume_mm3,
            "by_body": card.by_body,
            "preprocessing": to_fields(model.preprocessing),
            "real": [],
        }
    )


def measure_simulated(
    accuracy: Accuracy, scorer: CaseScorer, paths: Sequence[Path], on_progress: ProgressCallback
) -> None:
    """Adds simulated cases, from their files."""
    cases = (load_case(path) for path in paths)
    accuracy.simulated = _scored(scorer, cases, len(paths), on_progress, "scored cases")
    threshold = scorer.model.card.threshold
    reliability = accuracy.reliability
    accuracy.report["simulated"] = {
        "summary": summarize(accuracy.simulated, threshold),
        "tables": tables(accuracy.simulated, threshold),
        "froc": froc(accuracy.simulated),
        "calibration": {name: curve.rows() for name, curve in reliability.items()},
        "cases": [_case_row(score) for score in accuracy.simulated],
    }


def measure_real_cts(
    accuracy: Accuracy, scorer: CaseScorer, names: Sequence[str], cases: Iterable[Case], on_progress: ProgressCallback
) -> None:
    """Adds real CTs without known fracture; ``names`` are those of their files."""
    accuracy.real = _scored(scorer, cases, len(names), on_progress, "real CTs")
    accuracy.report["real"] = [
        {
            "ct": name,
            "findings": score.false_positives,
            "volume_ml": round(score.false_volume_ml, 2),
            "findings_at_0.25": _false_positives_at(score, 0.25),
            "findings_at_0.75": _false_positives_at(score, 0.75),
        }
        for name, score in zip(names, accuracy.real, strict=True)
    ]


def measure_shapes(
    accuracy: Accuracy,
    scorer: CaseScorer,
    shapes: Sequence[RealShape],
    surroundings: int,
    seed: int,
    on_progress: ProgressCallback,
) -> None:
    """Adds real fractured shapes, each in several synthesized surroundings."""
    cases = real_shape_cases(shapes, surroundings, seed)
    accuracy.shapes = _scored(scorer, cases, len(shapes) * surroundings, on_progress, "real shapes")
    rows = shape_rows(shapes, accuracy.shapes, scorer.model.card.threshold)
    accuracy.report["shapes"] = {
        "found": shapes_found(rows),
        "vertebrae": rows,
        "cases": [score.name for score in accuracy.shapes],
    }


def _scored(
    scorer: CaseScorer, cases: Iterable[Case], total: int, on_progress: ProgressCallback, stage: str
) -> list[CaseScore]:
    scores = []
    on_progress(0, total, stage)
    for case in cases:
        scores.append(scorer.score(case))
        on_progress(len(scores), total, stage)
    return scores


def _case_row(score: CaseScore) -> dict:
    """A case without its curves."""
    rounded = {
        "dice": score.dice,
        "iou": score.iou,
        "hd95_mm": score.hd95_mm,
        "nsd_2mm": score.nsd,
        "false_volume_ml": score.false_volume_ml,
    }
    return {
        "name": score.name,
        "patient": score.patient,
        "slice_mm": score.slice_mm,
        **{name: None if value != value else round(value, 4) for name, value in rounded.items()},
        "false_positives": score.false_positives,
        "lesions": [
            {**vars(one.lesion), "covered": round(one.covered, 4), "found": one.found} for one in score.lesions
        ],
        "vertebrae": [{**vars(one), "probability": round(one.probability, 4)} for one in score.vertebrae],
    }


def _false_positives_at(score: CaseScore, threshold: float) -> int:
    return next(point.false_positives for point in score.operating_points if point.threshold == threshold)
