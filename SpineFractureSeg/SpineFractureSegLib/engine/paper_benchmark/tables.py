"""From results to the two tables, as rows, Markdown and CSV."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from SpineFractureSegLib.engine.paper_benchmark.cost import Cost
from SpineFractureSegLib.engine.paper_benchmark.entries import ABLATION, COMPARISON, OURS, Entry
from SpineFractureSegLib.engine.paper_benchmark.run import NetworkResult
from SpineFractureSegLib.engine.paper_benchmark.slice_scores import summarize
from SpineFractureSegLib.engine.text_table import csv_table, markdown_table

TITLES = {
    COMPARISON: "Comparison with other networks (the paper's Table 2)",
    ABLATION: "Ablation: the proposed network without one of its modules",
}
HEADER = (
    "network",
    "DSC % (95 %)",
    "axial DSC %",
    "sagittal DSC %",
    "IoU %",
    "pooled DSC %",
    "pooled IoU %",
    "two-class IoU %",
    "DSC % of all slices",
    "paper DSC %",
    "paper IoU %",
    "M parameters",
    "GFLOP/slice",
    "ms CPU",
    "ms GPU",
    "epochs",
    "ended by",
    "seeds",
)


@dataclass(frozen=True)
class Row:
    """One network over its seeds. Scores are shares, the paper's are percent."""

    entry: Entry
    all_planes: dict  # of slices with a fracture, as ``planes``
    planes: dict[str, dict]
    all_slices: dict
    results: tuple[NetworkResult, ...]

    def cells(self) -> list[str]:
        """Texts under ``HEADER``."""
        scores = self.all_planes
        low, high = scores["dice_interval"]
        return [
            self.entry.title,
            f"{_percent(scores['dice'])} ({_percent(low)} to {_percent(high)})",
            *(_percent(self.planes[plane]["dice"]) if plane in self.planes else "-" for plane in ("axial", "sagittal")),
            *(_percent(scores[name]) for name in ("iou", "dice_pooled", "iou_pooled", "iou_two_class")),
            _percent(self.all_slices["dice"]),
            *("-" if value is None else f"{value:.2f}" for value in (self.entry.paper_dice, self.entry.paper_iou)),
            *_cost_cells(self.results[0].cost),
            ", ".join(str(result.epochs) for result in self.results),
            ", ".join(dict.fromkeys(result.ended_by for result in self.results)),
            str(len(self.results)),
        ]


def table_rows(entries: Sequence[Entry], results: Sequence[NetworkResult]) -> list[Row]:
    """A row for each entry that has results, in the order of the entries."""
    rows = []
    for entry in entries:
        own = tuple(result for result in results if result.name == entry.name)
        if own:
            runs = [result.counts for result in own]
            planes = dict.fromkeys(count.plane for count in runs[0])
            by_plane = {plane: summarize(runs, plane) for plane in planes}
            rows.append(Row(entry, summarize(runs), by_plane, summarize(runs, all_slices=True), own))
    return rows


def rows_of(rows: Sequence[Row], table: str) -> list[Row]:
    """The rows of COMPARISON or ABLATION: the proposed network, the others, and ours beyond the paper in the first."""
    shown = (COMPARISON, OURS) if table == COMPARISON else (table,)
    return [row for row in rows if row.entry.table in shown or row.entry.name == "proposed"]


def verdict(rows: Sequence[Row]) -> str:
    """Whether the proposed network is the best of the table, and whether that may be chance, in one sentence."""
    scored = [row for row in rows if not math.isnan(row.all_planes["dice"])]
    if len(scored) < 2 or not any(row.entry.name == "proposed" for row in scored):
        return "The proposed network and another one are needed for a comparison."
    ranked = sorted(scored, key=lambda row: -row.all_planes["dice"])
    place = next(number for number, row in enumerate(ranked, start=1) if row.entry.name == "proposed")
    other = ranked[1] if place == 1 else ranked[0]
    found = f"{other.entry.title} with {_percent(other.all_planes['dice'])} %"
    chance = ", within the intervals" if _overlap(ranked[place - 1], other) else ""
    if place == 1:
        return f"The proposed network is the best of {len(ranked)}; next is {found}{chance}."
    return f"The proposed network is number {place} of {len(ranked)}, not the best, which is {found}{chance}."


def markdown(rows: Sequence[Row]) -> str:
    """The table, for a page."""
    return markdown_table(HEADER, [row.cells() for row in rows])


def csv_text(rows: Sequence[Row]) -> str:
    """All rows, with the table's name first."""
    return csv_table(["table", *HEADER], [[row.entry.table, *row.cells()] for row in rows])


def _cost_cells(cost: Cost | None) -> list[str]:
    if cost is None:
        return ["-"] * 4
    ms_gpu = "-" if cost.ms_gpu is None else f"{cost.ms_gpu:.1f}"
    return [f"{cost.parameters / 1e6:.2f}", f"{cost.gflops:.2f}", f"{cost.ms_cpu:.0f}", ms_gpu]


def _overlap(one: Row, other: Row) -> bool:
    (low, high), (other_low, other_high) = one.all_planes["dice_interval"], other.all_planes["dice_interval"]
    return low <= other_high and other_low <= high


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.2f}"
