"""VerSe 2019 and 2020 in subject folders, and any data set named the same way (BIDS).

``<any folders>/sub-verse004/sub-verse004[_dir-..][_split-..]_ct.nii.gz`` with ``.._seg-vert_msk.nii.gz`` (vertebrae)
and ``.._seg-subreg_ctd.json`` (centroids), ``rawdata`` and ``derivatives`` apart or together. A name is a list of
*entities* ``key-value`` in any order and a *suffix* (ct, msk, ctd). A scan is one combination of all entities but
``dir`` (how it was reformatted; often only some of its files say it) and ``seg``; where two images differ in nothing
but ``dir``, they are two scans. ``split-verse266`` is what the scan was called before its patient was known to have
another.
"""

from collections import defaultdict
from pathlib import Path

from SpineFractureSegLib.engine.data.folder import files_below, part_in
from SpineFractureSegLib.engine.data.genant_table import read_grades
from SpineFractureSegLib.engine.data.scan import Centroids, DataSet, Hints, Scan, VertebraLabels
from SpineFractureSegLib.engine.data.spreadsheet import SUFFIXES
from SpineFractureSegLib.engine.data.vertebra_ids import TABLES
from SpineFractureSegLib.engine.errors import UserError

LAYOUT = "VerSe in subject folders"
LICENCE = "CC BY-SA 4.0 (VerSe)"
MEANING = "the body of a vertebra that was graded as fractured"
_ENDINGS = {"ct": (".nii.gz", ".nii"), "msk": (".nii.gz", ".nii"), "ctd": (".json",)}
_SHEET_WORDS = ("score", "grade", "genant", "verse")


def read(folder: Path, hints: Hints) -> DataSet | None:
    """The scans of a folder; None where no file is named as here."""
    files: dict[tuple, dict[str, dict[str, Path]]] = defaultdict(lambda: defaultdict(dict))
    problems: dict[tuple, list[str]] = defaultdict(list)
    for path in files_below(folder):
        entities, suffix = parse_name(path.name)
        if not suffix or "sub" not in entities or (suffix != "ct" and "seg" not in entities):
            continue
        if suffix == "msk" and entities["seg"] != "vert":
            continue  # masks of subregions
        direction = entities.pop("dir", "")
        entities.pop("seg", None)
        key = (entities.pop("sub"), *sorted(entities.items()))
        if direction in files[key][suffix]:
            problems[key].append(f"{suffix} twice, the one in {files[key][suffix][direction].parent.name} is used")
        else:
            files[key][suffix][direction] = path
    known = [key for key, found in files.items() if "msk" in found or key[0].lower().startswith("verse")]
    if not known:
        return None
    grades = grades_of(folder, hints)
    scans = []
    for key in sorted(known):
        for direction in _directions(files[key]):
            scans.append(_scan(folder, hints, key, direction, files[key], grades, problems[key]))
    return DataSet(LAYOUT, folder, tuple(scans), MEANING, LICENCE)


def parse_name(name: str) -> tuple[dict[str, str], str]:
    """Entities and suffix of a file name; the suffix is empty where this is no file of a scan.

    >>> parse_name("sub-verse409_split-verse266_seg-vert_msk.nii.gz")
    ({'sub': 'verse409', 'split': 'verse266', 'seg': 'vert'}, 'msk')
    >>> parse_name("sub-1_seg-vert_snp.png")[1]
    ''
    """
    base = next((name[: -len(e)] for endings in _ENDINGS.values() for e in endings if name.endswith(e)), None)
    if base is None:
        return {}, ""
    *entities, suffix = base.split("_")
    if suffix not in _ENDINGS or not name.endswith(_ENDINGS[suffix]) or not all("-" in word for word in entities):
        return {}, ""
    return dict(word.split("-", 1) for word in entities), suffix


def grades_of(folder: Path, hints: Hints) -> tuple[Path, dict[int, dict[int, int]]] | None:
    """The one spreadsheet of grades in a folder or the folders in it, and what it says; None where there is none.

    Raises: UserError, when there are several, or it cannot be used.
    """
    if not hints.use_grades:
        return None
    path = hints.grades
    if path is None:
        sheets = [
            sheet for pattern in ("*", "*/*") for sheet in sorted(folder.glob(pattern)) if _may_hold_grades(sheet)
        ]
        if len(sheets) > 1:
            raise UserError(
                f"'{folder}' holds {len(sheets)} tables that may be the grades "
                f"({', '.join(sheet.name for sheet in sheets[:4])}), one is needed: choose it with --grades, or none "
                "with --no-grades."
            )
        path = sheets[0] if sheets else None
    return None if path is None else (path, read_grades(path))


def _may_hold_grades(path: Path) -> bool:
    name = path.name.lower()
    return name.endswith(SUFFIXES) and name[0] not in ".~" and any(word in name for word in _SHEET_WORDS)


def _directions(found: dict[str, dict[str, Path]]) -> list[str | None]:
    """The ``dir`` of each scan under one key; None where all files belong to one scan, whatever they say."""
    images = found.get("ct") or found.get("msk") or found.get("ctd", {})
    return sorted(images) if len(images) > 1 else [None]


def _scan(
    folder: Path,
    hints: Hints,
    key: tuple,
    direction: str | None,
    found: dict[str, dict[str, Path]],
    grades: tuple[Path, dict[int, dict[int, int]]] | None,
    problems: list[str],
) -> Scan:
    patient, *entities = key
    words = [f"sub-{patient}", *(f"{k}-{v}" for k, v in entities), *([f"dir-{direction}"] if direction else [])]
    problems = list(problems)

    def file_of(suffix: str) -> Path | None:
        choices = found.get(suffix, {})
        if direction is not None:
            return choices.get(direction)
        if len(choices) > 1:
            problems.append(f"{len(choices)} files of kind {suffix}, the first is used")
        return choices[min(choices)] if choices else None

    image, mask, points = file_of("ct"), file_of("msk"), file_of("ctd")
    known = None
    if grades is not None:
        known = next((grades[1][n] for n in _numbers(dict(entities).get("split", ""), patient) if n in grades[1]), None)
        if known is None:
            problems.append(f"no row in {grades[0].name}")
    return Scan(
        patient=patient.lower(),
        name="_".join(words),
        image=image,
        vertebrae=None if mask is None else VertebraLabels(mask, TABLES[hints.label_ids]),
        grades=known,
        centroids=None if points is None else Centroids(points),
        part=part_in((image or mask or points).relative_to(folder.parent).parts[:-1]),
        problems=tuple(problems),
    )


def _numbers(*names: str) -> list[int]:
    """The number at the end of each name that has one: the scan's own first, then the patient's."""
    digits = [name[len(name.rstrip("0123456789")) :] for name in names]
    return [int(number) for number in digits if number]
