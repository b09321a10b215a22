"""A plain folder of images with labels, and what Slicer exports: the layout of a site that has its own cases.

The label of an image has the image's name, with an ending that says what it is, or lies in a folder that says it:

    case1_ct.nii.gz  case1_fracture.nii.gz  case1_vertebrae.nii.gz     images/case1.nrrd  labels/case1.seg.nrrd
    patient7/CT.nrrd  patient7/Segmentation.seg.nrrd                   patient7/ct/*.dcm  patient7/fractures.seg.nrrd

A folder that holds one image (or one DICOM series) and one label is a pair whatever their names. In a Slicer
segmentation the segments' names tell fractures from vertebrae. The patient is the ``sub-`` entity of the name, else the
outermost folder that the files lie in, else the name; ``patients.csv`` (scan, patient) overrules. ``grades.csv`` (scan,
vertebra, grade) holds Genant grades.
"""

import re
from collections import Counter, defaultdict
from pathlib import Path

from SpineFractureSegLib.engine.data.folder import files_below, is_segmentation, part_in, stem
from SpineFractureSegLib.engine.data.patients import read_patients
from SpineFractureSegLib.engine.data.scan import DataSet, FractureMask, Hints, Scan, VertebraLabels
from SpineFractureSegLib.engine.data.slicer_segments import segments_in
from SpineFractureSegLib.engine.data.spreadsheet import read_table, whole_number
from SpineFractureSegLib.engine.data.vertebra_ids import NAMES, TABLES, vertebra_in
from SpineFractureSegLib.engine.dicom_files import is_dicom_file
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.volume import image_suffix

LAYOUT = "pairs of image and label"
LICENCE = "the owner's own"
MEANING = "as drawn by the owner of the data"
_ROLE_OF_WORD = {
    **dict.fromkeys(("ct", "cts", "image", "images", "img", "volume", "0000"), "image"),
    **dict.fromkeys(("fracture", "fractures"), "fracture"),
    **dict.fromkeys(("label", "labels", "mask", "masks", "seg", "segmentation", "segmentations"), "label"),
    **dict.fromkeys(("vertebrae", "vertebra", "vert", "msk", "totalsegmentator"), "vertebrae"),
    **dict.fromkeys(("bodies", "body"), "bodies"),
}
_LAST_WORD = re.compile(rf"(^|[_\-. ])({'|'.join(_ROLE_OF_WORD)})$", re.IGNORECASE)
_SUBJECT = re.compile(r"sub-([A-Za-z0-9]+)")
_DICOM_SAMPLE = 3  # files without a known ending that are looked into, per folder


def read(folder: Path, hints: Hints) -> DataSet | None:
    """The scans of a folder; None where no image has a label."""
    groups: dict[tuple[tuple[str, ...], str], dict[str, Path]] = defaultdict(dict)
    problems: dict[tuple, list[str]] = defaultdict(list)
    dicom: dict[tuple[str, ...], Path] = {}
    looked: dict[Path, int] = defaultdict(int)
    for path in files_below(folder):
        own = path.relative_to(folder).parts[:-1]
        if image_suffix(path) is None:
            looked[path.parent] += 1
            if looked[path.parent] <= _DICOM_SAMPLE and is_dicom_file(path):
                dicom.setdefault(_without_roles(own), path.parent)
            continue
        name, role = _name_and_role(path, own)
        key = (_without_roles(own), name)
        if role in groups[key]:
            problems[key].append(f"{role} twice, {groups[key][role].name} is used")
        else:
            groups[key][role] = path
    _join_lonely(groups)
    for (place, _), files in groups.items():
        series = [found for where, found in dicom.items() if where[: len(place)] == place and (place or not where)]
        if "image" not in files and sum(where == place for where, _ in groups) == 1 and len(series) == 1:
            files["image"] = series[0]
    if not any("image" in files and len(files) > 1 for files in groups.values()):
        return None
    patients, grades = read_patients(folder), _read_grades(folder)
    scans, names = [], Counter(name for _, name in groups)
    for key, files in sorted(groups.items()):
        place, name = key
        short = name if name and names[name] == 1 else "_".join([*place, *([name] if name else [])])
        scans.append(_scan(short, place, files, patients, grades, hints, problems[key]))
    _refuse_unmatched(folder, scans, patients, grades)
    return DataSet(LAYOUT, folder, tuple(scans), MEANING, LICENCE)


