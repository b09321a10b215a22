"""From results to one table, as rows, Markdown and CSV."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from SpineFractureSegLib.engine.ablation_benchmark.arms import ARMS, WHOLE, Arm
from SpineFractureSegLib.engine.ablation_benchmark.run import ArmResult
from SpineFractureSegLib.engine.array_metrics import bootstrap_interval, dice_from_counts
from SpineFractureSegLib.engine.text_table import csv_table, markdown_table

HEADER = (
    "trained",
    "Dice, pooled (95 %)",
    "change (95 %)",
    "vertebra AUC, clear",
    "clear lesions found",
    "false positives a scan",
    "false findings in real CTs",
    "real fractured shapes found",
    "validation Dice",
    "minutes",
    "seeds",
)


@dataclass(frozen=True)
class Row:
    """One arm over its seeds."""

    arm: Arm
    results: tuple[ArmResult, ...]
    dice: float
    interval: tuple[float, float]
    change: float | None  # against the whole with the same seeds; None for the whole, or without it
    change_interval: tuple[float, float] | None

    def cells(self) -> list[str]:
        """Texts under ``HEADER``."""
        real = [[findings for _, findings in result.real] for result in self.results]
        found = [result.shapes["genant_2_3"] for result in self.results]
        return [
            self.arm.title,
            f"{self.dice:.2f} ({_range(self.interval)})",
            "-" if self.change is None else f"{self.change:+.2f} ({_range(self.change_interval, sign='+')})",
            *(
                self._mean(name)
                for name in ("vertebra_auc_clear", "lesion_sensitivity_clear", "false_positives_per_scan")
            ),
            f"{np.mean([sum(own) for own in real]):.3g} in {len(real[0])}",
            f"{np.mean([own['found_in_most_cases'] for own in found]):.3g} of {found[0]['vertebrae']}",
            f"{np.mean([result.calibration['after']['dice_pooled'] or 0.0 for result in self.results]):.2f}",
            f"{np.mean([result.minutes for result in self.results]):.0f}",
            str(len(self.results)),
        ]

    def _mean(self, name: str) -> str:
        values = [result.summary[name] for result in self.results if result.summary[name] is not None]
        return f"{np.mean(values):.2f}" if values else "-"


def table_rows(results: Sequence[ArmResult]) -> list[Row]:
    """A row for each arm that has results, in the order of the arms.

    Intervals are over test cases, drawn again together for an arm and the whole; those of several seeds stay together.
    """
    whole = {result.seed: result for result in results if result.name == WHOLE}
    rows = []
    for arm in ARMS:
        own = tuple(result for result in results if result.name == arm.name)
        if not own:
            continue
        volumes = np.stack([_volumes(result) for result in own], axis=1)  # (cases, seeds, 3)
        interval = _interval(volumes.reshape(len(volumes), -1), _mean_dice)
        change = change_interval = None
        if arm.name != WHOLE and all(result.seed in whole for result in own):
            other = np.stack([_volumes(whole[result.seed]) for result in own], axis=1)
            pairs = np.concatenate([volumes, other], axis=1).reshape(len(volumes), -1)
            change, change_interval = _change(pairs), _interval(pairs, _change)
        rows.append(Row(arm, own, _mean_dice(volumes.reshape(len(volumes), -1)), interval, change, change_interval))
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """The table, for a page."""
    return markdown_table(HEADER, [row.cells() for row in rows])


def csv_text(rows: Sequence[Row]) -> str:
    """The table with the arms' names first."""
    return csv_table(["arm", *HEADER], [[row.arm.name, *row.cells()] for row in rows])


def verdict(rows: Sequence[Row]) -> str:
    """Which parts change the Dice by more than chance over the test cases would, in one sentence."""
    changed = [
        row for row in rows if row.change_interval and (row.change_interval[0] > 0 or row.change_interval[1] < 0)
    ]
    compared = sum(row.change is not None for row in rows)
    if not compared:
        return "The whole and another arm are needed for a comparison."
    if not changed:
        return f"None of the {compared} changes the Dice by more than the test cases' own spread."
    told = "; ".join(f"{row.arm.title}: {row.change:+.2f}" for row in changed)
    return f"{len(changed)} of {compared} change the Dice by more than the test cases' own spread: {told}."


def _volumes(result: ArmResult) -> np.ndarray:
    """(cases, 3), in the order of the cases' names."""
    return np.array([volumes for _, *volumes in sorted(result.volumes)], float)


def _mean_dice(rows: np.ndarray) -> float:
    """Pooled Dice of each seed, their mean; rows (cases, seeds x 3)."""
    totals = rows.sum(axis=0).reshape(-1, 3)
    return float(np.mean([np.nan_to_num(dice_from_counts(*total)) for total in totals]))


def _change(rows: np.ndarray) -> float:
    """Mean Dice of an arm's seeds less that of the whole's; rows (cases, 2 x seeds x 3)."""
    half = rows.shape[1] // 2
    return _mean_dice(rows[:, :half]) - _mean_dice(rows[:, half:])


def _interval(rows: np.ndarray, statistic) -> tuple[float, float]:
    low, high = bootstrap_interval(rows, statistic=statistic)
    return float(low), float(high)


def _range(interval: tuple[float, float], sign: str = "") -> str:
    return f"{interval[0]:{sign}.2f} to {interval[1]:{sign}.2f}"
