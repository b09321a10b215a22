"""One arm with one seed: trained, calibrated and scored as the bundled model is, kept in its own folder.

The folder gets the training's files, ``calibrated.safetensors`` and ``result.json``. What is there is not made again,
and an interrupted training goes on.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from SpineFractureSegLib.engine.ablation_benchmark.arms import Arm
from SpineFractureSegLib.engine.ablation_benchmark.cases import ArmCases
from SpineFractureSegLib.engine.ablation_benchmark.presets import Preset
from SpineFractureSegLib.engine.atomic_file import written_whole
from SpineFractureSegLib.engine.benchmark.case_score import CaseScore, score_case
from SpineFractureSegLib.engine.benchmark.real_shapes import shape_rows, shapes_found
from SpineFractureSegLib.engine.benchmark.summary import summarize
from SpineFractureSegLib.engine.calibration.calibrate import calibrate
from SpineFractureSegLib.engine.case import load_case
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.json_fields import to_fields
from SpineFractureSegLib.engine.model_file import Model, ModelCard, load_model, save_model
from SpineFractureSegLib.engine.progress import ProgressCallback
from SpineFractureSegLib.engine.training.trainer import train


@dataclass(frozen=True)
class ArmResult:
    """What a table needs to know of a trained arm; JSON types."""

    name: str
    seed: int
    settings: dict
    epochs: int
    best_epoch: int  # from 0
    minutes: float
    calibration: dict  # what was chosen and measured on the validation cases
    summary: dict  # of the test cases, see ``benchmark.summary``
    volumes: list  # per test case: name, overlap, prediction and reference in mm3
    real: list  # per real CT without known fracture: its name and the number of findings
    shapes: dict  # real fractured shapes found, see ``benchmark.real_shapes``


def run_arm(
    arm: Arm,
    seed: int,
    preset: Preset,
    cases: dict[str, ArmCases],
    folder: str | Path,
    device: str,
    on_progress: ProgressCallback,
) -> ArmResult:
    """Trains and scores what is not there yet.

    Args:
        arm: which.
        seed: of the first weights and of the samples.
        preset: settings of the whole.
        cases: by the arm's name.
        folder: of all arms.
        device: as ``train``.
        on_progress: as ``train``.

    Raises: UserError, when the folder holds a run with other settings, or as ``train`` and ``calibrate``.
    """
    place, own = run_folder(folder, arm, seed), cases[arm.name]
    settings = arm.settings(preset.settings)
    settings = replace(settings, training=replace(settings.training, seed=seed))
    fields = {"preset": preset.name, "cases": list(preset.cases), "simulated_on": arm.takes_fractures.__name__}
    fields |= {"real_cts": [path.stem for path in own.test_real], **to_fields(settings)}
    if (place / "result.json").exists():
        result = load_result(place)
        if result.settings != fields:
            raise UserError(
                f"{place} holds a run with other settings than preset {preset.name}; choose another folder."
            )
        return result

    def tell(done: int, total: int, stage: str) -> None:
        on_progress(done, total, f"{arm.name}: {stage}")

    trained = train(
        settings.training,
        settings.network,
        settings.preprocessing,
        map(load_case, (*own.train, *own.train_real)),
        map(load_case, own.validation),
        place,
        device=device,
        card=ModelCard(
            name=f"{arm.name}-{seed}",
            description=f"{arm.title}: `benchmark ablation --preset {preset.name}`, on simulated fractures.",
            label_meaning="As the simulator draws it.",
        ),
        on_progress=tell,
    )
    model = _calibrated(load_model(trained.model_path), own.validation, place, device, tell)
    test, real, shapes = (
        _scores(model, paths, device, tell, stage)
        for paths, stage in ((own.test, "test cases"), (own.test_real, "real CTs"), (own.shape_cases, "real shapes"))
    )
    result = ArmResult(
        name=arm.name,
        seed=seed,
        settings=fields,
        epochs=trained.epochs,
        best_epoch=trained.best_epoch,
        minutes=trained.minutes,
        calibration=model.card.scores["calibration"],
        summary=summarize(test, model.card.threshold),
        volumes=[
            [score.name, *(count * score.voxel_mm3 for count in (score.overlap, score.predicted, score.reference))]
            for score in test
        ],
        real=[[score.name, score.false_positives] for score in real],
        shapes=shapes_found(shape_rows(own.shapes, shapes, model.card.threshold)),
    )
    with written_whole(place / "result.json") as partial:  # last: it says that the arm is done
        partial.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    return result


def run_folder(folder: str | Path, arm: Arm, seed: int) -> Path:
    """Where an arm's files are."""
    return Path(folder) / f"{arm.name}-{seed}"


def kept_results(folder: str | Path, arms: Sequence[Arm], seeds: int) -> list[ArmResult]:
    """The results that are in the folder of all arms, for seeds below ``seeds``."""
    places = [run_folder(folder, arm, seed) for arm in arms for seed in range(seeds)]
    return [load_result(place) for place in places if (place / "result.json").exists()]


def load_result(folder: str | Path) -> ArmResult:
    """What ``run_arm`` kept."""
    return ArmResult(**json.loads((Path(folder) / "result.json").read_text(encoding="utf-8")))


def _calibrated(
    model: Model, validation: Sequence[Path], folder: Path, device: str, on_progress: ProgressCallback
) -> Model:
    """The model with temperature, fusion, threshold and smallest lesion from the validation cases, from its file."""
    found = calibrate(model, validation, device=device, on_progress=on_progress).model
    path = folder / "calibrated.safetensors"
    save_model(path, found.network, found.network_config, found.preprocessing, found.card)
    return load_model(path)


def _scores(
    model: Model, paths: Sequence[Path], device: str, on_progress: ProgressCallback, stage: str
) -> list[CaseScore]:
    scores = []
    for done, path in enumerate(paths):
        on_progress(done, len(paths), stage)
        scores.append(score_case(load_case(path), model, device)[0])
    on_progress(len(paths), len(paths), stage)
    return scores
