"""The cases that a user names: a ``cases.json``, or a folder in one of the layouts that ``engine.data`` reads.

    {"label_meaning": "...", "cases": [{"name": "p7", "image": "p7/ct.nrrd", "mask": "p7/fracture.seg.nrrd",
                                         "patient": "7", "role": "train"}]}

Paths are relative to the file. ``patient`` is the name where it is missing, ``role`` is "auto".
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from SpineFractureSegLib.engine.data.recognize import read_data_set
from SpineFractureSegLib.engine.data.scan import FractureMask, Scan
from SpineFractureSegLib.engine.errors import UserError

ROLES = ("train", "validation", "auto")
_FIELDS = ("name", "image", "mask", "patient", "role")


@dataclass(frozen=True)
class TuningCase:
    """A CT, the mask of its fractures, and what it is for.

    Raises: ValueError, when the role is none of ``ROLES``.
    """

    scan: Scan
    role: str = "auto"  # "train", "validation" (held out), or "auto": chosen by ``assign_roles``

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"role must be one of {', '.join(ROLES)}, not {self.role!r}")

    @property
    def name(self) -> str:
        return self.scan.name

    @property
    def patient(self) -> str:
        return self.scan.patient

    @classmethod
    def of(cls, name: str, image: str | Path, mask: str | Path, patient: str = "", role: str = "auto") -> "TuningCase":
        """A case of two files.

        Args:
            name: unique among the cases.
            image: CT, file or DICOM folder.
            mask: what is not 0 is fracture; in a Slicer segmentation the segments so named.
            patient: whose it is; empty: the name.
            role: one of ``ROLES``.
        """
        mask = Path(mask)
        drawn = FractureMask(mask, named="fract" in mask.name.lower())
        return cls(Scan(patient=patient or name, name=name, image=Path(image), fracture=drawn), role)


@dataclass(frozen=True)
class CaseList:
    """All cases that were named."""

    cases: tuple[TuningCase, ...]
    label_meaning: str = ""  # empty: nobody said


def read_cases(path: str | Path) -> CaseList:
    """Reads a ``cases.json`` or describes a folder; no voxels.

    Raises: UserError, when it is neither, or a case in it cannot be understood.
    """
    path = Path(path).expanduser()
    found = _of_folder(path) if path.is_dir() else _of_file(path)
    if not found.cases:
        raise UserError(f"'{path}' names no case, pairs of CT and mask are needed: add some.")
    twice = [name for name, count in Counter(case.name for case in found.cases).items() if count > 1]
    if twice:
        raise UserError(f"'{path}' names the case {twice[0]} twice, each name may stand once: rename one.")
    return found


def _of_folder(folder: Path) -> CaseList:
    data_set = read_data_set(folder)
    # scans without a mask stay in the list, so that the check says what they lack
    return CaseList(tuple(TuningCase(scan) for scan in data_set.scans), data_set.label_meaning)


def _of_file(path: Path) -> CaseList:
    expected = f"an object with a list 'cases' of objects with {', '.join(_FIELDS)} is expected"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows, meaning = content["cases"], content.get("label_meaning", "")
        if not isinstance(rows, list) or not isinstance(meaning, str):
            raise TypeError("cases is no list")
    except OSError as error:
        raise UserError(
            f"'{path}' cannot be read: {error.strerror}; name a cases.json or a folder of cases."
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"'{path}' lists no cases: {expected}; correct it.") from error
    return CaseList(tuple(_case(row, number, path, expected) for number, row in enumerate(rows, 1)), meaning)


def _case(row: Any, number: int, path: Path, expected: str) -> TuningCase:
    fields = row if isinstance(row, dict) else {}
    known = {name: value for name, value in fields.items() if name in _FIELDS}
    complete = {"name", "image", "mask"} <= known.keys() and len(known) == len(fields)
    if not complete or not all(isinstance(value, str) for value in known.values()) or not known["name"].strip():
        raise UserError(f"Case {number} of '{path}' is {json.dumps(row)[:80]}, {expected}; correct it.")
    known |= {key: path.parent / Path(known[key]).expanduser() for key in ("image", "mask")}
    try:
        return TuningCase.of(**known)
    except ValueError as error:
        raise UserError(f"Case {known['name']} of '{path}' cannot be used: {error}.") from error
