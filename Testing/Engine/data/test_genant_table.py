import csv
import sys
import types

import pytest

from SpineFractureSegLib.engine.data.genant_table import LEVELS, read_grades
from SpineFractureSegLib.engine.data.vertebra_ids import NAMES
from SpineFractureSegLib.engine.errors import UserError

NAMES_18 = [NAMES[level] for level in LEVELS]
OTHERS = ["dataset", "age", "sex", "ct_scanner", "HU L1-L4", "contrast", "a", "b", "c", "d", "e"]  # columns 1 to 11
PLAIN = ["verse_ID", *OTHERS, *NAMES_18, *(f"{name}.1" for name in NAMES_18)]


def row(scan, **grades):
    cells = [grades.get(name, "x") for name in NAMES_18]
    deformities = ["wedge" if cell not in ("x", "0") else "x" for cell in cells]
    return [str(scan), "training", *["?"] * 10, *cells, *deformities]


def write(path, *rows, delimiter=","):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


ROWS = (row("4", T9="2", T10="2.0", L1="3", L2="0"), row("verse014", L1="0"))
EXPECTED = {4: {16: 2, 17: 2, 20: 3, 21: 0}, 14: {20: 0}}


@pytest.mark.parametrize(
    "header",
    [
        [PLAIN],
        # a word for the kind in every title, deformities before grades
        [["verse_ID", *OTHERS, *(f"{n}_fx_grade" for n in NAMES_18), *(f"{n}_deformity" for n in NAMES_18)]],
        # a merged cell above
        [
            ["", *[""] * 11, "Genant fracture grade", *[""] * 17, "fracture type", *[""] * 17],
            ["verse_ID", *OTHERS, *NAMES_18, *NAMES_18],
        ],
    ],
)
def test_grades_are_found_by_the_header(tmp_path, header):
    assert read_grades(write(tmp_path / "scores.csv", *header, *ROWS)) == EXPECTED


def test_columns_in_another_order_are_found_and_semicolons_read(tmp_path):
    turn = [0, *range(30, 48), *range(12, 30), *range(1, 12)]
    titles = ["verse_ID", *OTHERS, *(f"grade {n}" for n in NAMES_18), *(f"type {n}" for n in NAMES_18)]
    rows = [[cells[k] for k in turn] for cells in (titles, *ROWS)]
    assert read_grades(write(tmp_path / "scores.csv", *rows, delimiter=";")) == EXPECTED


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: [[*cells[:29], *cells[30:]] for cells in rows], "18 columns of grades and 17 of deformities"),
        (lambda rows: [cells[:30] for cells in rows], "18 columns of grades and 0 of deformities"),
        (lambda rows: [["id", *rows[0][1:]], *rows[1:]], "'verse_ID' is expected"),
        (lambda rows: [rows[0], [*rows[1][:12], "4", *rows[1][13:]]], "the grade '4' in row 2"),
        (lambda rows: [rows[0], [*rows[1][:12], "mild", *rows[1][13:]]], "the grade 'mild' in row 2"),
        (lambda rows: [*rows, rows[1]], "another row has already"),
        (lambda rows: rows[:1], "no row that begins with a number"),
    ],
)
def test_a_wrong_table_fails_loudly(tmp_path, change, said):
    with pytest.raises(UserError, match=r"scores\.csv") as error:
        read_grades(write(tmp_path / "scores.csv", *change([PLAIN, *ROWS])))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_an_excel_file_without_openpyxl_asks_for_csv(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    (tmp_path / "scores.xlsx").touch()
    with pytest.raises(UserError, match="save it as CSV"):
        read_grades(tmp_path / "scores.xlsx")


def test_an_excel_file_is_read_through_openpyxl(tmp_path, monkeypatch):
    """A stand-in with the three things that are used of it: numbers and empty cells come as such."""
    cells = [[None if cell == "x" else cell for cell in cells] for cells in (PLAIN, *ROWS)]
    cells[1][0], cells[1][24] = 4, 3.0
    book = types.SimpleNamespace(active=types.SimpleNamespace(values=cells), close=lambda: None)
    stand_in = types.SimpleNamespace(load_workbook=lambda path, **options: book)
    monkeypatch.setitem(sys.modules, "openpyxl", stand_in)
    assert read_grades(tmp_path / "scores.xlsx") == EXPECTED