def _name_and_role(path: Path, folders: tuple[str, ...]) -> tuple[str, str]:
    """What is left of the name without the words that say what the file is, and what it is."""
    name, roles = stem(path), []
    while match := _LAST_WORD.search(name):
        roles.append(_ROLE_OF_WORD[match[2].lower()])
        name = name[: match.start()]
    roles += [role for word in reversed(folders) if (role := _ROLE_OF_WORD.get(word.lower().removesuffix("tr")))]
    roles.append("label" if is_segmentation(path) else "image")
    if roles[0] == "label":  # "fracture_mask" says more than "mask"
        roles = [role for role in roles if role not in ("label", "image")] or roles
    return name, roles[0]


def _without_roles(folders: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for word in folders if word.lower().removesuffix("tr") not in _ROLE_OF_WORD)


def _join_lonely(groups: dict[tuple, dict[str, Path]]) -> None:
    """Joins the one image and the one label of a place whose names have nothing in common."""
    by_place: dict[tuple, list[tuple]] = defaultdict(list)
    for key in groups:
        by_place[key[0]].append(key)
    for place, keys in by_place.items():
        if place and len(keys) == 2 and not set(groups[keys[0]]) & set(groups[keys[1]]):
            images = [key for key in keys if "image" in groups[key]]
            if len(images) == 1 and len(groups[images[0]]) == 1:
                other = next(key for key in keys if key != images[0])
                groups[images[0]].update(groups.pop(other))


def _scan(
    name: str,
    place: tuple[str, ...],
    files: dict[str, Path],
    patients: dict[str, str],
    grades: dict[str, dict[int, int]],
    hints: Hints,
    problems: list[str],
) -> Scan:
    table = TABLES[hints.label_ids]
    vertebrae = files.get("vertebrae") or files.get("bodies")
    labels = VertebraLabels(vertebrae, table, bodies_only="vertebrae" not in files) if vertebrae else None
    drawn = files.get("fracture") or files.get("label")
    fracture = FractureMask(drawn, named="fracture" in files) if drawn else None
    if drawn and (segments := segments_in(drawn)):
        if any(segment.is_fracture for segment in segments):
            fracture = FractureMask(drawn)
        elif any(segment.vertebra for segment in segments):
            fracture = None
        if labels is None and any(segment.vertebra for segment in segments):
            labels = VertebraLabels(drawn)
    subject = _SUBJECT.search(name)
    outer = [word for word in place if not part_in((word,))]
    return Scan(
        patient=patients.get(name) or (subject[1] if subject else outer[0] if outer else name),
        name=name,
        image=files.get("image"),
        vertebrae=labels,
        fracture=fracture,
        grades=grades.get(name),
        part=part_in(place),
        problems=tuple(problems),
    )


def _read_grades(folder: Path) -> dict[str, dict[int, int]]:
    path = folder / "grades.csv"
    if not path.is_file():
        return {}
    grades: dict[str, dict[int, int]] = defaultdict(dict)
    for number, row in enumerate(read_table(path, ("scan", "vertebra", "grade")), 2):
        vertebra = vertebra_in(row["vertebra"]) or whole_number(row["vertebra"])
        grade = whole_number(row["grade"])
        if vertebra not in NAMES or grade is None or grade > 3:
            raise UserError(
                f"'{path}' has '{row['vertebra']}' with grade '{row['grade']}' in row {number}, a vertebra such as L1 "
                "with a grade from 0 to 3 is expected: correct it."
            )
        grades[row["scan"]][vertebra] = grade
    return dict(grades)


def _refuse_unmatched(folder: Path, scans: list[Scan], *tables: dict) -> None:
    known = {scan.name for scan in scans}
    for table, file in zip(tables, ("patients.csv", "grades.csv"), strict=True):
        if strange := sorted(set(table) - known):
            raise UserError(
                f"'{folder / file}' names the scan '{strange[0]}', which is not there; the scans are called "
                f"{', '.join(sorted(known)[:4])} and so on: correct the table."
            )
