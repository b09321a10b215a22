"""VerSe 2019 and 2020 as handed out for the challenges: all files of a part in one folder.

``verse004.nii.gz`` or ``verse004_CT-sag.nii.gz`` (CT), ``.._seg.nii.gz`` (vertebrae), ``.._iso-ctd.json`` (centroids in
steps of 1 mm). Some scans are called GL003. Which of them belong to one patient is not told in this layout.
"""

import re
from collections import defaultdict
from pathlib import Path

from SpineFractureSegLib.engine.data.folder import files_below, part_in
from SpineFractureSegLib.engine.data.scan import Centroids, DataSet, Hints, Scan, VertebraLabels
from SpineFractureSegLib.engine.data.verse import LICENCE, MEANING, grades_of
from SpineFractureSegLib.engine.data.vertebra_ids import TABLES

LAYOUT = "VerSe as handed out for the challenges"
_NAME = re.compile(
    r"(?P<scan>(?:verse|gl)(?P<number>\d+))(?:[_-]ct(?:[_-](?P<dir>[a-z]+?))?)?(?P<kind>_seg|_iso-ctd|_ctd)?"
    r"(?P<ending>\.nii|\.nii\.gz|\.json)",
    re.IGNORECASE,
)
_KINDS = {None: "image", "_seg": "labels", "_iso-ctd": "points", "_ctd": "points"}


def read(folder: Path, hints: Hints) -> DataSet | None:
    """The scans of a folder; None where no pair of CT and labels is named as here."""
    files: dict[str, dict[str, dict[str, tuple[Path, re.Match]]]] = defaultdict(lambda: defaultdict(dict))
    for path in files_below(folder):
        match = _NAME.fullmatch(path.name)
        if match is None or (match["ending"] == ".json") != ((match["kind"] or "").lower().endswith("ctd")):
            continue
        kind = _KINDS[match["kind"].lower() if match["kind"] else None]
        files[match["scan"].lower()][kind].setdefault((match["dir"] or "").lower(), (path, match))
    if not any("labels" in found for found in files.values()):
        return None
    grades = grades_of(folder, hints)
    scans = []
    for patient in sorted(files):
        found = files[patient]
        images = found["image"] or found["labels"] or found["points"]
        for direction in sorted(images):
            name = f"{patient}_{direction}" if len(images) > 1 else patient
            own = {kind: _choose(paths, direction, len(images) > 1) for kind, paths in found.items()}
            scans.append(_scan(folder, hints, patient, name, own, grades))
    note = "This layout does not tell which scans belong to one patient; each counts as a patient."
    return DataSet(LAYOUT, folder, tuple(scans), MEANING, LICENCE, (note,))


def _choose(paths: dict[str, tuple[Path, re.Match]], direction: str, several: bool) -> tuple[Path, re.Match] | None:
    """The file of a scan: of its own direction, or, where the patient has one scan, the only one."""
    return paths.get(direction) or (None if several or not paths else paths[min(paths)])


def _scan(folder: Path, hints: Hints, patient: str, name: str, own: dict, grades: tuple | None) -> Scan:
    image, labels, points = (own.get(kind) for kind in ("image", "labels", "points"))
    first = image or labels or points
    number, problems = int(first[1]["number"]), []
    known = None if grades is None or not patient.startswith("verse") else grades[1].get(number)
    if grades is not None and known is None:
        problems.append(f"no row in {grades[0].name}")
    return Scan(
        patient=patient,
        name=name,
        image=image[0] if image else None,
        vertebrae=VertebraLabels(labels[0], TABLES[hints.label_ids]) if labels else None,
        grades=known,
        centroids=Centroids(points[0], isotropic="iso" in points[1]["kind"].lower()) if points else None,
        part=part_in(first[0].relative_to(folder.parent).parts[:-1]),
        problems=tuple(problems),
    )
