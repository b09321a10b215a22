"""Between parent and child: weights on the line from one to the other, and how their answers are read.

A child that saw a few cases is surer than it should be and has forgotten some of what its parent knew. Weights between
the two often keep both, and where the child gained nothing, most of the parent is left. Source: Wortsman et al.,
"Robust fine-tuning of zero-shot models", CVPR 2022. Ours is the choice of the share and of smallest lesion, threshold
and body gate with it: the best Dice on the owner's held-out and on simulated cases, of what loses nothing on the
former, no more than ``MOST_LOST`` on the latter, and has no more false findings than the parent.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from SpineFractureSegLib.engine.calibration.answers import Answer, Fusion, answers_of
from SpineFractureSegLib.engine.calibration.calibrate import card_with, measure, reading_of
from SpineFractureSegLib.engine.calibration.operating_point import OperatingPoint, Reading, operating_points
from SpineFractureSegLib.engine.model_file import Model
from SpineFractureSegLib.engine.network import SliceNetwork
from SpineFractureSegLib.engine.progress import ProgressCallback, StopQuery

SHARES = (0.25, 0.5, 0.75, 1.0)  # of the child
GATES = (0.0, 0.1, 0.2, 0.3)  # tried where a fracture need not be a whole body
MOST_LOST = 0.02  # of pooled Dice on the simulated cases
NEARLY = 0.01  # of both Dices together: for less gain nothing more is taken of the child
FALSE_FINDING_COST = 0.02  # of Dice, where nothing keeps to all of this
MOST_MOVED = 0.025  # of the threshold, half a step: where the cases at hand would raise it, others are found no more


@dataclass(frozen=True)
class Blend:
    """One share and reading, and what they give."""

    share: float  # of the child; 0 is the parent
    reading: Reading
    own_dice: float  # pooled over the owner's cases; 0 where nothing is drawn in them
    simulated_dice: float  # pooled over simulated cases; 0 without any
    false_findings: float  # in all cases

    def to_json(self) -> dict:
        """Flat, with JSON types."""
        reading = self.reading
        return {
            "share": self.share,
            "threshold": reading.threshold,
            "min_volume_mm3": reading.min_volume_mm3,
            "body_gate": reading.fusion.body_gate,
            "own_dice": round(self.own_dice, 4),
            "simulated_dice": round(self.simulated_dice, 4),
            "false_findings": round(self.false_findings),
        }


def best_blend(
    parent: Model,
    child: Model,
    own: Sequence[Path],
    simulated: Sequence[Path],
    device: str,
    on_progress: ProgressCallback,
    should_stop: StopQuery,
) -> tuple[Model, Blend]:
    """The child with the chosen share, threshold, smallest lesion and body gate, and what they give.

    Args:
        parent: with its own reading.
        child: trained from it. Its card says whether its fractures are whole bodies.
        own: case files of the owner that did not train it, at least one.
        simulated: case files that did not train it either, and real CTs without fracture.
        device: as ``segment_ct``.

    Raises: Cancelled; UserError, as ``segment_array``.
    """
    paths, steps = [*own, *simulated], len(SHARES) + 1

    def answers(model: Model, step: int) -> list[Answer]:
        def tell(done: int, total: int, _stage: str) -> None:
            on_progress(step * total + done, steps * total, "blend")

        return answers_of(model, paths, device, tell, should_stop, "blend")

    before = _as_it_is(parent, answers(parent, 0), len(own))
    fusions = _fusions(parent, child)
    found = []
    for step, share in enumerate(SHARES, start=1):
        given = answers(replace(child, network=blended(parent.network, child.network, share)), step)
        found += [blend for fusion in fusions for blend in _blends(share, given, len(own), fusion)]
    chosen = choose_blend(before, found)
    network, card = blended(parent.network, child.network, chosen.share), card_with(child.card, chosen.reading)
    return replace(child, network=network, card=card, path=None), chosen


def blended(parent: SliceNetwork, child: SliceNetwork, share: float) -> SliceNetwork:
    """A network with weights (and statistics of normalization) so far from the parent's towards the child's."""
    network, towards = copy.deepcopy(parent), child.state_dict()
    with torch.no_grad():
        for name, values in network.state_dict().items():
            if values.is_floating_point():
                values.lerp_(towards[name], share)
            else:
                values.copy_(towards[name])
    return network


def choose_blend(before: Blend, found: Sequence[Blend]) -> Blend:
    """Of those that cost least against the parent, and are within ``NEARLY`` of the best of them, the nearest to it.

    Better is a higher sum of both Dices; near is first a small share, then a threshold like the parent's. What gains
    less than ``NEARLY`` here may well lose elsewhere: the cases that it is chosen on are few. For the same reason the
    threshold stays the parent's (to ``MOST_MOVED``), unless the answers are read in another way than its.

    Args:
        before: the parent.
        found: at least one.
    """

    def moved(blend: Blend) -> float:
        return round(abs(blend.reading.threshold - before.reading.threshold), 6)

    def merit(blend: Blend) -> float:
        return round(blend.own_dice + blend.simulated_dice, 4)

    def cost(blend: Blend) -> float:
        lost = max(before.simulated_dice - MOST_LOST - blend.simulated_dice, 0)
        lost_own = max(before.own_dice - blend.own_dice, 0)
        more = blend.false_findings - before.false_findings
        return round(lost + lost_own + FALSE_FINDING_COST * max(more, 0), 6)

    usual = before.reading.fusion
    found = [blend for blend in found if blend.reading.fusion != usual or moved(blend) <= MOST_MOVED] or found
    least = min(cost(blend) for blend in found)
    affordable = [blend for blend in found if cost(blend) == least]
    best = max(map(merit, affordable))
    nearly = [blend for blend in affordable if merit(blend) >= round(best - NEARLY, 4)]
    nearest = min(blend.share for blend in nearly)

    def likeness(blend: Blend) -> tuple[float, float, float]:
        return -moved(blend), merit(blend), blend.reading.threshold

    return max((blend for blend in nearly if blend.share == nearest), key=likeness)


def _fusions(parent: Model, child: Model) -> list[Fusion]:
    given = reading_of(parent).fusion
    if child.card.by_body:
        return [given]
    gates = GATES if "vertebra" in parent.network_config.outputs else (0.0,)
    return [replace(given, by_body=False, body_gate=gate) for gate in gates]


def _as_it_is(parent: Model, answers: Sequence[Answer], own: int) -> Blend:
    reading = reading_of(parent)
    parts = [measure(part, reading) if part else None for part in (answers[:own], answers[own:])]
    dices = [_or_zero(part["dice_pooled"]) if part else 0.0 for part in parts]
    false = measure(answers, reading)["false_positives_per_scan"] * len(answers)
    return Blend(0.0, reading, *dices, false)


def _blends(share: float, answers: Sequence[Answer], own: int, fusion: Fusion) -> Iterator[Blend]:
    others = operating_points(answers[own:], fusion) if answers[own:] else None
    for point in operating_points(answers[:own], fusion):
        other = next(others) if others else OperatingPoint(point.reading, 0.0, 0.0)
        false = point.false_positives * own + other.false_positives * (len(answers) - own)
        yield Blend(share, point.reading, _or_zero(point.dice_pooled), _or_zero(other.dice_pooled), false)


def _or_zero(dice: float) -> float:
    return 0.0 if np.isnan(dice) else dice
