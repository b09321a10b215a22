"""A spine: real anatomy that fractures are simulated on, and the library of spines that ships with the project.

A spine is a label map of vertebrae on the working grid with, where there is one, its CT. It is stored as a compressed
``.npz``: labels at 1 mm, Hounsfield units on a grid whose slices may be further apart, as the scanner made them, and
interpolated when loaded, which keeps the library small and loses nothing.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from scipy import ndimage

from SpineFractureSegLib.engine.errors import UserError

SPLITS = ("train", "validation", "test")
_WITH_ARCHES = 1.3  # a label map of whole vertebrae has at least this many times the voxels of their bodies


@dataclass(frozen=True, eq=False)  # compared by identity: what is measured of a spine is kept with it
class Spine:
    """Vertebrae on the 1 mm working grid (LPS axes; slice z up, row y to the back, column x to the left)."""

    name: str
    patient: str
    split: str  # "train", "validation" or "test": fixed per patient
    source: str  # where the anatomy comes from
    licence: str
    vertebrae: np.ndarray  # uint8 (Z, Y, X), VerSe ids; all 0 for a CT without labels
    bodies: np.ndarray  # bool (Z, Y, X), vertebral bodies
    hu: np.ndarray | None = None  # int16 (Z, Y, X); None: Hounsfield units are synthesized
    genant: dict[int, int] = field(default_factory=dict)  # grade of vertebrae that are truly fractured (1 to 3)
    uncertain: tuple[int, ...] = ()  # ids that are cut by the border or of unknown state
    slice_step_mm: float = 1.0  # how far apart the scanner's slices were: what is drawn into the CT is blurred alike

    @property
    def ids(self) -> list[int]:
        """Ids of all vertebrae with a body, from the top down (VerSe ids grow downwards)."""
        return np.flatnonzero(self.body_sizes).tolist()

    @property
    def body_sizes(self) -> np.ndarray:
        """int64 (256,): voxels of each id's body."""
        return _body_sizes(self)

    @property
    def has_arches(self) -> bool:
        """Whether the label map holds whole vertebrae with arches and processes, not bodies alone."""
        return _has_arches(self)


_Answer = TypeVar("_Answer")


def once_per_spine(measure: Callable[[Spine], _Answer]) -> Callable[[Spine], _Answer]:
    """A function of a spine that is worked out once for each and kept as long as the spine is."""
    known: WeakKeyDictionary[Spine, _Answer] = WeakKeyDictionary()

    @wraps(measure)
    def measured(spine: Spine) -> _Answer:
        if spine not in known:
            known[spine] = measure(spine)
        return known[spine]

    return measured


@once_per_spine
def _body_sizes(spine: Spine) -> np.ndarray:
    return np.bincount(spine.vertebrae[spine.bodies], minlength=256)


@once_per_spine
def _has_arches(spine: Spine) -> bool:
    return bool(np.count_nonzero(spine.vertebrae) > _WITH_ARCHES * spine.body_sizes.sum())


def save_spine(path: str | Path, spine: Spine, slice_step: float = 1.0) -> None:
    """Stores the spine; Hounsfield units are kept every ``slice_step`` mm along z, in steps of 4 HU."""
    about = {key: getattr(spine, key) for key in ("name", "patient", "split", "source", "licence")}
    about |= {"genant": {str(k): v for k, v in spine.genant.items()}, "uncertain": list(spine.uncertain)}
    hu = np.zeros((0, 0, 0), np.int16)
    if spine.hu is not None:
        slices = np.arange(0, len(spine.hu) - 1 + 1e-6, slice_step)
        hu = _interpolate_slices(spine.hu, slices)
        hu = (np.round(np.clip(hu, -1024, 3071) / 4) * 4).astype(np.int16)
    np.savez_compressed(
        path, vertebrae=spine.vertebrae, bodies=spine.bodies, hu=hu, slice_step=slice_step, about=json.dumps(about)
    )


def load_spine(path: str | Path) -> Spine:
    """Reads what ``save_spine`` wrote, with Hounsfield units back at 1 mm."""
    with np.load(path) as arrays:
        about = json.loads(str(arrays["about"]))
        about["genant"] = {int(k): v for k, v in about["genant"].items()}
        about["uncertain"] = tuple(about["uncertain"])
        hu = arrays["hu"]
        if hu.size:
            slices = np.arange(len(arrays["vertebrae"])) / float(arrays["slice_step"])
            hu = np.round(_interpolate_slices(hu, np.minimum(slices, len(hu) - 1))).astype(np.int16)
        about["slice_step_mm"] = float(arrays["slice_step"])
        return Spine(vertebrae=arrays["vertebrae"], bodies=arrays["bodies"], hu=hu if hu.size else None, **about)


def load_library(folder: str | Path, split: str | None = None) -> list[Spine]:
    """All spines of a folder in order of name, or those of one split.

    Raises: FileNotFoundError, when the folder holds none.
    """
    spines = [load_spine(path) for path in sorted(Path(folder).glob("*.npz"))]
    chosen = [spine for spine in spines if split in (None, spine.split)]
    if not chosen:
        raise FileNotFoundError(f"no spine{f' of split {split}' if split else ''} in {folder}")
    return chosen


def _interpolate_slices(volume: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Linear interpolation along the first axis at fractional slice positions."""
    if np.array_equal(positions, np.arange(len(volume))):
        return volume
    lower = np.minimum(np.floor(positions).astype(int), len(volume) - 2)
    fraction = (positions - lower).astype(np.float32)[:, None, None]
    return volume[lower] * (1 - fraction) + volume[lower + 1] * fraction


def crop_box(mask: np.ndarray, margin: tuple[int, int, int]) -> tuple[slice, ...]:
    """Slices of the box around a mask with a margin, clipped to the volume."""
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    return tuple(
        slice(max(0, edge.start - m), min(size, edge.stop + m))
        for edge, m, size in zip(box, margin, mask.shape, strict=True)
    )


def shape_library() -> Path:
    """The library of a clone of the repository.

    Raises: UserError, when the package was installed without it.
    """
    folder = Path(__file__).resolve().parents[4] / "Resources" / "ShapeLibrary"
    if not folder.is_dir():
        raise UserError(
            f"The shape library is not part of this installation ({folder}); name a folder of spines with --library, "
            "or work from a clone of the repository."
        )
    return folder
