"""The vertebrae as a table: one row each, from the top down in a CSV file, the flagged ones first for reading."""

import csv
from collections.abc import Sequence
from pathlib import Path

from SpineFractureSegLib.engine.atomic_file import written_whole
from SpineFractureSegLib.engine.vertebrae.vertebra import PLACES, Vertebra

CSV_COLUMNS = (
    "number",
    "level",
    "flagged",
    "fracture_probability",
    "genant",
    *(f"{place}_mm" for place in PLACES),
    "width_mm",
    "depth_mm",
    *(f"{place}_loss" for place in PLACES),
    "trabecular_hu",
    "complete",
    "r_mm",
    "a_mm",
    "s_mm",
    "notes",
)
_DECIMALS = {"fracture_probability": 4, "trabecular_hu": 1} | {f"{place}_loss": 4 for place in PLACES}


def flagged_first(spine: Sequence[Vertebra]) -> list[Vertebra]:
    """In the order in which a reader wants them; from the top down among the flagged and among the others."""
    return sorted(spine, key=lambda vertebra: (not vertebra.flagged, vertebra.number))


def write_spine_csv(path: str | Path, spine: Sequence[Vertebra]) -> None:
    """One row per vertebra, from the top down, under ``CSV_COLUMNS``; what could not be measured is left empty.

    Lengths and positions (RAS) are in mm, losses shares of the height; UTF-8.

    Raises: UserError, when it cannot be written.
    """
    with written_whole(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        writer.writerows(csv_row(vertebra) for vertebra in spine)


def csv_row(vertebra: Vertebra) -> list[str]:
    """The cells of one vertebra, as ``CSV_COLUMNS``."""
    fields = vertebra.to_json()
    fields |= zip(("r_mm", "a_mm", "s_mm"), vertebra.centroid_ras_mm, strict=True)
    fields |= {f"{place}_loss": (vertebra.height_loss or {}).get(place) for place in PLACES}
    fields["notes"] = " ".join(vertebra.notes)
    return [_cell(name, fields[name]) for name in CSV_COLUMNS]


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.{_DECIMALS.get(name, 2)}f}" if isinstance(value, float) else str(value)
