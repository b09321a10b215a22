"""Replay: simulated cases, and real CTs without fracture where there are some, so that nothing learned is lost.

They are simulated on the shape library of a clone. The package that Slicer installs has not room for it; it carries the
library's spines without CTs, 0.7 MB, whose Hounsfield units are synthesized. There is no real CT without fracture in
the replay then: the intact slices of the user's own CTs stand for them.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.finetuning.settings import FinetuneSettings
from SpineFractureSegLib.engine.progress import ProgressCallback, StopQuery
from SpineFractureSegLib.engine.resources import resource_folder
from SpineFractureSegLib.engine.simulator.generate import generate_cases
from SpineFractureSegLib.engine.simulator.shapes import shape_library

_VALIDATION_CASES = 12  # at least
_VALIDATION_SEED = 500_000  # added to the seed, so that no case both trains and validates


@dataclass(frozen=True)
class Replay:
    """Case files by what they are for."""

    training: tuple[Path, ...] = ()
    validation: tuple[Path, ...] = ()  # simulated
    validation_negatives: tuple[Path, ...] = ()  # real CTs without fracture
    real_negatives: tuple[Path, ...] = ()  # of the training ones


def packaged_spines() -> Path:
    """The spines without CTs that every installation has."""
    return resource_folder("Spines")


def replay_library(chosen: Path | None = None) -> Path:
    """The folder of spines to simulate on: the chosen one, else the clone's, else the package's."""
    if chosen is not None:
        return chosen
    try:
        return shape_library()
    except UserError:
        return packaged_spines()


def make_replay(
    settings: FinetuneSettings,
    held_out: int,
    spacing_mm: float,
    folder: Path,
    on_progress: ProgressCallback,
    should_stop: StopQuery,
) -> Replay:
    """Simulates the replay at this spacing; cases that are there already are kept.

    Args:
        settings: mix, number of cases, seed, library.
        held_out: number of the user's held-out cases; at least as many simulated ones validate beside them.
        folder: gets ``train`` and ``validation``.

    Raises: UserError, when the library holds no spine to simulate on; Cancelled.
    """
    if not settings.mix:
        return Replay()
    library = replay_library(settings.library)
    made = {}
    for split, count, seed in (
        ("train", settings.replay_cases, settings.seed),
        ("validation", max(held_out, _VALIDATION_CASES), settings.seed + _VALIDATION_SEED),
    ):
        try:
            made[split] = generate_cases(
                library,
                split,
                count,
                folder / split,
                seed=seed,
                spacing_mm=spacing_mm,
                processes=min(os.cpu_count() or 1, count),
                on_progress=lambda done, total, _stage: on_progress(done, total, "simulate"),
                should_stop=should_stop,
            )
        except FileNotFoundError as error:
            raise UserError(f"There are no spines to simulate on ({error}): name another folder.") from error
    training, validation = made["train"], made["validation"]
    return Replay(
        training=(*training.simulated, *training.real_negatives),
        validation=tuple(validation.simulated),
        validation_negatives=tuple(validation.real_negatives),
        real_negatives=tuple(training.real_negatives),
    )
