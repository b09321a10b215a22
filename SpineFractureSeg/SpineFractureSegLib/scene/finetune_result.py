"""What a fine-tuning gave: the new model, and how it and the one before agree with the held-out cases."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

if TYPE_CHECKING:
    from SpineFractureSegLib.scene.finetune_folder import FinetuneFolder

_CLEAR_GAIN = 0.02  # of Dice


@dataclass(frozen=True)
class Agreement:
    """Of outlines with their references; nan where nothing could be measured."""

    dice: float
    iou: float
    falseFindings: int


@dataclass(frozen=True)
class HeldOut:
    """One held-out case by the model before and the new one."""

    name: str
    before: Agreement
    after: Agreement
    maskBefore: Path
    maskAfter: Path


@dataclass(frozen=True)
class FinetuneResult:
    """All that the panel tells of a run."""

    folder: FinetuneFolder  # of the run; ``folder.remove()`` when it is no longer needed
    model: Path  # in the folder; what is not worse is in the user's model folder as well
    modelName: str
    worse: bool  # on the held-out cases
    before: Agreement  # means over the held-out cases, false findings of all
    after: Agreement
    heldOut: tuple[HeldOut, ...]
    simulated: tuple[float, float] | None  # Dice on simulated cases, before and after; None without any
    minutes: float  # of training
    epochs: int
    bestEpoch: int  # the one that was kept; 1 is the first
    keptShare: float  # of what the weights learned, from 0 to 1
    leftOut: dict[str, str]  # name of a case -> why it could not be used
    warnings: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """In one or two sentences, plainly."""
        change = _("Dice {before} before, {after} after").format(
            before=shown(self.before.dice), after=shown(self.after.dice)
        )
        if self.worse:
            return _(
                "The new model is worse than the one before on the held-out cases ({change}). It is not used: more "
                "or other cases, or a smaller learning rate, may help."
            ).format(change=change)
        if self.after.dice - self.before.dice < _CLEAR_GAIN:
            return _(
                "The new model is about as good as the one before on the held-out cases ({change}). It was taken into "
                "the list of models, but the one before serves as well."
            ).format(change=change)
        return _(
            "The new model is better on the held-out cases ({change}). It was taken into the list of models."
        ).format(change=change)

    def rows(self) -> list[tuple[str, ...]]:
        """Case, Dice, IoU and false findings, each before and after; all held-out cases together come first."""
        rows = [_row(_("All held-out cases"), self.before, self.after)]
        rows += [_row(case.name, case.before, case.after) for case in self.heldOut]
        if self.simulated is not None:
            rows.append((_("Simulated cases"), _change(*map(shown, self.simulated)), "", ""))
        return rows


def columns() -> list[str]:
    """Titles of the columns of ``FinetuneResult.rows``."""
    return [_("Case"), _("Dice"), _("IoU"), _("False findings")]


def readResult(folder: FinetuneFolder) -> FinetuneResult:
    """The result that the engine wrote.

    Raises: OSError, ValueError, KeyError, where it is missing or damaged.
    """
    fields = json.loads(folder.result.read_text(encoding="utf-8"))
    simulated = fields.get("simulated")
    return FinetuneResult(
        folder=folder,
        model=Path(fields["model"]),
        modelName=folder.description.modelName,
        worse=fields["worse"],
        before=_agreement(fields["before"]),
        after=_agreement(fields["after"]),
        heldOut=tuple(_heldOut(case) for case in fields["cases"]),
        simulated=(_number(simulated["dice_before"]), _number(simulated["dice_after"])) if simulated else None,
        minutes=fields["minutes"],
        epochs=fields["epochs"],
        bestEpoch=fields["best_epoch"],
        keptShare=fields["blend"]["share"],
        leftOut=fields["left_out"],
        warnings=tuple(fields["warnings"]),
    )


def shown(share: float) -> str:
    """A score for reading.

    >>> shown(0.8125), shown(math.nan)
    ('0.812', 'not defined')
    """
    return f"{share:.3f}" if math.isfinite(share) else _("not defined")


def _heldOut(fields: dict) -> HeldOut:
    return HeldOut(
        name=fields["name"],
        before=_agreement(fields["before"]),
        after=_agreement(fields["after"]),
        maskBefore=Path(fields["before"]["mask"]),
        maskAfter=Path(fields["after"]["mask"]),
    )


def _agreement(fields: dict) -> Agreement:
    return Agreement(_number(fields["dice"]), _number(fields["iou"]), int(fields["false_findings"]))


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _row(name: str, before: Agreement, after: Agreement) -> tuple[str, ...]:
    return (
        name,
        _change(shown(before.dice), shown(after.dice)),
        _change(shown(before.iou), shown(after.iou)),
        _change(str(before.falseFindings), str(after.falseFindings)),
    )


def _change(before: str, after: str) -> str:
    return f"{before} \u2192 {after}"
