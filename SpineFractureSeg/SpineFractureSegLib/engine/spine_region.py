"""Where the spine is: a box found on a few sagittal slices, so that the planes need not be run over the whole body.

It saves time and does not decide what is a fracture: the margins are wide, and every find large enough to be part of
a vertebra counts, unless it lies far to the side of most others, as a shoulder or a hip does.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from SpineFractureSegLib.engine.inference import SlicePredictor
from SpineFractureSegLib.engine.slices import window_starts

SLICE_STEP_MM = 8.0  # a vertebral body is 25-50 mm wide: three slices or more meet it
VERTEBRA_PROBABILITY = 0.5
MIN_COMPONENT_MM3 = 3000.0  # a lumbar body is about 40 cm3, a cervical one 4
MIN_SPINE_MM3 = 1000.0  # of all vertebrae in the final answer
MIN_SPINE_SHARE = 0.005  # of the volume, where that is less
MAX_ASIDE_MM = 60.0  # from the middle of all finds; in eight CTs vertebrae lay within 20 mm, hips, shoulders beyond 73
MARGIN_MM = (24.0, 24.0, 16.0)  # z, y, x; windows then see what surrounds the spine
SMALL_VOLUME_WINDOWS = 128  # a volume with fewer is run as a whole: the first pass would not pay


class SpineRegion(NamedTuple):
    """A box on the working grid: (start, stop) along z, y and x, in voxels."""

    z: tuple[int, int]
    y: tuple[int, int]
    x: tuple[int, int]

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """To cut the box out of an array (Z, Y, X)."""
        return slice(*self.z), slice(*self.y), slice(*self.x)

    def shifted(self, by: "SpineRegion") -> "SpineRegion":
        """The same box counted in the array out of which the box ``by`` was cut."""
        return SpineRegion(
            *((start + outer[0], stop + outer[0]) for (start, stop), outer in zip(self, by, strict=True))
        )

    def grown(self, margin: Sequence[int], shape: Sequence[int]) -> "SpineRegion":
        """Wider by ``margin`` voxels (z, y, x) at both sides, inside an array of this shape.

        >>> SpineRegion((5, 10), (0, 4), (2, 3)).grown((2, 2, 0), (11, 9, 9))
        SpineRegion(z=(3, 11), y=(0, 6), x=(2, 3))
        """
        return SpineRegion(
            *(
                (max(start - grow, 0), min(stop + grow, length))
                for (start, stop), grow, length in zip(self, margin, shape, strict=True)
            )
        )


def occupied_region(hu: np.ndarray, air_below_hu: float) -> SpineRegion | None:
    """The box around all that is not air; None where all is. A CT padded with air has the same one.

    Args:
        hu: (Z, Y, X), HU.
        air_below_hu: what is not above this value is air.
    """
    in_z = np.zeros(hu.shape[0], bool)
    in_yx = np.zeros(hu.shape[1:], bool)
    for z, hu_slice in enumerate(hu):  # slice by slice: no mask of the whole volume
        occupied = hu_slice > air_below_hu
        in_z[z] = occupied.any()
        in_yx |= occupied
    if not in_z.any():
        return None
    return SpineRegion(*(_extent(along) for along in (in_z, in_yx.any(axis=1), in_yx.any(axis=0))))


def find_spine_region(hu: np.ndarray, predictor: SlicePredictor, vertebra_channel: int | None) -> SpineRegion | None:
    """The box around the vertebrae, with margins; None where no spine is seen.

    Args:
        hu: (Z, Y, X) on the working grid, HU.
        predictor: of the model.
        vertebra_channel: the output that means vertebra; None, where the model has none: the whole volume is returned,
            as it is where that is small.
    """
    whole = SpineRegion(*((0, length) for length in hu.shape))
    if vertebra_channel is None or _is_small(hu.shape, predictor.preprocessing.window_size):
        return whole
    spacing = predictor.preprocessing.spacing_mm
    step = max(1, round(SLICE_STEP_MM / spacing))
    indices = range(step // 2, hu.shape[2], step)
    # without overlap: a coarse answer suffices here
    answer = predictor.predict(hu, "sagittal", whole, indices, "spine region", overlap=0.0)
    smallest = _believable_mm3(MIN_COMPONENT_MM3, hu.size * spacing**3)
    vertebrae = _large_components(answer[vertebra_channel] >= VERTEBRA_PROBABILITY, smallest / (step * spacing**3))
    if not vertebrae.any():
        return None
    vertebrae = _without_bones_aside(vertebrae, MAX_ASIDE_MM / (step * spacing))
    x, z, y = (_extent(vertebrae.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1)))
    found = SpineRegion(z, y, (indices[x[0]], indices[x[1] - 1] + 1))
    return found.grown([round(margin / spacing) for margin in MARGIN_MM], hu.shape)


def shows_spine(vertebra_probability: np.ndarray, spacing_mm: float) -> bool:
    """Whether the final answer (Z, Y, X) holds enough vertebra to believe that a spine is in the CT."""
    voxel_mm3 = spacing_mm**3
    found_mm3 = np.count_nonzero(vertebra_probability >= VERTEBRA_PROBABILITY) * voxel_mm3
    return found_mm3 >= _believable_mm3(MIN_SPINE_MM3, vertebra_probability.size * voxel_mm3)


def _believable_mm3(usual_mm3: float, volume_mm3: float) -> float:
    """A single slice or a small crop cannot hold as much of a spine as an ordinary CT."""
    return min(usual_mm3, MIN_SPINE_SHARE * volume_mm3)


def _is_small(shape: tuple[int, ...], window_size: tuple[int, int]) -> bool:
    windows = shape[2]
    for length, size in zip(shape[:2], window_size, strict=True):
        windows *= len(window_starts(0, length, length, size, size // 2))
    return windows <= SMALL_VOLUME_WINDOWS


def _large_components(mask: np.ndarray, min_voxels: float) -> np.ndarray:
    labels, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes >= min_voxels)[labels]


def _without_bones_aside(mask: np.ndarray, max_aside: float) -> np.ndarray:
    """The components of a mask (x, z, y) whose center is within ``max_aside`` slices of the middle of all along x."""
    middle = np.median(np.nonzero(mask)[0])
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    centers = np.array(ndimage.center_of_mass(mask, labels, range(1, count + 1)))[:, 0]
    return np.concatenate([[False], np.abs(centers - middle) <= max_aside])[labels]


def _extent(along: np.ndarray) -> tuple[int, int]:
    """(first, last + 1) of the True entries of a bool array, of which there is one at least."""
    hits = np.flatnonzero(along)
    return int(hits[0]), int(hits[-1]) + 1
