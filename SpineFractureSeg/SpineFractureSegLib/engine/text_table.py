"""A table as text: Markdown for a page, CSV for a program."""

import csv
import io
from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """One line per row, the header first.

    >>> print(markdown_table(["network", "Dice"], [["U-Net", "0.5"]]), end="")
    | network | Dice |
    | --- | --- |
    | U-Net | 0.5 |
    """
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def csv_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The same with commas; cells that hold one are quoted."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return file.getvalue()
