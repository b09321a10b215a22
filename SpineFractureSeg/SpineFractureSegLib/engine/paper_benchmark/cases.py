"""The cases that all networks share, simulated on the spines of the shape library, whose split is by patient.

Test cases have scanners, fracture types and patterns that training never draws, as in the accuracy benchmark.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from SpineFractureSegLib.engine.case import Case
from SpineFractureSegLib.engine.json_fields import to_fields
from SpineFractureSegLib.engine.kept_settings import keep_settings
from SpineFractureSegLib.engine.paper_benchmark.presets import Preset
from SpineFractureSegLib.engine.progress import ProgressCallback
from SpineFractureSegLib.engine.simulator.config import HELD_OUT, SimulationConfig
from SpineFractureSegLib.engine.simulator.generate import generate_cases
from SpineFractureSegLib.engine.slices import AXIS_OF_PLANE, to_plane
from SpineFractureSegLib.engine.training.dataset import FRACTURE_AREA_MM2

_SEEDS = {"train": 2_000_000, "validation": 2_400_000, "test": 2_800_000}
_CONFIGS = {"train": SimulationConfig(), "validation": SimulationConfig(), "test": HELD_OUT}


@dataclass(frozen=True)
class CasePaths:
    """Case files by part."""

    train: tuple[Path, ...]
    validation: tuple[Path, ...]
    test: tuple[Path, ...]


def benchmark_cases(
    library: str | Path, folder: str | Path, preset: Preset, processes: int, on_progress: ProgressCallback
) -> CasePaths:
    """Simulates what is missing in the folder.

    Raises: UserError, when the folder holds cases for another preset; FileNotFoundError, when the library lacks spines.
    """
    folder = Path(folder)
    fields = {"preset": preset.name, "cases": list(preset.cases), "preprocessing": to_fields(preset.preprocessing)}
    keep_settings(folder, fields, f"preset {preset.name}")
    paths = {}
    for (part, seed), count in zip(_SEEDS.items(), preset.cases, strict=True):
        made = generate_cases(
            library,
            part,
            count,
            folder / part,
            seed=seed,
            config=_CONFIGS[part],
            spacing_mm=preset.preprocessing.spacing_mm,
            processes=processes,
            on_progress=on_progress,
        )
        paths[part] = tuple(made.simulated)
    return CasePaths(**paths)


def slices_with_fracture(case: Case, plane: str) -> np.ndarray:
    """bool (slices,): those of a plane that show so much fracture that they are trained on and scored."""
    area = np.count_nonzero(to_plane(case.fracture_mask, plane), axis=(1, 2)) * case.spacing_mm**2
    return area > FRACTURE_AREA_MM2


def fractured_part(case: Case, plane: str) -> Case | None:
    """The case from its first to its last slice with a fracture; None without any."""
    found = np.flatnonzero(slices_with_fracture(case, plane))
    if not len(found):
        return None
    part = [slice(None)] * 3
    part[AXIS_OF_PLANE[plane]] = slice(int(found[0]), int(found[-1]) + 1)
    arrays = {name: getattr(case, name) for name in ("hu", "bodies", "fracture_map")}
    cut = {name: None if array is None else array[tuple(part)].copy() for name, array in arrays.items()}
    return replace(case, **cut)
