"""A case: one CT on the working grid with what is known of its vertebrae. Simulated and real ones look the same.

The simulator writes cases, the trainer and the accuracy benchmark read them. One ``.npz`` file each, numpy alone, so
that a training machine needs neither SimpleITK nor the CT files.

Words: a *body* is a vertebral body without arch and processes. Vertebra ids are VerSe's: 1-7 C1-C7, 8-19 T1-T12,
20-25 L1-L6, 28 T13. What is fractured is told in two ways: by ids of bodies, or voxel by voxel in a *fracture map*,
for masks that were drawn and for places of which nothing is known. Where the map says something it overrules the ids.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from SpineFractureSegLib.engine.atomic_file import written_whole

BACKGROUND, INTACT, FRACTURED, UNCERTAIN = range(4)  # classes of a voxel
MAP_SILENT, MAP_FRACTURE, MAP_UNKNOWN = range(3)  # values of a fracture map; silent: what the ids say


@dataclass(frozen=True)
class Case:
    """One CT and its truth on the working grid: LPS axes, arrays (slice z up, row y to the back, column x to the left).

    Raises: ValueError, when the arrays differ in shape or an id is both fractured and uncertain.
    """

    name: str
    patient: str  # splits are by patient
    hu: np.ndarray  # int16 (Z, Y, X), Hounsfield units
    bodies: np.ndarray  # uint8 (Z, Y, X), id of the vertebral body, 0 elsewhere
    fractured: tuple[int, ...] = ()  # ids whose whole body is the fracture
    uncertain: tuple[int, ...] = ()  # ids between intact and fractured, or ungraded: left out of loss and score
    has_bodies: bool = True  # False: a real CT without vertebra labels; the vertebra loss is left out
    spacing_mm: float = 1.0
    truth: dict = field(
        default_factory=dict
    )  # per id: type, height losses, grade; what made the image; JSON types only
    fracture_map: np.ndarray | None = None  # uint8 (Z, Y, X), MAP_ values; None: silent everywhere

    def __post_init__(self) -> None:
        if self.hu.shape != self.bodies.shape:
            raise ValueError(f"hu {self.hu.shape} and bodies {self.bodies.shape} must have one shape")
        if self.fracture_map is not None and self.fracture_map.shape != self.hu.shape:
            raise ValueError(f"hu {self.hu.shape} and fracture_map {self.fracture_map.shape} must have one shape")
        if both := set(self.fractured) & set(self.uncertain):
            raise ValueError(f"vertebrae {sorted(both)} are called fractured and uncertain at once")

    @property
    def class_of_body(self) -> np.ndarray:
        """uint8 (256,): body id -> BACKGROUND, INTACT, FRACTURED or UNCERTAIN."""
        table = np.full(256, INTACT, np.uint8)
        table[0] = BACKGROUND
        table[list(self.fractured)] = FRACTURED
        table[list(self.uncertain)] = UNCERTAIN
        return table

    @property
    def classes(self) -> np.ndarray:
        """uint8 (Z, Y, X): the class of each voxel."""
        return voxel_classes(self.class_of_body, self.bodies, self.fracture_map)

    @property
    def fracture_mask(self) -> np.ndarray:
        """bool (Z, Y, X): the bodies of the fractured vertebrae, and what was drawn as fracture."""
        return self.classes == FRACTURED

    @property
    def uncertain_mask(self) -> np.ndarray:
        """bool (Z, Y, X): where neither fracture nor its absence is claimed."""
        return self.classes == UNCERTAIN

    @property
    def has_fracture(self) -> bool:
        """Whether any is known."""
        drawn = self.fracture_map is not None and bool((self.fracture_map == MAP_FRACTURE).any())
        return drawn or bool(self.fractured)


def voxel_classes(class_of_body: np.ndarray, bodies: np.ndarray, fracture_map: np.ndarray | None) -> np.ndarray:
    """The class of each voxel of a part of a case.

    Args:
        class_of_body: uint8 (256,), of the case.
        bodies: uint8, any shape, ids.
        fracture_map: uint8, of the same shape, or None.

    Returns: uint8 of that shape.

    >>> voxel_classes(np.array([0, 1, 2, 3]), np.array([0, 1, 2, 3]), np.array([1, 0, 2, 1])).tolist()
    [2, 1, 3, 2]
    """
    classes = class_of_body[bodies]
    if fracture_map is not None:
        classes[fracture_map == MAP_FRACTURE] = FRACTURED
        classes[fracture_map == MAP_UNKNOWN] = UNCERTAIN
    return classes


def save_case(path: str | Path, case: Case, *, compressed: bool = False) -> None:
    """Writes the case whole or not at all, so that no half-written one is ever read.

    Args:
        path: ends with ``.npz``.
        case: what to write.
        compressed: half the size or less, and some seconds more to write and to load a large CT.
    """
    about = {
        "name": case.name,
        "patient": case.patient,
        "fractured": [int(i) for i in case.fractured],
        "uncertain": [int(i) for i in case.uncertain],
        "has_bodies": case.has_bodies,
        "spacing_mm": case.spacing_mm,
        "truth": case.truth,
    }
    arrays = {"hu": case.hu.astype(np.int16), "bodies": case.bodies.astype(np.uint8), "about": json.dumps(about)}
    if case.fracture_map is not None:
        arrays["fracture_map"] = case.fracture_map.astype(np.uint8)
    with written_whole(path) as partial:
        (np.savez_compressed if compressed else np.savez)(partial, **arrays)


def load_case(path: str | Path) -> Case:
    """Reads what ``save_case`` wrote, files from before the fracture map included."""
    with np.load(path) as arrays:
        return Case(
            hu=arrays["hu"], bodies=arrays["bodies"], fracture_map=arrays.get("fracture_map"), **_fields(arrays)
        )


def load_about(path: str | Path) -> dict[str, Any]:
    """What a case file says of its case beside the arrays, which are not read: name, patient, truth and so on."""
    with np.load(path) as arrays:
        return _fields(arrays)


def _fields(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    about = json.loads(str(arrays["about"]))
    about["fractured"], about["uncertain"] = tuple(about["fractured"]), tuple(about["uncertain"])
    return about
