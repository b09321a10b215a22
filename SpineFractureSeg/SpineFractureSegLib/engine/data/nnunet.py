"""nnU-Net raw folders, of one data set or of several: ``Dataset001_Name/{dataset.json, imagesTr, labelsTr, ...}``.

Images are ``<case>_0000.nii.gz`` with the number of the channel; labels ``<case>.nii.gz``. The names of the labels in
``dataset.json`` say what they are: *fracture* in the name, a vertebra (``L1``, ``vertebra_T12``), *ignore* for what
nobody judged. Both versions of the file are read: name -> value or values (2), value -> name (1).
"""

import json
import re
from pathlib import Path

from SpineFractureSegLib.engine.data.folder import files_below, stem
from SpineFractureSegLib.engine.data.patients import read_patients
from SpineFractureSegLib.engine.data.scan import DataSet, FractureMask, Hints, Scan, VertebraLabels
from SpineFractureSegLib.engine.data.vertebra_ids import vertebra_in
from SpineFractureSegLib.engine.errors import UserError, one_line
from SpineFractureSegLib.engine.volume import image_suffix

LAYOUT = "nnU-Net raw folders"
LICENCE = "of the data set's owner"
MEANING = "as labelled in the nnU-Net data set"
_CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")


def read(folder: Path, hints: Hints) -> DataSet | None:
    """The cases of one raw data set or of all in a folder; None where there is none."""
    roots = [path for path in [folder, *sorted(folder.iterdir())] if _is_data_set(path)]
    if not roots:
        return None
    scans = [scan for root in roots for scan in _scans(root, root.name if len(roots) > 1 else "")]
    notes = (
        ()
        if any(scan.patient != scan.name for scan in scans)
        else (
            "Nothing tells which cases belong to one patient; each counts as a patient "
            "(patients.csv beside dataset.json can tell: scan,patient).",
        )
    )
    return DataSet(LAYOUT, folder, tuple(scans), MEANING, LICENCE, notes)


def _is_data_set(path: Path) -> bool:
    return (path / "dataset.json").is_file() and (path / "imagesTr").is_dir()


def _scans(root: Path, prefix: str) -> list[Scan]:
    channel, fracture, unknown, vertebrae = _read_description(root / "dataset.json")
    patients = read_patients(root)
    scans = []
    for images, labels, part in (("imagesTr", "labelsTr", "train"), ("imagesTs", "labelsTs", "test")):
        found = _by_case(root / images, channel)
        truth = {stem(path): path for path in _images_in(root / labels)}
        for case in sorted(found.keys() | truth.keys()):
            label = truth.get(case)
            name = f"{prefix}_{case}" if prefix else case
            scans.append(
                Scan(
                    patient=patients.get(case, name),
                    name=name,
                    image=found.get(case),
                    vertebrae=VertebraLabels(label, vertebrae) if label and vertebrae else None,
                    fracture=FractureMask(label, fracture, unknown) if label and fracture else None,
                    part=part,
                    problems=() if label else (f"no label in {labels}",),
                )
            )
    return scans


def _images_in(folder: Path) -> list[Path]:
    return [path for path in files_below(folder) if image_suffix(path)] if folder.is_dir() else []


def _by_case(folder: Path, channel: int) -> dict[str, Path]:
    found = {}
    for path in _images_in(folder):
        match = _CHANNEL.fullmatch(stem(path))
        if match and int(match["channel"]) == channel:
            found[match["case"]] = path
    return found


def _read_description(path: Path) -> tuple[int, tuple[int, ...], tuple[int, ...], dict[int, int]]:
    """The CT's channel, values of fracture, values of which nothing is known, and value -> id of vertebrae."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        labels = _values_by_name(about["labels"])
        channels = about.get("channel_names") or about.get("modality") or {"0": "CT"}
        channel = next((int(k) for k, name in channels.items() if "ct" in str(name).lower().split("_")), 0)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"'{path}' cannot be used ({type(error).__name__}: {one_line(error)}), labels and channel_names as nnU-Net "
            "has them are expected: correct it."
        ) from error
    fracture = {v for name, values in labels.items() if "fract" in name.lower() for v in values}
    unknown = {v for name, values in labels.items() if name.lower() == "ignore" for v in values}
    vertebrae = {
        value: vertebra_in(name)
        for name, values in labels.items()
        for value in values
        if vertebra_in(name) and "fract" not in name.lower()
    }
    if not fracture and not vertebrae:
        raise UserError(
            f"'{path}' has the labels {', '.join(labels)}, one with 'fracture' in its name or names of vertebrae "
            "(L1, vertebra_T12) are expected: rename the labels there."
        )
    return channel, tuple(sorted(fracture)), tuple(sorted(unknown)), vertebrae


def _values_by_name(labels: dict) -> dict[str, tuple[int, ...]]:
    """Both versions of the table; 0 is background, whatever it is called."""
    if all(str(key).isdigit() for key in labels):
        labels = {str(name): int(value) for value, name in labels.items()}
    values = {name: tuple(value) if isinstance(value, list) else (int(value),) for name, value in labels.items()}
    return {name: tuple(v for v in own if v != 0) for name, own in values.items() if any(own)}
