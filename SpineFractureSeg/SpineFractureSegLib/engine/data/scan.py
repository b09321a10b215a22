"""What is known of one CT, whatever layout its data set has. Paths and small tables; no voxels.

Words: a *patient* has one scan or more; a data set is split by patients. A *grade* is Genant's: 0 intact, 1 mild (20 to
25 % of the height lost), 2 moderate (25 to 40 %), 3 severe. A *level* says of a vertebra that it is fractured or not,
without a grade. An *ungraded* vertebra is one of which nothing is said: it is neither fractured nor intact.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from SpineFractureSegLib.engine.data.vertebra_ids import VERSE

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class VertebraLabels:
    """A file whose voxels say which vertebra they belong to."""

    path: Path
    ids: Mapping[int, int] = field(default_factory=lambda: VERSE)  # value in the file -> VerSe id; others are dropped
    bodies_only: bool = False  # arch and processes were never labelled


@dataclass(frozen=True)
class FractureMask:
    """A file in which fractures were drawn."""

    path: Path
    values: tuple[int, ...] | None = None  # values that are fracture; None: all, in a segmentation those so named
    unknown: tuple[int, ...] = ()  # values that say that nothing is known there
    named: bool = True  # whether the file's name or content says that it is fractures; False: it is only assumed


@dataclass(frozen=True)
class Centroids:
    """A JSON file with one point per vertebral body, which shows whether CT and labels fit."""

    path: Path
    isotropic: bool = False  # points are counted in steps of 1 mm instead of in voxels of the CT


@dataclass(frozen=True)
class Box:
    """A rectangle round a fracture in one DICOM slice."""

    slice_name: str  # of the DICOM file, without its ending
    x: float  # first column, pixels
    y: float  # first row, pixels
    width: float
    height: float


@dataclass(frozen=True)
class Scan:
    """One CT and what is said of its fractures: by a mask, by grades, or by levels with or without boxes."""

    patient: str
    name: str  # unique in the data set
    image: Path | None  # file or DICOM folder
    vertebrae: VertebraLabels | None = None
    fracture: FractureMask | None = None
    grades: Mapping[int, int] | None = None  # id -> grade of the graded vertebrae; None: nobody graded this scan
    levels: Mapping[int, bool] | None = None  # id -> fractured; None: not known by level
    boxes: tuple[Box, ...] = ()
    centroids: Centroids | None = None
    part: str = ""  # "train", "validation" or "test" where the data set itself says so
    problems: tuple[str, ...] = ()  # found while reading the folder, a few words each

    @property
    def negative(self) -> bool:
        """Whether it is said of every level that it is not fractured."""
        return self.levels is not None and not any(self.levels.values())

    @property
    def usable(self) -> bool:
        """Whether a case can be made of it: there is a CT, and something can be learned from it."""
        return self.image is not None and bool(self.fracture or self.vertebrae or self.negative or self.boxes)

    @property
    def missing(self) -> tuple[str, ...]:
        """What one would like to have, a few words each."""
        missing = [] if self.image is not None else ["image"]
        if self.fracture is not None:
            return tuple(missing)
        if self.vertebrae is None:
            missing.append("vertebra labels")
        if self.grades is None and self.levels is None:
            missing.append("grades or fracture mask")
        if self.levels is not None and not self.negative and not self.boxes:
            missing.append("boxes")
        return tuple(missing)


@dataclass(frozen=True)
class DataSet:
    """All scans of a folder."""

    layout: str  # in words
    folder: Path
    scans: tuple[Scan, ...]
    label_meaning: str  # what a fracture voxel is
    licence: str
    notes: tuple[str, ...] = ()  # on the whole folder, one sentence each

    @property
    def patients(self) -> dict[str, list[Scan]]:
        """The scans of each patient, in order of name."""
        by_patient: dict[str, list[Scan]] = {}
        for scan in sorted(self.scans, key=lambda scan: (scan.patient, scan.name)):
            by_patient.setdefault(scan.patient, []).append(scan)
        return by_patient


@dataclass(frozen=True)
class Hints:
    """What the user says of a folder, because its files do not."""

    grades: Path | None = None  # spreadsheet of the grades
    label_ids: str = "verse"  # whose numbers plain vertebra label maps have: a key of ``vertebra_ids.TABLES``
    use_grades: bool = True  # False: no spreadsheet is looked for
