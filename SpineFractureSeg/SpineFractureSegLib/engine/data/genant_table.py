"""The spreadsheet of VerSe 2019: one row per scan, Genant grades and deformity types of T1 to T12 and L1 to L6.

Columns are found by their headers. The literal headers differ between copies of the file: the name of the level, with a
word for what is meant beside it or in a merged cell above; where there is no such word, the first column of a level is
its grade and the second its deformity. Whatever is not exactly 18 grades and 18 deformities is refused.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from SpineFractureSegLib.engine.data.spreadsheet import read_rows, whole_number
from SpineFractureSegLib.engine.data.vertebra_ids import ID_OF_NAME, vertebra_in
from SpineFractureSegLib.engine.errors import UserError

LEVELS = tuple(ID_OF_NAME[name] for name in [*(f"T{i}" for i in range(1, 13)), *(f"L{i}" for i in range(1, 7))])
_NOT_GRADED = ("", "x", "na", "n/a", "nan", "-")
_HEADER_ROWS = 3  # at most
_SCAN = re.compile(r"(?:sub-)?(?:verse)?0*(\d+)(?:\.0*)?", re.IGNORECASE)
_GRADE_WORDS, _DEFORMITY_WORDS = ("grade", "genant"), ("deform", "type", "case", "shape")


def read_grades(path: Path) -> dict[int, dict[int, int]]:
    """Number of the scan -> id -> grade, of the graded vertebrae alone.

    Raises: UserError, when the header or a cell is not what the data set has; the message quotes it.
    """
    rows = read_rows(path)
    first = next((k for k, row in enumerate(rows[: _HEADER_ROWS + 1]) if k and _SCAN.fullmatch(row[0])), None)
    if first is None:
        raise UserError(
            f"'{path}' has no row that begins with a number of a scan below its header, the grades of VerSe are "
            "expected (verse_ID, ..., T1 to L6): choose the right table with --grades."
        )
    titles = _titles(rows[:first])
    if "verse_id" not in re.sub(r"[ -]", "_", titles[0].lower()):
        raise UserError(
            f"'{path}' begins with the column '{titles[0]}', 'verse_ID' is expected: choose the right table with "
            "--grades or correct its header."
        )
    columns = _grade_columns(path, titles)
    grades: dict[int, dict[int, int]] = {}
    for number, row in enumerate(rows[first:], first + 1):
        if not row[0]:
            continue
        scan = _SCAN.fullmatch(row[0])
        if scan is None or int(scan[1]) in grades:
            found = "no number of a scan" if scan is None else "a scan that another row has already"
            raise UserError(f"'{path}' has {found} in row {number} ('{row[0]}'), one row per scan is expected.")
        row = row + [""] * (len(titles) - len(row))
        cells = {vertebra: row[column] for vertebra, column in columns.items()}
        grades[int(scan[1])] = {v: _grade(path, number, c) for v, c in cells.items() if c.lower() not in _NOT_GRADED}
    return grades


def _titles(header: Sequence[Sequence[str]]) -> list[str]:
    """One title per column: the words of all header rows, merged cells of the upper rows repeated to the right."""
    width = max(map(len, header))
    columns = [[""] * width for _ in header]
    for level, row in enumerate(header):
        last = ""
        for column in range(width):
            cell = row[column] if column < len(row) else ""
            last = cell or (last if level < len(header) - 1 else "")
            columns[level][column] = last
    return [" ".join(words).strip() for words in zip(*columns, strict=True)]


def _grade_columns(path: Path, titles: Sequence[str]) -> dict[int, int]:
    """Id -> column of its grade."""
    found: dict[str, dict[int, list[int]]] = {"grade": {}, "deformity": {}, "unsaid": {}}
    for column, title in enumerate(titles):
        vertebra = vertebra_in(title)
        if vertebra in LEVELS:
            said = title.lower()
            deformity, grade = (any(w in said for w in words) for words in (_DEFORMITY_WORDS, _GRADE_WORDS))
            kind = "unsaid" if grade == deformity else "grade" if grade else "deformity"
            found[kind].setdefault(vertebra, []).append(column)
    if not found["grade"] and not found["deformity"]:
        for vertebra, columns in found["unsaid"].items():
            found["grade"][vertebra] = columns[:1]
            if columns[1:]:
                found["deformity"][vertebra] = columns[1:]
    counts = [sum(map(len, found[kind].values())) for kind in ("grade", "deformity")]
    if counts != [len(LEVELS)] * 2 or any(len(found[kind]) != len(LEVELS) for kind in ("grade", "deformity")):
        raise UserError(
            f"'{path}' has {counts[0]} columns of grades and {counts[1]} of deformities of T1 to T12 and L1 to L6, "
            f"{len(LEVELS)} of each are expected: correct its header or choose the right table with --grades."
        )
    return {vertebra: columns[0] for vertebra, columns in found["grade"].items()}


def _grade(path: Path, row: int, cell: str) -> int:
    grade = whole_number(cell)
    if grade is None or grade > 3:
        raise UserError(f"'{path}' has the grade '{cell}' in row {row}, 0, 1, 2, 3 or x is expected: correct it.")
    return grade
