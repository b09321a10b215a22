"""Prepared cases as ``train`` takes them. Needs numpy alone: prepared on one machine, trained on another."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from SpineFractureSegLib.engine.case import load_about
from SpineFractureSegLib.engine.data.scan import PARTS
from SpineFractureSegLib.engine.errors import UserError, one_line


@dataclass(frozen=True)
class CaseFile:
    """A case that is not loaded."""

    path: Path
    patient: str
    source: str
    licence: str
    label_meaning: str


def case_files(folder: str | Path, part: str, *, optional: bool = False) -> list[CaseFile]:
    """The case files of a part of a folder that ``data prepare`` wrote, or all of a folder without parts.

    Args:
        folder: of cases.
        part: "train", "validation" or "test".
        optional: the part may be empty, and a folder without parts counts as training cases.

    Raises: UserError, when there are none, or a file is no case.
    """
    folder = Path(folder)
    parted = any((folder / name).is_dir() for name in PARTS)
    if optional and not (parted and (folder / part).is_dir()):
        return []
    paths = sorted((folder / part if parted else folder).glob("[!.]*.npz"))
    if not paths:
        raise UserError(
            f"'{folder}' holds no cases{f' in {part}' if parted else ''}, a folder that `data prepare` wrote is needed."
        )
    return [_case_file(path) for path in paths]


def without_patients(files: Iterable[CaseFile], held_out: set[str]) -> tuple[list[CaseFile], list[str]]:
    """The files of other patients, and the patients left out. Upper and lower case do not count."""
    names = {patient.lower() for patient in held_out}
    files = list(files)
    kept = [file for file in files if file.patient.lower() not in names]
    return kept, sorted({file.patient for file in files} - {file.patient for file in kept})


def refuse_shared_patients(training: Sequence[CaseFile], validation: Sequence[CaseFile]) -> None:
    """Raises: UserError, when a patient both trains and validates."""
    _, shared = without_patients(validation, {file.patient for file in training})
    if shared:
        raise UserError(
            f"Patient {shared[0]} trains and validates ({len(shared)} patients do), each may do one: prepare the cases "
            "from one folder, which is split by patient."
        )


def sources(files: Iterable[CaseFile]) -> tuple[str, ...]:
    """One line per source, with its licence and numbers, for a model card."""
    groups: dict[tuple[str, str], list[CaseFile]] = {}
    for file in files:
        groups.setdefault((file.source, file.licence), []).append(file)
    return tuple(
        f"{source}: {len(group)} scans of {len({file.patient for file in group})} patients, {licence}"
        for (source, licence), group in sorted(groups.items())
    )


def _case_file(path: Path) -> CaseFile:
    try:
        about = load_about(path)
        truth = about["truth"]
        return CaseFile(
            path,
            str(about["patient"]),
            str(truth.get("source", "cases without a source")),
            str(truth.get("licence", "licence not stated")),
            str(truth.get("label_meaning", "not stated")),
        )
    except Exception as error:  # numpy, zip and JSON each raise their own
        raise UserError(f"'{path}' is no case file ({one_line(error)}): prepare the cases again.") from error
