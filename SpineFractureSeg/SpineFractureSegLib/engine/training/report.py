"""The report of a training run as one HTML file: curves, scores, the validation cases with pictures, settings."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from SpineFractureSegLib.engine.drawing import FULL, REFERENCE_COLOR, RESULT_COLOR, gray_levels, painted
from SpineFractureSegLib.engine.html_report import Curve, Html, gallery, image_tag, page, svg_curves, table
from SpineFractureSegLib.engine.training.validation import ScoredCase, ValidationScores

_PICTURE = 320  # pixels of the longer side
_CURVES = (
    (
        "fracture loss by what the slice shows",
        {
            "fractured": "fracture_loss_fractured",
            "intact": "fracture_loss_intact",
            "real CT without fracture": "fracture_loss_real_negative",
        },
        None,
    ),
    ("loss", {"total": "loss", "vertebra": "vertebra_loss", "refined mask": "refined_mask_loss"}, None),
    (
        "validation",
        {"Dice, all voxels": "dice_pooled", "Dice, by case": "dice_mean", "vertebra AUC": "vertebra_auc"},
        (0, 1),
    ),
    ("mL painted in a real CT without fracture", {"false positive": "false_positive_ml"}, None),
    ("learning rate", {"learning rate": "learning_rate"}, None),
)


def training_report(
    name: str,
    rows: Sequence[Mapping[str, str]],
    scored: Sequence[ScoredCase],
    plane: str,
    scores: ValidationScores,
    of: str,
    settings: Mapping[str, Mapping[str, Any]],
) -> str:
    """The whole file as text.

    Args:
        name: of the model.
        rows: of the log, one per epoch, see ``epoch_log.LOG_COLUMNS``.
        scored: validation cases, with their Hounsfield units.
        plane: that they are scored in.
        scores: of these cases.
        of: which weights and slices these are, in words.
        settings: section -> field -> value.
    """
    return page(
        f"Training of {name}",
        [
            ("Validation", [f"{of[:1].upper()}{of[1:]}.", _scores(scores)]),
            ("Curves", gallery(_curves(rows))),
            ("Examples", ["Orange: the answer. Blue: the truth.", gallery(_examples(scored, scores.threshold, plane))]),
            ("Validation cases", _cases(scored, scores.threshold)),
            ("Settings", [Html("".join(_settings(settings))), "Research use only, not a medical device."]),
        ],
    )


def _scores(scores: ValidationScores) -> Html:
    return table(
        [
            ["Dice over the voxels of all cases", scores.dice_pooled],
            ["Dice by case, cases with a fracture", scores.dice_mean],
            ["vertebra AUC", scores.vertebra_auc],
            ["mL painted in a real CT without fracture", scores.false_positive_ml],
            ["threshold", scores.threshold],
            ["smallest lesion, mm³", scores.min_volume_mm3],
        ]
    )


def _curves(rows: Sequence[Mapping[str, str]]) -> Iterator[Html]:
    epochs = [int(row["epoch"]) + 1 for row in rows]
    for label, columns, y_range in _CURVES:
        curves = [Curve(name, epochs, [float(row[column]) for row in rows]) for name, column in columns.items()]
        yield svg_curves(curves, x_label="epoch", y_label=label, y_range=y_range)


def _cases(scored: Sequence[ScoredCase], threshold: float) -> Html:
    rows = [
        [item.case.name, item.dice(threshold), _ml(item, item.fracture), _ml(item, item.painted(threshold))]
        for item in scored
    ]
    rows.sort(key=lambda row: (math.isnan(row[1]), row[1]))
    return table(rows, header=["case", "Dice", "fracture, mL", "painted, mL"])


def _examples(scored: Sequence[ScoredCase], threshold: float, plane: str) -> Iterator[Html]:
    """Best, median and worst case with a fracture, and the case without one that is painted most."""
    by_dice = sorted((item for item in scored if item.fracture.any()), key=lambda item: item.dice(threshold))
    # of fewer than three cases each is shown once
    chosen = {0: "worst", len(by_dice) // 2: "median", len(by_dice) - 1: "best"} if by_dice else {}
    for number in sorted(chosen, reverse=True):
        item = by_dice[number]
        words = f"{chosen[number]}: {item.case.name}, Dice {item.dice(threshold):.2f}"
        yield _example(item, threshold, plane, words)
    without = [item for item in scored if not item.fracture.any()]
    if without:
        item = max(without, key=lambda item: _ml(item, item.painted(threshold)))
        volume = _ml(item, item.painted(threshold))
        yield _example(item, threshold, plane, f"most painted without fracture: {item.case.name}, {volume:.1f} mL")


def _example(item: ScoredCase, threshold: float, plane: str, caption: str) -> Html:
    """The slice that has most of truth and answer together; the middle one where there is neither."""
    truth, answer = item.fracture, item.painted(threshold)
    area = (truth.sum((1, 2)) + answer.sum((1, 2))).astype(float)
    number = int(area.argmax()) if area.any() else len(area) // 2
    height, width = truth.shape[1:]
    scale = _PICTURE / max(height, width)
    # rows of sagittal and coronal slices grow to superior, those of the picture downwards
    up = slice(None, None, None if plane == "axial" else -1)
    gray = gray_levels(item.hu[number][up], (round(width * scale), round(height * scale)))
    outlines = [
        (mask[number][up].astype(np.float32) * FULL, color)
        for mask, color in ((truth, REFERENCE_COLOR), (answer, RESULT_COLOR))
    ]
    return image_tag(painted(gray, outlines), caption)


def _settings(settings: Mapping[str, Mapping[str, Any]]) -> Iterator[Html]:
    for section, fields in settings.items():
        yield table(_flat(fields), header=[section, ""])


def _flat(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _ml(item: ScoredCase, mask: np.ndarray) -> float:
    return float(mask.sum() * item.voxel_mm3 / 1000)
