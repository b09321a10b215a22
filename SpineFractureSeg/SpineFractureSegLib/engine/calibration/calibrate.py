"""A trained model in, the same model with calibrated probabilities and a chosen operating point out.

First how the answers are fused (plane weights, average over bodies), on those of the model as it is, and the
temperature of what is fused; then a second run with the temperature in the weights, on which threshold and smallest
lesion are chosen: what is measured is what will be used. Heights decide where the surface of a body lies.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from SpineFractureSegLib.engine.array_metrics import dice_from_counts
from SpineFractureSegLib.engine.benchmark.case_score import compare
from SpineFractureSegLib.engine.benchmark.reliability import Reliability
from SpineFractureSegLib.engine.calibration.answers import Answer, Fusion, answers_of
from SpineFractureSegLib.engine.calibration.body_surface import SurfaceChoice, choose_body_surface
from SpineFractureSegLib.engine.calibration.operating_point import (
    Reading,
    choose_operating_point,
    is_real_negative,
    plane_shares,
)
from SpineFractureSegLib.engine.calibration.temperature import CrossEntropy, best_temperature, with_temperature
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.inference import choose_planes
from SpineFractureSegLib.engine.model_file import Model, ModelCard
from SpineFractureSegLib.engine.progress import ProgressCallback, StopQuery, never_stop, no_progress


@dataclass(frozen=True)
class Calibration:
    """The calibrated model and what was measured on the way."""

    model: Model
    temperature: float
    reading: Reading
    before: dict[str, float]
    after: dict[str, float]
    surface: SurfaceChoice
    within_limit: bool  # False: no operating point has as few false positives as were allowed


def calibrate(
    model: Model,
    paths: Sequence[Path],
    *,
    false_positives: float = 0.25,
    device: str = "auto",
    on_progress: ProgressCallback = no_progress,
    should_stop: StopQuery = never_stop,
) -> Calibration:
    """Chooses temperature, fusion, threshold, smallest lesion, surface of bodies: the same arguments, the same model.

    Args:
        model: unchanged.
        paths: case files that neither trained the model nor will test it; real CTs without fracture among them.
        false_positives: allowed per scan, on average over all cases.

    Returns: the model; its card's ``scores["calibration"]`` says what was chosen and measured.

    Raises: UserError, when no case has a fracture, or the network is another than the proposed one, since not all
        others end in one layer that could take the temperature; Cancelled.
    """
    if model.network_config.architecture != "proposed":
        raise UserError(
            f"{model.card.name} is a {model.network_config.architecture}, only the proposed network can be calibrated."
        )
    answers = answers_of(model, paths, device, on_progress, should_stop, "cases before")
    if not any(answer.case.has_fracture for answer in answers):
        raise UserError(f"None of the {len(answers)} cases has a fracture, at least one is needed: add cases.")
    given = reading_of(model)
    before = measure(answers, given)
    fusion = choose_operating_point(answers, _fusions(model, given.fusion), false_positives).reading.fusion
    temperature = best_temperature(lambda tried: cross_entropy(answers, fusion, tried))

    model = replace(model, network=with_temperature(model.network, temperature))
    answers = answers_of(model, paths, device, on_progress, should_stop, "cases after")
    chosen = choose_operating_point(answers, [fusion], false_positives)
    after = measure(answers, chosen.reading)
    surface = choose_body_surface(answers, model.card.body_surface)
    within_limit = chosen.false_positives <= false_positives

    record = {
        "temperature": temperature,
        "cases": len(answers),
        "cases_with_fracture": sum(answer.case.has_fracture for answer in answers),
        "patients": len({answer.case.patient for answer in answers}),
        "false_positives_allowed": false_positives,
        "within_limit": within_limit,
        "before": _stored(before),
        "after": _stored(after),
        "surface": {"bodies": surface.bodies, **_stored(surface.errors_mm)},
    }
    calibrated = _with_reading(model, chosen.reading, record)
    calibrated = replace(calibrated, card=replace(calibrated.card, body_surface=surface.surface))
    return Calibration(calibrated, temperature, chosen.reading, before, after, surface, within_limit)


def reading_of(model: Model) -> Reading:
    """The reading that the model's card asks for."""
    fusion = Fusion(choose_planes(model.preprocessing, None), model.card.by_body, model.card.body_gate)
    return Reading(fusion, model.card.threshold, model.card.min_volume_mm3)


def card_with(card: ModelCard, reading: Reading) -> ModelCard:
    """The card that asks for this reading; the planes' shares are not in it but in the preprocessing."""
    return replace(
        card,
        threshold=reading.threshold,
        min_volume_mm3=reading.min_volume_mm3,
        by_body=reading.fusion.by_body,
        body_gate=reading.fusion.body_gate,
    )


def measure(answers: Sequence[Answer], reading: Reading) -> dict[str, float]:
    """What one reading of the answers gives; nan where a figure has no case.

    Returns: dice_pooled, dice_mean (of the cases with a fracture), lesion_sensitivity, false_positives_per_scan and
        the same of real CTs without fracture, cross_entropy and calibration_error (ECE) of the voxels within bodies.
    """
    scores, reliability = [], Reliability()
    for answer in answers:
        probability = answer.probability(reading.fusion)
        scores.append(compare(answer.case, probability, reading.threshold, reading.min_volume_mm3, ()))
        reliability.merge(scores[-1].reliability)
    volumes = np.array([(s.overlap, s.predicted, s.reference) for s in scores]) * [[s.voxel_mm3] for s in scores]
    real = [s for s, answer in zip(scores, answers, strict=True) if is_real_negative(answer.case)]
    return {
        "dice_pooled": dice_from_counts(*volumes.sum(axis=0).tolist()),
        "dice_mean": _mean([score.dice for score in scores if score.reference]),
        "lesion_sensitivity": _mean([lesion.found for score in scores for lesion in score.lesions]),
        "false_positives_per_scan": _mean([score.false_positives for score in scores]),
        "false_positives_per_real_ct": _mean([score.false_positives for score in real]),
        "cross_entropy": cross_entropy(answers, reading.fusion),
        "calibration_error": reliability.error,
    }


def cross_entropy(answers: Sequence[Answer], fusion: Fusion, temperature: float = 1.0) -> float:
    """Of the voxels within bodies whose state is known, on the working grid; nan where there are none."""
    entropy = CrossEntropy()
    for answer in answers:
        case = answer.case_at_work
        known = (case.bodies > 0) & ~case.uncertain_mask
        entropy.add(answer.working_probability(fusion, temperature)[known], case.fracture_mask[known])
    return entropy.mean


def _fusions(model: Model, given: Fusion) -> list[Fusion]:
    """All that can be tried, the given one first."""
    averaged = (False, True) if "vertebra" in model.network_config.outputs else (False,)
    every = [Fusion(shares, by_body) for by_body in averaged for shares in plane_shares(model.preprocessing.planes)]
    return [given, *(fusion for fusion in every if fusion != given)]


def _with_reading(model: Model, reading: Reading, record: dict) -> Model:
    used = {plane: share for plane, share in reading.fusion.shares.items() if share}
    preprocessing = replace(model.preprocessing, planes=tuple(used), plane_weights=tuple(used.values()))
    card = replace(card_with(model.card, reading), scores={**model.card.scores, "calibration": record})
    return replace(model, preprocessing=preprocessing, card=card, path=None)


def _mean(values: Sequence[float]) -> float:
    return float(np.nanmean(values)) if len(values) else float("nan")


def _stored(measured: dict[str, float]) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else round(value, 4) for name, value in measured.items()}
