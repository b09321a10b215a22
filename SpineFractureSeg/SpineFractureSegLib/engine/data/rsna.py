"""RSNA 2022 Cervical Spine Fracture Detection, as unpacked from Kaggle.

``train.csv`` (StudyInstanceUID, patient_overall, C1 to C7: 0 or 1), ``train_images/<UID>/<slice>.dcm``,
``train_bounding_boxes.csv`` (x, y, width, height, StudyInstanceUID, slice_number; part of the fractured studies) and
``segmentations/<UID>.nii`` (87 studies; VerSe ids C1 to T12). ``slice_number`` is the name of a DICOM file. Volumes and
segmentations are brought together by their affine matrices: readers that flip axes disagree with one another.
"""

from collections import defaultdict
from pathlib import Path

from SpineFractureSegLib.engine.data.scan import Box, DataSet, Hints, Scan, VertebraLabels
from SpineFractureSegLib.engine.data.spreadsheet import read_table
from SpineFractureSegLib.engine.data.vertebra_ids import ID_OF_NAME, VERSE
from SpineFractureSegLib.engine.errors import UserError

LAYOUT = "RSNA 2022 cervical spine fractures"
LICENCE = "rules of the Kaggle competition, non-commercial (RSNA 2022)"
MEANING = "the part of a fractured cervical vertebra inside the boxes that radiologists drew"
_LEVELS = tuple(f"C{i}" for i in range(1, 8))
_STUDY = "StudyInstanceUID"
_BOX_COLUMNS = ("x", "y", "width", "height", _STUDY, "slice_number")


def read(folder: Path, hints: Hints) -> DataSet | None:
    """The studies of a folder of which there are images or labels; None where it lacks ``train.csv`` or images."""
    table, images, labels = (folder / name for name in ("train.csv", "train_images", "segmentations"))
    if not table.is_file() or not (images.is_dir() or labels.is_dir()):
        return None
    rows = read_table(table, (_STUDY, "patient_overall", *_LEVELS))
    levels = {row[_STUDY]: _levels(table, row) for row in rows}
    boxes = _boxes(folder / "train_bounding_boxes.csv")
    with_images = _names(images, lambda path: path.is_dir())
    with_labels = {path.name.split(".nii")[0]: path for path in _names(labels, Path.is_file).values()}
    scans = []
    for study in sorted(with_images.keys() | with_labels.keys()):
        labelled = with_labels.get(study)
        scans.append(
            Scan(
                patient=study,
                name=study,
                image=with_images.get(study),
                vertebrae=None if labelled is None else VertebraLabels(labelled, VERSE),
                levels=levels.get(study),
                boxes=tuple(boxes.get(study, ())),
                problems=() if study in levels else ("no row in train.csv",),
            )
        )
    absent = len(levels.keys() - with_images.keys())
    notes = (f"{absent} studies of train.csv have no images here.",) if absent else ()
    return DataSet(LAYOUT, folder, tuple(scans), MEANING, LICENCE, notes)


def _names(folder: Path, wanted) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {path.name: path for path in sorted(folder.iterdir()) if path.name[0] != "." and wanted(path)}


def _levels(table: Path, row: dict[str, str]) -> dict[int, bool]:
    cells = [row["patient_overall"], *(row[level] for level in _LEVELS)]
    if any(cell not in ("0", "1") for cell in cells):
        raise UserError(f"'{table}' has {cells} for study {row[_STUDY]}, 0 or 1 is expected: get the file again.")
    levels = {ID_OF_NAME[level]: row[level] == "1" for level in _LEVELS}
    if (row["patient_overall"] == "1") != any(levels.values()):
        raise UserError(
            f"'{table}' says patient_overall = {row['patient_overall']} for study {row[_STUDY]}, but its levels say "
            "otherwise: get the file again."
        )
    return levels


def _boxes(table: Path) -> dict[str, list[Box]]:
    boxes: dict[str, list[Box]] = defaultdict(list)
    if not table.is_file():
        return boxes
    for number, row in enumerate(read_table(table, _BOX_COLUMNS), 2):
        try:
            numbers = [float(row[column]) for column in _BOX_COLUMNS[:4]]
            name = str(int(float(row["slice_number"])))
        except ValueError as error:
            raise UserError(f"'{table}' has cells that are no numbers in row {number}: get the file again.") from error
        boxes[row[_STUDY]].append(Box(name, *numbers))
    return boxes
