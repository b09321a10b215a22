"""CTSpine1K: CTs of five collections with vertebrae (VerSe ids), no grades.

Images ``<name>.nii.gz`` and labels ``<name>_seg.nii.gz`` in any folders; ``data_split.txt`` with the sections trainset,
test_public and test_private. Names: COLONOG ``1.3.6.1.4.1.9328.50.4.0001`` (or CTC-...), MSD ``liver_1``, COVID-19
``volume-covid19-A-0001_ct``, head and neck ``HN_P001``.
"""

import re
from pathlib import Path

from SpineFractureSegLib.engine.data.folder import files_below, stem
from SpineFractureSegLib.engine.data.scan import DataSet, Hints, Scan, VertebraLabels
from SpineFractureSegLib.engine.data.vertebra_ids import VERSE
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.volume import image_suffix

LAYOUT = "CTSpine1K"
LICENCE = "CC BY-NC-SA (CTSpine1K)"
MEANING = "none: vertebrae are labelled, fractures are not"
_SPLIT = "data_split.txt"
_SECTIONS = {"trainset": "train", "test_public": "validation", "test_private": "test"}
_NAME = re.compile(
    r"(1\.3\.6\.1\.4\.1\.9328\.50\.4\.\d+|CTC-\d+|liver_\d+|volume-covid19-A-\d+|HN_P\d+)[^/]*", re.IGNORECASE
)
_LABEL = "_seg"


def read(folder: Path, hints: Hints) -> DataSet | None:
    """The scans of a folder; None where no label is named in ``data_split.txt`` or as in this data set."""
    files = list(files_below(folder))
    split = next((path for path in files if path.name == _SPLIT), None)
    parts = {} if split is None else _read_split(split)
    named = {stem(path): path for path in files if image_suffix(path)}
    labels = {name.removesuffix(_LABEL): path for name, path in named.items() if name.endswith(_LABEL)}
    labels = {name: path for name, path in labels.items() if name in parts or _NAME.fullmatch(name)}
    if not labels:
        return None
    images = {name: path for name, path in named.items() if name in parts or name in labels or _NAME.fullmatch(name)}
    images = {name: path for name, path in images.items() if not name.endswith(_LABEL)}
    scans = [
        Scan(
            patient=name,
            name=name,
            image=images.get(name),
            vertebrae=VertebraLabels(labels[name], VERSE) if name in labels else None,
            part=parts.get(name, ""),
            problems=() if not parts or name in parts else (f"not in {_SPLIT}",),
        )
        for name in sorted(images.keys() | labels.keys())
    ]
    notes = ["Nothing tells which scans of COLONOG belong to one patient; each counts as a patient."]
    if absent := len(parts.keys() - images.keys()):
        notes.append(f"{absent} scans of {_SPLIT} have no image here.")
    return DataSet(LAYOUT, folder, tuple(scans), MEANING, LICENCE, tuple(notes))


def _read_split(path: Path) -> dict[str, str]:
    """Name of the scan -> part."""
    parts, part = {}, ""
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        word = line.strip().strip(",;'\"")
        if word.rstrip(": ").lower() in _SECTIONS:
            part = _SECTIONS[word.rstrip(": ").lower()]
        elif word and not part:
            raise UserError(
                f"'{path}' begins with '{word}', one of the sections {', '.join(_SECTIONS)} is expected: "
                "get the file again."
            )
        elif word:
            parts[stem(Path(word)).removesuffix(_LABEL)] = part
    return parts
