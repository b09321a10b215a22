"""Cases -> training samples. All cases stay in memory; a sample is one window of one slice with its neighbours.

Words: the *kind* of a slice is what its loss is reported under: a slice with a fracture, an intact one of a labelled
case, one of a real CT without any fracture. A *lateral* slice is one without vertebral bodies. A case is a *real
negative* when its bodies were never labelled (``has_bodies`` False: a real CT without known fracture), or when nothing
in it is fractured and its ``truth`` says ``{"as_scanned": true}``: no simulator has touched it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from SpineFractureSegLib.engine.case import Case
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.preprocessing import Preprocessing
from SpineFractureSegLib.engine.slices import context_indices, context_offsets, from_plane, to_plane
from SpineFractureSegLib.engine.training.augmentation import (
    Augmentation,
    cut_window,
    random_affine,
    random_center,
    random_field,
    vary_intensity,
)
from SpineFractureSegLib.engine.training.config import Balance

FRACTURE_AREA_MM2 = 150.0  # a slice with less fracture than this, but some, teaches neither yes nor no: left out
BODY_AREA_MM2 = 500.0  # a slice with less vertebral body than this is lateral
BONE_HU = 200  # from here on a voxel of a CT without labels may be bone
TISSUE_HU = -500  # from here on a voxel is the patient, not air around

_BACKGROUND, _INTACT, _FRACTURED, _UNCERTAIN = range(4)


class Kind(IntEnum):
    """What a sample's loss is reported under."""

    FRACTURED = 0
    INTACT = 1
    REAL_NEGATIVE = 2


class Sample(NamedTuple):
    """One window; batched by the data loader, which puts B in front of every shape."""

    image: Tensor  # float32 (C, h, w), in [0, 1]
    fracture: Tensor  # bool (h, w)
    vertebra: Tensor  # bool (h, w)
    known: Tensor  # bool (h, w), False where neither fracture nor its absence is claimed
    has_vertebrae: Tensor  # float32 (), 0 where the bodies were never labelled
    kind: Tensor  # int64 (), a Kind


def is_real_negative(case: Case) -> bool:
    """Whether the case is a real CT without any fracture."""
    return not case.has_bodies or (not case.fractured and bool(case.truth.get("as_scanned")))


@dataclass(frozen=True)
class _Stack:
    """One case in one plane, as a stack of slices (S, H, W)."""

    hu: np.ndarray
    bodies: np.ndarray
    class_of_body: np.ndarray  # uint8 (256,)
    has_bodies: bool
    offsets: tuple[int, ...]


