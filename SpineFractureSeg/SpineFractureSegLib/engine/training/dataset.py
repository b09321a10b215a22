"""Cases -> training samples. All cases stay in memory; a sample is one window of one slice with its neighbours.

Words: the *kind* of a slice is what its loss is reported under: a slice with a fracture, an intact one of a labelled
case, one of a real CT without any fracture. A *lateral* slice is one without vertebral bodies, or without bone where
bodies were never labelled. A *part* slice shows a fracture that was drawn, as of a process, and no fractured body. A
case is *scanned* when its ``truth`` says ``{"as_scanned": true}``: no simulator has touched it. It is a *real negative*
when no fracture is known in it and it is scanned or its bodies were never labelled.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from SpineFractureSegLib.engine.case import FRACTURED, MAP_FRACTURE, UNCERTAIN, Case, voxel_classes
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.preprocessing import Preprocessing
from SpineFractureSegLib.engine.slices import context_indices, context_offsets, from_plane, to_plane
from SpineFractureSegLib.engine.training.augmentation import (
    Augmentation,
    cut_window,
    random_affine,
    random_bend,
    random_center,
    random_field,
    vary_intensity,
)
from SpineFractureSegLib.engine.training.config import Balance

FRACTURE_AREA_MM2 = 150.0  # a slice with less fracture than this, but some, teaches neither yes nor no: left out
LESION_WEIGHT = 10_000  # of a slice; a whole number leaves the same draws on every machine
BODY_AREA_MM2 = 500.0  # a slice with less vertebral body than this is lateral
BONE_HU = 200  # from here on a voxel of a CT without labels may be bone
TISSUE_HU = -500  # from here on a voxel is the patient, not air around


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
    return not case.has_fracture and (not case.has_bodies or is_scanned(case))


def is_scanned(case: Case) -> bool:
    """Whether the case is a real CT as it was scanned."""
    return bool(case.truth.get("as_scanned"))


@dataclass(frozen=True)
class _Stack:
    """One case in one plane, as a stack of slices (S, H, W)."""

    hu: np.ndarray
    bodies: np.ndarray
    fracture_map: np.ndarray | None
    class_of_body: np.ndarray  # uint8 (256,)
    has_bodies: bool
    offsets: tuple[int, ...]

    def classes(self, number: int | slice = slice(None)) -> np.ndarray:
        """uint8, the class of each voxel of one slice or of all."""
        fracture_map = None if self.fracture_map is None else self.fracture_map[number]
        return voxel_classes(self.class_of_body, self.bodies[number], fracture_map)


class _Pool(NamedTuple):
    """Slices of one kind, drawn by weight."""

    chance: float  # of being drawn from, among the pools of the kind
    slices: np.ndarray  # (N, 3): stack, position, weight
    cumulated_weight: np.ndarray  # (N,)


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
        kinds = ("fractured", "part", "intact", "lateral")
        slices = {(kind, scanned): [] for kind in kinds for scanned in (False, True)}
        self._real: list[tuple[int, np.ndarray]] = []  # stack and the cumulated chance of its slices
        for case in cases:
            for stack in _stacks_of(case, preprocessing):
                self._index(stack, case, slices, balance)
        self._pools = {
            "fractured": _pools(
                slices, balance.scanned, {"fractured": 1 - (balance.parts or 0), "part": balance.parts}
            ),
            "intact": _pools(slices, balance.scanned, {"intact": 1.0}),
            "lateral": _pools(slices, balance.scanned, {"lateral": 1.0}),
        }
        self._shares = self._usable_shares(balance)

    def counts(self) -> dict[str, int]:
        """How many slices of each kind there are to draw from."""
        real = sum(len(chance) for _, chance in self._real)
        labelled = {kind: sum(len(pool.slices) for pool in pools) for kind, pools in self._pools.items()}
        return {**labelled, "real_negative": real}

    def __getitem__(self, item: tuple[int, int]) -> Sample:
        epoch, index = item
        rng = np.random.default_rng((self.seed, epoch, index))
        stack, number, anchored, kind = self._choose_slice(rng, epoch, index)
        return self._cut(rng, stack, number, anchored, kind)

    def _index(
        self, stack: _Stack, case: Case, slices: dict[tuple[str, bool], list[tuple[int, int, int]]], balance: Balance
    ) -> None:
        number = len(self._stacks)
        self._stacks.append(stack)
        pixel_mm2 = case.spacing_mm**2
        bone = np.count_nonzero(stack.bodies if case.has_bodies else stack.hu > BONE_HU, axis=(1, 2))
        if is_real_negative(case):
            # half of the draws from anywhere, half by how much bone there is: the spine is a small part of a trunk CT
            chance = 0.5 / len(bone) + 0.5 * bone / max(bone.sum(), 1)
            self._real.append((number, np.cumsum(chance / chance.sum())))
            return
        scanned = is_scanned(case)
        has_fracture = (stack.classes() == FRACTURED).any((1, 2))
        weight, of_part = _lesion_weights(stack, pixel_mm2, balance.lesion_evenness)
        for position in range(len(stack.hu)):
            if weight[position]:
                kind = "part" if balance.parts is not None and of_part[position] else "fractured"
                slices[kind, scanned].append((number, position, weight[position]))
            elif has_fracture[position]:
                continue
            elif bone[position] * pixel_mm2 > BODY_AREA_MM2:
                # drawn by area: else most were the outermost slices of bodies, which every case has
                slices["intact", scanned].append((number, position, bone[position]))
            else:
                slices["lateral", scanned].append((number, position, 1))

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
        _, slices, weight = _drawn_pool(rng, self._pools[kind])
        number, position, _ = slices[np.searchsorted(weight, rng.integers(weight[-1]), side="right")]
        return self._stacks[number], position, kind != "lateral", Kind.FRACTURED if kind == "fractured" else Kind.INTACT

    def _cut(self, rng: np.random.Generator, stack: _Stack, number: int, anchored: bool, kind: Kind) -> Sample:
        classes, bodies = stack.classes(number), stack.bodies[number]
        if anchored and kind == Kind.FRACTURED:
            wanted = classes == FRACTURED
        elif anchored and (stack.has_bodies and bodies.any()):
            wanted = bodies > 0
        else:
            wanted = stack.hu[number] > (BONE_HU if anchored else TISSUE_HU)
        anchor = _random_pixel(rng, wanted)
        window_size = self.preprocessing.window_size
        field = random_field(rng, anchor, classes.shape, window_size)
        classes, bodies = classes[field], bodies[field]
        anchor = anchor[0] - (field[0].start or 0), anchor[1] - (field[1].start or 0)
        affine = random_affine(rng, self.augmentation)
        center = random_center(rng, anchor, affine, classes.shape, window_size)
        context = context_indices([number], stack.offsets, len(stack.hu))[0]
        if rng.random() < self.augmentation.mirror_context_chance:
            context = context[::-1]
        image, labels = cut_window(
            [stack.hu[position][field] for position in context],
            [classes == FRACTURED, bodies > 0, classes == UNCERTAIN],
            center,
            affine,
            window_size,
            random_bend(rng, self.augmentation, window_size),
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
    """The (epoch, index) pairs of one epoch: from ``start`` on, every ``step``-th.

    An epoch that is resumed in its middle starts there; one of several processes takes its part of every batch.
    """

    def __init__(self, epoch: int, slices: int, start: int = 0, step: int = 1) -> None:
        self.epoch, self.indices = epoch, range(start, slices, step)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, index) for index in self.indices)

    def __len__(self) -> int:
        return len(self.indices)


def _pools(
    slices: Mapping[tuple[str, bool], list], scanned_share: float | None, kinds: Mapping[str, float | None]
) -> list[_Pool]:
    """Slices of one kind or of several that stand for one, by ``kinds``' chances; those with nothing drop out.

    Simulated and scanned slices are one pool, or two where a share of scanned ones is asked for.
    """
    origins = [(1.0, (False, True))]
    if scanned_share is not None:
        origins = [(1 - scanned_share, (False,)), (scanned_share, (True,))]
    pools = []
    for share, of_origin in origins:
        found = {kind: [one for scanned in of_origin for one in slices[kind, scanned]] for kind in kinds}
        usable = {kind: chance for kind, chance in kinds.items() if found[kind]}
        if len(usable) == 1:
            usable = dict.fromkeys(usable, 1.0)
        pools += [(share * chance, np.array(found[kind]).reshape(-1, 3)) for kind, chance in usable.items()]
    return [_Pool(chance, drawn, np.cumsum(drawn[:, 2])) for chance, drawn in pools if chance]


def _drawn_pool(rng: np.random.Generator, pools: list[_Pool]) -> _Pool:
    if len(pools) == 1:
        return pools[0]
    place = rng.random() * sum(pool.chance for pool in pools)
    for pool in pools[:-1]:
        if place < pool.chance:
            return pool
        place -= pool.chance
    return pools[-1]


def _stacks_of(case: Case, preprocessing: Preprocessing) -> Iterator[_Stack]:
    if abs(case.spacing_mm - preprocessing.spacing_mm) > 1e-6:
        raise UserError(
            f"Case {case.name} has a spacing of {case.spacing_mm} mm and the model {preprocessing.spacing_mm} mm; "
            "prepare the cases again."
        )
    # the first plane's slices lie together in memory; the other planes are views of it
    first = preprocessing.planes[0]
    volumes = [
        None if volume is None else from_plane(np.ascontiguousarray(to_plane(volume, first)), first)
        for volume in (case.hu, case.bodies, case.fracture_map)
    ]
    offsets = context_offsets(preprocessing.context_mm, preprocessing.spacing_mm)
    for plane in preprocessing.planes:
        stacks = (None if volume is None else to_plane(volume, plane) for volume in volumes)
        yield _Stack(*stacks, case.class_of_body, case.has_bodies, offsets)


def _lesion_weights(stack: _Stack, pixel_mm2: float, evenness: float) -> tuple[np.ndarray, np.ndarray]:
    """How often each slice is drawn for the fractures in it, and whether for a drawn one alone.

    A lesion is a fractured body, or all that was drawn as fracture.

    Returns: int64 (S,), 0 where a slice shows too little of any lesion; bool (S,).
    """
    bodies = [stack.bodies == body for body in np.flatnonzero(stack.class_of_body == FRACTURED)]
    if stack.fracture_map is None:
        return _weights_of(bodies, stack, pixel_mm2, evenness), np.zeros(len(stack.hu), bool)
    drawn = stack.fracture_map == MAP_FRACTURE
    of_bodies = _weights_of([body & ~drawn for body in bodies], stack, pixel_mm2, evenness)
    of_drawn = _weights_of([drawn], stack, pixel_mm2, evenness)
    return np.maximum(of_bodies, of_drawn), (of_drawn > 0) & (of_bodies == 0)


def _weights_of(lesions: list[np.ndarray], stack: _Stack, pixel_mm2: float, evenness: float) -> np.ndarray:
    weight = np.zeros(len(stack.hu), np.int64)
    for lesion in lesions:
        area = np.count_nonzero(lesion, axis=(1, 2)) * pixel_mm2
        # a site may draw thin zones instead of bodies: then the larger half of its own slices is enough
        enough = area > min(FRACTURE_AREA_MM2, area.max() / 2)
        if enough.any():
            own = round(LESION_WEIGHT / np.count_nonzero(enough) ** evenness)
            weight = np.maximum(weight, np.where(enough, own, 0))
    return weight


def _random_pixel(rng: np.random.Generator, wanted: np.ndarray) -> tuple[int, int]:
    """(row, column) of one of the wanted pixels, or of any pixel where none is wanted."""
    found = np.flatnonzero(wanted)
    flat = int(found[rng.integers(len(found))]) if len(found) else int(rng.integers(wanted.size))
    return divmod(flat, wanted.shape[1])
