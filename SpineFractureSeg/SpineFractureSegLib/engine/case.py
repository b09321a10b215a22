"""A case: one CT on the working grid with what is known of its vertebrae. Simulated and real ones look the same.

The simulator writes cases, the trainer and the accuracy benchmark read them. One ``.npz`` file each, numpy alone, so
that a training machine needs neither SimpleITK nor the CT files.

Words: a *body* is a vertebral body without arch and processes. Vertebra ids are VerSe's: 1-7 C1-C7, 8-19 T1-T12,
20-25 L1-L6, 28 T13.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from SpineFractureSegLib.engine.atomic_file import written_whole


@dataclass(frozen=True)
class Case:
    """One CT and its truth on the working grid: LPS axes, arrays (slice z up, row y to the back, column x to the left).

    Raises: ValueError, when ``hu`` and ``bodies`` differ in shape or an id is both fractured and uncertain.
    """

    name: str
    patient: str  # splits are by patient
    hu: np.ndarray  # int16 (Z, Y, X), Hounsfield units
    bodies: np.ndarray  # uint8 (Z, Y, X), id of the vertebral body, 0 elsewhere
    fractured: tuple[int, ...] = ()  # ids whose whole body is the fracture
    uncertain: tuple[int, ...] = ()  # ids between intact and fractured, or ungraded: left out of loss and score
    has_bodies: bool = True  # False: a real CT without labels and without known fracture; the vertebra loss is left out
    spacing_mm: float = 1.0
    truth: dict = field(
        default_factory=dict
    )  # per id: type, height losses, grade; what made the image; JSON types only

    def __post_init__(self) -> None:
        if self.hu.shape != self.bodies.shape:
            raise ValueError(f"hu {self.hu.shape} and bodies {self.bodies.shape} must have one shape")
        if both := set(self.fractured) & set(self.uncertain):
            raise ValueError(f"vertebrae {sorted(both)} are called fractured and uncertain at once")

    @property
    def fracture_mask(self) -> np.ndarray:
        """bool (Z, Y, X): the bodies of the fractured vertebrae."""
        return np.isin(self.bodies, self.fractured)

    @property
    def uncertain_mask(self) -> np.ndarray:
        """bool (Z, Y, X): where neither fracture nor its absence is claimed."""
        return np.isin(self.bodies, self.uncertain)


def save_case(path: str | Path, case: Case) -> None:
    """Writes the case whole or not at all, so that no half-written one is ever read."""
    about = {
        "name": case.name,
        "patient": case.patient,
        "fractured": [int(i) for i in case.fractured],
        "uncertain": [int(i) for i in case.uncertain],
        "has_bodies": case.has_bodies,
        "spacing_mm": case.spacing_mm,
        "truth": case.truth,
    }
    with written_whole(path) as partial:
        np.savez(partial, hu=case.hu.astype(np.int16), bodies=case.bodies.astype(np.uint8), about=json.dumps(about))


def load_case(path: str | Path) -> Case:
    """Reads what ``save_case`` wrote."""
    with np.load(path) as arrays:
        about = json.loads(str(arrays["about"]))
        about["fractured"], about["uncertain"] = tuple(about["fractured"]), tuple(about["uncertain"])
        return Case(hu=arrays["hu"], bodies=arrays["bodies"], **about)
