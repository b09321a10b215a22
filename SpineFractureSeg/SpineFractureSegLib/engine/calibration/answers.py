"""What a model says of a case, plane by plane, kept so that many ways to read it can be tried without a second run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from scipy.special import expit, logit

from SpineFractureSegLib.engine.case import Case, load_case
from SpineFractureSegLib.engine.case_spacing import at_spacing, volume_at
from SpineFractureSegLib.engine.inference import choose_planes
from SpineFractureSegLib.engine.model_file import Model
from SpineFractureSegLib.engine.pipeline import segment_array
from SpineFractureSegLib.engine.progress import ProgressCallback, StopQuery
from SpineFractureSegLib.engine.vertebrae.by_body import fracture_by_body
from SpineFractureSegLib.engine.vertebrae.instances import Bodies, find_bodies


@dataclass(frozen=True)
class Fusion:
    """How the planes' answers become one probability."""

    shares: Mapping[str, float]  # weight of each plane; they sum to 1, 0 leaves a plane out
    by_body: bool = False  # averaged over each vertebral body, as ``ModelCard.by_body``
    body_gate: float = 0.0  # or over the bodies below this mean alone, as ``ModelCard.body_gate``

    @property
    def averaged_below(self) -> float:
        """As ``ModelCard.averaged_below``."""
        return math.inf if self.by_body else self.body_gate


@dataclass(frozen=True)
class Answer:
    """A case without its Hounsfield units, and what the model says on the working grid.

    Logits in half precision are enough and keep a hundred cases in memory. Probabilities would not be: near 1 they
    could not tell sure from very sure.
    """

    case: Case  # ``hu`` is empty: all 0, without memory of its own
    case_at_work: Case  # the same on the working grid
    logits: dict[str, np.ndarray]  # by plane, float16 (Z, Y, X), of a fracture; minus infinity where nothing was asked
    spine: "Spine | None" = field(default=None, repr=False)  # None: the model says nothing of vertebrae, or found none

    def probability(self, fusion: Fusion) -> np.ndarray:
        """Of a fracture, on the case's own grid: float32 (Z, Y, X)."""
        fused = self.working_probability(fusion)
        return volume_at(fused, self.case_at_work.spacing_mm, self.case.spacing_mm, self.case.hu.shape)

    def working_probability(self, fusion: Fusion, temperature: float = 1.0) -> np.ndarray:
        """The same on the working grid, each plane's logits divided by the temperature."""
        planes = ((share, self.logits[plane]) for plane, share in fusion.shares.items() if share)
        fused = sum(np.float32(s) * expit(logits.astype(np.float32) / np.float32(temperature)) for s, logits in planes)
        if fusion.averaged_below and self.spine is not None:
            box = self.spine.box
            vertebra, spacing = self.spine.vertebra.astype(np.float32), self.case_at_work.spacing_mm
            fused[box] = fracture_by_body(fused[box], vertebra, self.spine.bodies, spacing, fusion.averaged_below)
        return fused


@dataclass(frozen=True)
class Spine:
    """The vertebral bodies that the model sees, with its own plane weights: others would hardly change them."""

    box: tuple[slice, ...]  # of the working grid
    vertebra: np.ndarray  # float16 (z, y, x) of the box, probability of a body
    bodies: Bodies  # in the box


def to_logits(probability: np.ndarray) -> np.ndarray:
    """float16 logits of probabilities; above 1, where rounding puts them, they count as 1."""
    return logit(np.minimum(probability, 1)).astype(np.float16)


def answers_of(
    model: Model,
    paths: Sequence[Path],
    device: str,
    on_progress: ProgressCallback,
    should_stop: StopQuery,
    stage: str,
) -> list[Answer]:
    """Runs the whole pipeline on the cases of these files, once per plane of the model.

    Raises: Cancelled; UserError, as ``segment_array``.
    """
    model = replace(model, card=replace(model.card, by_body=False, body_gate=0.0))
    answers = []
    for number, path in enumerate(paths):
        on_progress(number, len(paths), stage)
        answers.append(_answer(model, load_case(path), device, should_stop))
    on_progress(len(paths), len(paths), stage)
    return answers


def _answer(model: Model, case: Case, device: str, should_stop: StopQuery) -> Answer:
    spacing = model.preprocessing.spacing_mm
    working = at_spacing(case, spacing)
    logits, vertebra, region = {}, 0.0, None
    for plane, share in choose_planes(model.preprocessing, None).items():
        volumes, predicted = segment_array(working.hu, model, device=device, planes=[plane], should_stop=should_stop)
        logits[plane] = to_logits(volumes["fracture"])
        vertebra = vertebra + share * volumes.get("vertebra", 0.0)
        region = predicted.region or region
    spine = None
    if region is not None and "vertebra" in model.network_config.outputs:
        inside = vertebra[region.slices]
        spine = Spine(region.slices, inside.astype(np.float16), find_bodies(inside, spacing))
    return Answer(without_hu(case), without_hu(working), logits, spine)


def without_hu(case: Case) -> Case:
    """The case with Hounsfield units of 0 that take no memory."""
    return replace(case, hu=np.broadcast_to(np.int16(0), case.hu.shape))
