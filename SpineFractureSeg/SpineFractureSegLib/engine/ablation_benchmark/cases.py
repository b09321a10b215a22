"""The cases of the ablation, simulated on the spines of the shape library, whose split is by patient.

Validation and test cases are the same for all arms, and the test cases have scanners, fracture types and patterns that
training never draws. Training cases differ where an arm changes the simulator or the spines.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from SpineFractureSegLib.engine.ablation_benchmark.arms import Arm
from SpineFractureSegLib.engine.ablation_benchmark.presets import Preset
from SpineFractureSegLib.engine.benchmark.real_ct import case_without_fracture
from SpineFractureSegLib.engine.benchmark.real_shapes import RealShape, real_shape_cases, shapes_of_library
from SpineFractureSegLib.engine.case import save_case
from SpineFractureSegLib.engine.case_spacing import at_spacing
from SpineFractureSegLib.engine.json_fields import to_fields
from SpineFractureSegLib.engine.kept_settings import keep_settings
from SpineFractureSegLib.engine.progress import ProgressCallback
from SpineFractureSegLib.engine.simulator.config import HELD_OUT, SimulationConfig
from SpineFractureSegLib.engine.simulator.generate import CaseFolder, every_spine, generate_cases
from SpineFractureSegLib.engine.simulator.shapes import Spine, load_library

_SEEDS = {"train": 3_000_000, "validation": 3_400_000, "test": 3_800_000, "shapes": 3_900_000}
SURROUNDINGS = 3  # of each real fractured shape


@dataclass(frozen=True)
class ArmCases:
    """Case files of one arm."""

    train: tuple[Path, ...]
    train_real: tuple[Path, ...]  # real CTs without fracture
    validation: tuple[Path, ...]  # such CTs included
    test: tuple[Path, ...]
    test_real: tuple[Path, ...]
    shapes: tuple[RealShape, ...]  # of patients that were not trained on
    shape_cases: tuple[Path, ...]  # ``SURROUNDINGS`` of each


def ablation_cases(
    library: str | Path,
    folder: str | Path,
    preset: Preset,
    arms: Sequence[Arm],
    real_cts: Sequence[str],
    processes: int,
    on_progress: ProgressCallback,
) -> dict[str, ArmCases]:
    """Makes what is missing in the folder: cases by the arm's name.

    Args: real_cts: further CTs without known fracture, files or DICOM folders.

    Raises: UserError, when the folder holds cases for other settings, or a CT cannot be read; FileNotFoundError, when
        the library lacks spines.
    """
    folder = Path(folder)
    fields = {"preset": preset.name, "cases": list(preset.cases), "settings": to_fields(preset.settings.preprocessing)}
    keep_settings(folder, fields, f"cases for preset {preset.name}")
    spacing = preset.settings.preprocessing.spacing_mm

    def made(
        place: str, part: str, config: SimulationConfig, takes_fractures: Callable[[Spine], bool] = every_spine
    ) -> CaseFolder:
        return generate_cases(
            library,
            part,
            dict(zip(("train", "validation", "test"), preset.cases, strict=True))[part],
            folder / place,
            seed=_SEEDS[part],
            config=config,
            spacing_mm=spacing,
            takes_fractures=takes_fractures,
            processes=processes,
            on_progress=on_progress,
        )

    validation = made("validation", "validation", preset.settings.simulation)
    test = made("test", "test", HELD_OUT)
    given = [_real_ct(folder / "real", number, ct, spacing) for number, ct in enumerate(real_cts)]
    shapes = [shape for part in ("validation", "test") for shape in shapes_of_library(load_library(library, part))]
    shape_paths = _shape_files(folder / "shapes", shapes, spacing)
    cases = {}
    for arm in arms:
        place = f"train-{arm.name}" if arm.own_cases else "train"
        train = made(place, "train", arm.settings(preset.settings).simulation, arm.takes_fractures)
        cases[arm.name] = ArmCases(
            tuple(train.simulated),
            tuple(train.real_negatives),
            (*validation.simulated, *validation.real_negatives),
            tuple(test.simulated),
            (*test.real_negatives, *given),
            tuple(shapes),
            shape_paths,
        )
    return cases


def _real_ct(folder: Path, number: int, ct: str, spacing_mm: float) -> Path:
    path = folder / f"{number}-{Path(ct).name.split('.')[0]}.npz"
    if not path.exists():
        folder.mkdir(exist_ok=True)
        save_case(path, at_spacing(case_without_fracture(ct), spacing_mm))
    return path


def _shape_files(folder: Path, shapes: Sequence[RealShape], spacing_mm: float) -> tuple[Path, ...]:
    paths = [folder / f"{number}.npz" for number in range(len(shapes) * SURROUNDINGS)]
    if not all(path.exists() for path in paths):
        folder.mkdir(exist_ok=True)
        for path, case in zip(paths, real_shape_cases(shapes, SURROUNDINGS, _SEEDS["shapes"]), strict=True):
            save_case(path, at_spacing(case, spacing_mm))
    return tuple(paths)
