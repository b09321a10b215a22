"""Before and after: parent and child on the held-out cases, as a user would run them, and on the simulated ones.

The held-out cases chose the child's epoch and threshold, so that "after" flatters it a little; where few are held out
that is the price of training on the others. Voxels drawn as "unknown" count nowhere. False findings are connected parts
of the mask of which less than 10 % lie on what is fractured or unknown.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from SpineFractureSegLib.engine.array_metrics import dice_from_counts, voxel_counts
from SpineFractureSegLib.engine.benchmark.components import describe_components
from SpineFractureSegLib.engine.case import MAP_FRACTURE, MAP_UNKNOWN, load_case
from SpineFractureSegLib.engine.data.label_map import read_fracture
from SpineFractureSegLib.engine.finetuning.case_list import TuningCase
from SpineFractureSegLib.engine.metrics import FOUND_SHARE, evaluate
from SpineFractureSegLib.engine.model_file import Model
from SpineFractureSegLib.engine.pipeline import segment_array, segment_ct
from SpineFractureSegLib.engine.postprocess import remove_small_components
from SpineFractureSegLib.engine.progress import ProgressCallback, StopQuery
from SpineFractureSegLib.engine.volume import read_ct
from SpineFractureSegLib.engine.writers import write_mask

_WORTH_A_FALSE_FINDING = 0.02  # of Dice: a gain below it does not make up for more false findings
_SAME_DICE = 0.005  # a loss that a few voxels at the border make


@dataclass(frozen=True)
class Agreement:
    """How well masks agree with their references."""

    dice: float  # mean over the cases
    iou: float
    false_findings: int  # in all cases

    def to_json(self) -> dict:
        """The fields under their own names, nan as None."""
        return {name: None if math.isnan(value) else value for name, value in vars(self).items()}


@dataclass(frozen=True)
class HeldOutCase:
    """One held-out case by parent and child, with the files of the masks."""

    name: str
    before: Agreement
    after: Agreement
    mask_before: Path
    mask_after: Path

    def to_json(self) -> dict:
        """``before`` and ``after`` with the path of their mask."""
        return {
            "name": self.name,
            "before": {**self.before.to_json(), "mask": str(self.mask_before)},
            "after": {**self.after.to_json(), "mask": str(self.mask_after)},
        }


@dataclass(frozen=True)
class Comparison:
    """What became better or worse."""

    cases: tuple[HeldOutCase, ...]
    simulated_before: float | None  # pooled Dice over the simulated validation cases; None without any
    simulated_after: float | None

    @property
    def before(self) -> Agreement:
        return _mean([case.before for case in self.cases])

    @property
    def after(self) -> Agreement:
        return _mean([case.after for case in self.cases])

    @property
    def worse(self) -> bool:
        """On the held-out cases: a Dice lower by more than a trace, or more false findings for hardly any gain."""
        gain = self.after.dice - self.before.dice
        return gain < -_SAME_DICE or (
            gain < _WORTH_A_FALSE_FINDING and self.after.false_findings > self.before.false_findings
        )

    def to_json(self) -> dict:
        """``before``, ``after``, ``worse``, ``cases``, and ``simulated`` where there are simulated cases."""
        fields = {
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "worse": self.worse,
            "cases": [case.to_json() for case in self.cases],
        }
        if self.simulated_before is not None:
            fields["simulated"] = {"dice_before": self.simulated_before, "dice_after": self.simulated_after}
        return fields


def compare(
    parent: Model,
    child: Model,
    held_out: Sequence[TuningCase],
    simulated: Sequence[Path],
    folder: Path,
    device: str,
    on_progress: ProgressCallback,
    should_stop: StopQuery,
) -> Comparison:
    """Segments every held-out case with both models, and scores both on the simulated cases.

    Args:
        parent, child: with their own thresholds.
        held_out: the user's cases.
        simulated: case files at the models' spacing.
        folder: gets the masks, ``<number>-before.seg.nrrd`` and ``<number>-after.seg.nrrd``, from 1 on.

    Raises: UserError, when a case cannot be read or a mask not be written; Cancelled.
    """
    folder.mkdir(parents=True, exist_ok=True)
    models = {"before": parent, "after": child}
    total = 2 * len(held_out) + 1  # the simulated cases are small
    cases = []
    for number, case in enumerate(held_out):
        masks = {when: folder / f"{number + 1}-{when}.seg.nrrd" for when in models}
        scores = {}
        for model_number, (when, model) in enumerate(models.items()):
            on_progress(2 * number + model_number, total, "score")
            scores[when] = _held_out_score(case, model, masks[when], device, should_stop)
        cases.append(HeldOutCase(case.name, scores["before"], scores["after"], masks["before"], masks["after"]))
    dice = {when: simulated_dice(simulated, model, device, should_stop) for when, model in models.items()}
    on_progress(total, total, "score")
    return Comparison(tuple(cases), dice["before"], dice["after"])


def _held_out_score(case: TuningCase, model: Model, mask_path: Path, device: str, should_stop: StopQuery) -> Agreement:
    """Segments the case as ``segment`` would and writes the mask."""
    ct = read_ct(case.scan.image).image
    drawn = sitk.Resample(read_fracture(case.scan.fracture), ct, sitk.Transform(), sitk.sitkNearestNeighbor)
    mask = segment_ct(ct, model, device=device, should_stop=should_stop).mask
    write_mask(mask_path, mask)
    scores = evaluate(mask * sitk.Cast(drawn != MAP_UNKNOWN, mask.GetPixelID()), drawn == MAP_FRACTURE)
    return Agreement(scores.dice, scores.iou, _false_findings(mask, drawn))


def _false_findings(mask: sitk.Image, drawn: sitk.Image) -> int:
    """Of whole parts: without the voxels of unknown state one part is many, of which the slivers would be false."""
    found, truth = sitk.GetArrayFromImage(mask) > 0, sitk.GetArrayViewFromImage(drawn)
    parts = describe_components(found, truth == MAP_FRACTURE, truth == MAP_UNKNOWN)
    fractured_or_unknown = parts.overlap + parts.voxels - parts.known
    return int((fractured_or_unknown < FOUND_SHARE * parts.voxels).sum())


def simulated_dice(paths: Sequence[Path], model: Model, device: str, should_stop: StopQuery) -> float | None:
    """Pooled Dice over case files at the model's spacing, None without any; voxels of unknown truth count nowhere."""
    if not paths:
        return None
    return dice_from_counts(*simulated_counts(paths, model, device, should_stop).sum(axis=0).tolist())


def simulated_counts(paths: Sequence[Path], model: Model, device: str, should_stop: StopQuery) -> np.ndarray:
    """int64 (N, 3): voxels of the overlap, the mask and the truth of each case file at the model's spacing."""
    counts = np.zeros((len(paths), 3), np.int64)
    for row, path in zip(counts, paths, strict=True):
        case = load_case(path)
        probability = segment_array(case.hu, model, device=device, should_stop=should_stop)[0]["fracture"]
        mask = remove_small_components(
            probability >= model.card.threshold, model.card.min_volume_mm3, case.spacing_mm**3
        )
        row[:] = voxel_counts(mask & ~case.uncertain_mask, case.fracture_mask)
    return counts


def _mean(scores: Sequence[Agreement]) -> Agreement:
    return Agreement(
        float(np.mean([score.dice for score in scores])),
        float(np.mean([score.iou for score in scores])),
        sum(score.false_findings for score in scores),
    )
