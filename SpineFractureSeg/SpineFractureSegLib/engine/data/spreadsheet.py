"""Small tables: CSV with the standard library, XLSX through openpyxl where it is installed. Cells are text."""

import csv
import re
from pathlib import Path

from SpineFractureSegLib.engine.errors import UserError, one_line

SUFFIXES = (".csv", ".xlsx")


def read_rows(path: Path) -> list[list[str]]:
    """The rows of a table, cells stripped; of an .xlsx file the first sheet.

    Raises: UserError, when it cannot be read.
    """
    if path.suffix.lower() == ".xlsx":
        return _read_xlsx(path)
    if path.suffix.lower() != ".csv":
        raise UserError(f"'{path}' is no table that can be read, {' or '.join(SUFFIXES)} is needed: save it as CSV.")
    try:
        text = path.read_text(encoding="utf-8-sig")
        first = text.split("\n", 1)[0]
        separator = max(",;\t", key=first.count)  # spreadsheets write what their country uses
        return [
            [cell.strip() for cell in row] for row in csv.reader(text.splitlines(), delimiter=separator) if any(row)
        ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"'{path}' cannot be read as CSV: {one_line(error)}; save it again as CSV in UTF-8.") from error


def read_table(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a table that must have these columns; others are left out.

    Raises: UserError, when a column is missing or a row has another length than the header.
    """
    rows = read_rows(path)
    header = rows[0] if rows else []
    if missing := [column for column in columns if header.count(column) != 1]:
        raise UserError(
            f"'{path}' has the columns {_shown(header)}, expected once each: {', '.join(columns)} "
            f"(not so: {', '.join(missing)}); correct its first row."
        )
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise UserError(
                f"'{path}' has {len(row)} cells in row {number}, its header {len(header)}: correct the row."
            )
    return [{column: row[header.index(column)] for column in columns} for row in rows[1:]]


def whole_number(text: str) -> int | None:
    """The number in a cell, with the ``.0`` that spreadsheets add; None where there is none.

    >>> whole_number("3.0"), whole_number("x"), whole_number("1.5")
    (3, None, None)
    """
    return int(text.split(".")[0]) if re.fullmatch(r"\d+(\.0*)?", text) else None


def _read_xlsx(path: Path) -> list[list[str]]:
    try:
        import openpyxl
    except ImportError as error:
        raise UserError(
            f"'{path}' is an Excel file, and openpyxl, which reads them, is not installed: save it as CSV, "
            "or install openpyxl."
        ) from error
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        rows = [["" if cell is None else str(cell).strip() for cell in row] for row in book.active.values]
        book.close()
    except Exception as error:  # openpyxl raises what zip and XML raise
        raise UserError(f"'{path}' cannot be read as Excel file: {one_line(error)}; save it as CSV.") from error
    return [row for row in rows if any(row)]


def _shown(header: list[str]) -> str:
    text = ", ".join(header) or "(none)"
    return text if len(text) <= 120 else f"{text[:117]}..."
