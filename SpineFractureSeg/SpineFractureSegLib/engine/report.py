"""The findings of one run as JSON, for other programs and for the record."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SpineFractureSegLib.engine.atomic_file import written_whole

if TYPE_CHECKING:
    from SpineFractureSegLib.engine.metrics import Scores
    from SpineFractureSegLib.engine.pipeline import SegmentationResult

NOTICE = "Research use only, not a medical device."


def segmentation_report(
    result: "SegmentationResult", *, ct: str, warnings: list[str] | None = None, scores: "Scores | None" = None
) -> dict[str, Any]:
    """What ``segment --report`` writes, of JSON types only.

    Arguments: ``ct`` what was segmented; ``warnings`` of reading it, before those of the run; ``scores`` against a
    reference, when there is one.
    """
    report = {
        "ct": ct,
        "device": result.device,
        "precision": result.precision,
        "batch_size": result.batch_size,
        "seconds": round(result.seconds, 3),
        "model": dataclasses.asdict(result.model),
        "warnings": [*(warnings or []), *result.warnings],
        "findings": [dataclasses.asdict(finding) for finding in result.findings],
        "vertebrae": [vertebra.to_json() for vertebra in result.spine],
        "notice": NOTICE,
    }
    if scores is not None:
        report["scores"] = scores.to_json()
    return json.loads(json.dumps(report, default=_plain))


def write_json(path: str | Path, report: dict[str, Any]) -> None:
    """Writes JSON beside ``path`` and renames it; a number that is not finite becomes null.

    Raises: UserError, when it cannot be written.
    """
    text = json.dumps(_finite(report), indent=2, ensure_ascii=False, allow_nan=False)
    with written_whole(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """numpy numbers as Python's, paths as text."""
    return value.item() if hasattr(value, "item") else str(value)


def _finite(value: Any) -> Any:
    """JSON has no infinity: a surface distance to an empty mask has no number."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
