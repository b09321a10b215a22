"""Whose scan it is, where file names do not say it: ``patients.csv`` with the columns scan and patient."""

from pathlib import Path

from SpineFractureSegLib.engine.data.spreadsheet import read_table
from SpineFractureSegLib.engine.errors import UserError

FILE = "patients.csv"


def read_patients(folder: Path) -> dict[str, str]:
    """Scan -> patient; empty where the folder has no such table.

    Raises: UserError, when its header is another, or a scan stands in it twice.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    rows = read_table(path, ("scan", "patient"))
    patients = {row["scan"]: row["patient"] for row in rows}
    if len(patients) < len(rows) or not all(patients.values()):
        raise UserError(f"'{path}' has a scan twice or without its patient, one row per scan is expected: correct it.")
    return patients