class SliceDataset(Dataset):
    """Samples by (epoch, index): the same pair always gives the same sample.

    Args:
        cases: training cases; a generator is read once, so that they need not all be held twice.
        preprocessing: planes, context, window and spacing, as the model will use them.
        balance: what the samples show.
        augmentation: how they vary.
        seed: of every sample.

    Raises: UserError, when no case has a slice of any wanted kind, or a case has another spacing.
    """

    def __init__(
        self,
        cases: Iterable[Case],
        preprocessing: Preprocessing,
        balance: Balance,
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        self.preprocessing, self.augmentation, self.seed = preprocessing, augmentation, seed
        self._stacks: list[_Stack] = []
        slices: dict[str, list[tuple[int, int, int]]] = {"fractured": [], "intact": [], "lateral": []}
        self._real: list[tuple[int, np.ndarray]] = []  # stack and the cumulated chance of its slices
        for case in cases:
            for stack in _stacks_of(case, preprocessing):
                self._index(stack, case, slices)
        self._slices = {kind: np.array(found).reshape(-1, 3) for kind, found in slices.items()}
        self._area = {kind: np.cumsum(found[:, 2]) for kind, found in self._slices.items()}
        self._shares = self._usable_shares(balance)

    def counts(self) -> dict[str, int]:
        """How many slices of each kind there are to draw from."""
        real = sum(len(chance) for _, chance in self._real)
        return {**{kind: len(found) for kind, found in self._slices.items()}, "real_negative": real}

    def __getitem__(self, item: tuple[int, int]) -> Sample:
        epoch, index = item
        rng = np.random.default_rng((self.seed, epoch, index))
        stack, number, anchored, kind = self._choose_slice(rng, epoch, index)
        return self._cut(rng, stack, number, anchored, kind)

    def _index(self, stack: _Stack, case: Case, slices: dict[str, list[tuple[int, int, int]]]) -> None:
        number = len(self._stacks)
        self._stacks.append(stack)
        pixel_mm2 = case.spacing_mm**2
        body_pixels = np.count_nonzero(stack.bodies, axis=(1, 2))
        if is_real_negative(case):
            bone = body_pixels if case.has_bodies else np.count_nonzero(stack.hu > BONE_HU, axis=(1, 2))
            # half of the draws from anywhere, half by how much bone there is: the spine is a small part of a trunk CT
            chance = 0.5 / len(bone) + 0.5 * bone / max(bone.sum(), 1)
            self._real.append((number, np.cumsum(chance / chance.sum())))
            return
        fracture_area = np.count_nonzero(stack.class_of_body[stack.bodies] == _FRACTURED, axis=(1, 2)) * pixel_mm2
        for position in range(len(stack.hu)):
            if fracture_area[position] > FRACTURE_AREA_MM2:
                slices["fractured"].append((number, position, 1))
            elif fracture_area[position] > 0:
                continue
            elif body_pixels[position] * pixel_mm2 > BODY_AREA_MM2:
                # drawn by area: else most were the outermost slices of bodies, which every case has
                slices["intact"].append((number, position, body_pixels[position]))
            else:
                slices["lateral"].append((number, position, 1))

    def _usable_shares(self, balance: Balance) -> list[tuple[str, float]]:
        """(kind, share), scaled to sum to 1 over the kinds that have slices."""
        shares = {
            "fractured": balance.fractured,
            "intact": balance.intact * (1 - balance.lateral),
            "lateral": balance.intact * balance.lateral,
            "real_negative": balance.real_negative,
        }
        counts = self.counts()
        usable = {kind: share for kind, share in shares.items() if share > 0 and counts[kind]}
        if not usable:
            raise UserError(f"There is nothing to train on: the training cases have slices {counts}.")
        return [(kind, share / sum(usable.values())) for kind, share in usable.items()]

    def _choose_slice(self, rng: np.random.Generator, epoch: int, index: int) -> tuple[_Stack, int, bool, Kind]:
        # multiples of the golden ratio fill [0, 1) evenly, so that every batch has nearly the wanted balance
        start = np.random.default_rng((self.seed, epoch)).random()
        place, kind = (start + index * 0.6180339887498949) % 1.0, self._shares[-1][0]
        for name, share in self._shares:
            if place < share:
                kind = name
                break
            place -= share
        if kind == "real_negative":
            number, chance = self._real[rng.integers(len(self._real))]
            position = min(int(np.searchsorted(chance, rng.random(), side="right")), len(chance) - 1)
            return self._stacks[number], position, rng.random() < 0.5, Kind.REAL_NEGATIVE
        area = self._area[kind]
        number, position, _ = self._slices[kind][np.searchsorted(area, rng.integers(area[-1]), side="right")]
        return self._stacks[number], position, kind != "lateral", Kind.FRACTURED if kind == "fractured" else Kind.INTACT

    def _cut(self, rng: np.random.Generator, stack: _Stack, number: int, anchored: bool, kind: Kind) -> Sample:
        classes = stack.class_of_body[stack.bodies[number]]
        if anchored and kind == Kind.FRACTURED:
            wanted = classes == _FRACTURED
        elif anchored and (stack.has_bodies and classes.any()):
            wanted = classes > 0
        else:
            wanted = stack.hu[number] > (BONE_HU if anchored else TISSUE_HU)
        anchor = _random_pixel(rng, wanted)
        window_size = self.preprocessing.window_size
        field = random_field(rng, anchor, classes.shape, window_size)
        classes = classes[field]
        anchor = anchor[0] - (field[0].start or 0), anchor[1] - (field[1].start or 0)
        affine = random_affine(rng, self.augmentation)
        center = random_center(rng, anchor, affine, classes.shape, window_size)
        context = context_indices([number], stack.offsets, len(stack.hu))[0]
        if rng.random() < self.augmentation.mirror_context_chance:
            context = context[::-1]
        image, labels = cut_window(
            [stack.hu[position][field] for position in context],
            [classes == _FRACTURED, classes > 0, classes == _UNCERTAIN],
            center,
            affine,
            window_size,
        )
        return Sample(
            image=vary_intensity(image, rng, self.augmentation, self.preprocessing.window_hu),
            fracture=labels[0],
            vertebra=labels[1],
            known=~labels[2],
            has_vertebrae=torch.tensor(float(stack.has_bodies)),
            kind=torch.tensor(int(kind)),
        )


class EpochSampler(Sampler):
    """The (epoch, index) pairs of one epoch, from ``start`` on when an epoch is resumed in its middle."""

    def __init__(self, epoch: int, slices: int, start: int = 0) -> None:
        self.epoch, self.slices, self.start = epoch, slices, start

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, index) for index in range(self.start, self.slices))

    def __len__(self) -> int:
        return self.slices - self.start


def class_of_body(case: Case) -> np.ndarray:
    """uint8 (256,): body id -> background, intact, fractured or uncertain."""
    table = np.full(256, _INTACT, np.uint8)
    table[0] = _BACKGROUND
    table[list(case.fractured)] = _FRACTURED
    table[list(case.uncertain)] = _UNCERTAIN
    return table


def _stacks_of(case: Case, preprocessing: Preprocessing) -> Iterator[_Stack]:
    if abs(case.spacing_mm - preprocessing.spacing_mm) > 1e-6:
        raise UserError(
            f"Case {case.name} has a spacing of {case.spacing_mm} mm and the model {preprocessing.spacing_mm} mm; "
            "prepare the cases again."
        )
    # the first plane's slices lie together in memory; the other planes are views of it
    first = preprocessing.planes[0]
    hu = from_plane(np.ascontiguousarray(to_plane(case.hu, first)), first)
    bodies = from_plane(np.ascontiguousarray(to_plane(case.bodies, first)), first)
    offsets = context_offsets(preprocessing.context_mm, preprocessing.spacing_mm)
    for plane in preprocessing.planes:
        yield _Stack(to_plane(hu, plane), to_plane(bodies, plane), class_of_body(case), case.has_bodies, offsets)


def _random_pixel(rng: np.random.Generator, wanted: np.ndarray) -> tuple[int, int]:
    """(row, column) of one of the wanted pixels, or of any pixel where none is wanted."""
    found = np.flatnonzero(wanted)
    flat = int(found[rng.integers(len(found))]) if len(found) else int(rng.integers(wanted.size))
    return divmod(flat, wanted.shape[1])
