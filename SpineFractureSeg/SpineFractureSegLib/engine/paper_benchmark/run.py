"""One network with one seed: trained, scored on the test slices, kept in its own folder.

The folder gets the training's files, ``result.json`` and ``examples.npz``, later ``cost.json``. What is there is not
made again, and an interrupted training goes on.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from SpineFractureSegLib.engine.atomic_file import written_whole
from SpineFractureSegLib.engine.case import load_case
from SpineFractureSegLib.engine.device import choose_placement
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.inference import SlicePredictor
from SpineFractureSegLib.engine.json_fields import to_fields
from SpineFractureSegLib.engine.model_file import ModelCard, load_model
from SpineFractureSegLib.engine.paper_benchmark.cases import CasePaths, fractured_part
from SpineFractureSegLib.engine.paper_benchmark.cost import Cost, measure_cost
from SpineFractureSegLib.engine.paper_benchmark.entries import Entry
from SpineFractureSegLib.engine.paper_benchmark.presets import Preset
from SpineFractureSegLib.engine.paper_benchmark.slice_scores import Example, SliceCounts, score_slices
from SpineFractureSegLib.engine.progress import ProgressCallback
from SpineFractureSegLib.engine.training.trainer import TrainingResult, train

MOST_EXAMPLES = 3  # per plane


@dataclass(frozen=True)
class NetworkResult:
    """What a table needs to know of a trained network."""

    name: str  # of the entry
    seed: int
    settings: dict  # JSON types: preset, training, network, preprocessing
    threshold: float
    epochs: int
    best_epoch: int  # from 0
    minutes: float
    ended_by: str
    validation_dice: float | None  # mean by case with a fracture
    cost: Cost | None  # None until it was measured
    counts: tuple[SliceCounts, ...]


def run_network(
    entry: Entry,
    seed: int,
    preset: Preset,
    cases: CasePaths,
    folder: str | Path,
    device: str,
    on_progress: ProgressCallback,
) -> NetworkResult:
    """Trains and scores what is not there yet.

    Args:
        entry: which network.
        seed: of its first weights and of the samples.
        preset: size and protocol.
        cases: that all networks share.
        folder: of all networks.
        device: as ``train``.
        on_progress: as ``train``.

    Raises: UserError, when the folder holds a run with other settings, or as ``train``.
    """
    folder = run_folder(folder, entry, seed)
    training = replace(preset.training, seed=seed)
    network = entry.config(preset.width)
    parts = {"training": training, "network": network, "preprocessing": preset.preprocessing}
    settings = {"preset": preset.name, "cases": list(preset.cases), "test_slice_step": preset.test_slice_step}
    settings |= {name: to_fields(part) for name, part in parts.items()}
    if (folder / "result.json").exists():
        result = load_result(folder)
        if result.settings != settings:
            raise UserError(
                f"{folder} holds a run with other settings than preset {preset.name}; choose another folder."
            )
        return result
    card = ModelCard(
        name=f"{entry.name}-{seed}",
        description=f"{entry.title}, trained by `benchmark paper --preset {preset.name}` on simulated fractures.",
        label_meaning="As the simulator draws it.",
    )
    trained = train(
        training,
        network,
        preset.preprocessing,
        map(load_case, cases.train),
        filter(None, (fractured_part(load_case(path), preset.preprocessing.planes[0]) for path in cases.validation)),
        folder,
        device=device,
        card=card,
        on_progress=lambda done, total, stage: on_progress(done, total, f"{entry.name}: {stage}"),
    )
    counts, examples = _score(trained, preset, cases.test, device, entry.name, on_progress)
    result = NetworkResult(
        name=entry.name,
        seed=seed,
        settings=settings,
        threshold=trained.scores.threshold,
        epochs=trained.epochs,
        best_epoch=trained.best_epoch,
        minutes=trained.minutes,
        ended_by=trained.ended_by,
        validation_dice=None if math.isnan(trained.scores.dice_mean) else trained.scores.dice_mean,
        cost=None,
        counts=tuple(counts),
    )
    _save_examples(folder, examples)
    with written_whole(folder / "result.json") as partial:  # last: it says that the network is done
        partial.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    return result


def run_folder(folder: str | Path, entry: Entry, seed: int) -> Path:
    """Where a network's files are."""
    return Path(folder) / f"{entry.name}-{seed}"


def keep_cost(entry: Entry, seed: int, preset: Preset, folder: str | Path, device: str) -> None:
    """Measures what a trained network costs, when nobody has yet. Apart from the training, as others may run then.

    Args: as ``run_network``.
    """
    path = run_folder(folder, entry, seed) / "cost.json"
    if path.exists():
        return
    cost = measure_cost(entry.config(preset.width), preset.preprocessing.window_size, device, preset.timed_slices)
    with written_whole(path) as partial:
        partial.write_text(json.dumps(asdict(cost), indent=1) + "\n", encoding="utf-8")


def kept_results(folder: str | Path, entries: Sequence[Entry], seeds: int) -> list[NetworkResult]:
    """The results that are in the folder of all networks, for seeds below ``seeds``."""
    places = [run_folder(folder, entry, seed) for entry in entries for seed in range(seeds)]
    return [load_result(place) for place in places if (place / "result.json").exists()]


def load_result(folder: str | Path) -> NetworkResult:
    """What ``run_network`` kept."""
    fields = json.loads((Path(folder) / "result.json").read_text(encoding="utf-8"))
    cost = Path(folder) / "cost.json"
    fields["cost"] = Cost(**json.loads(cost.read_text(encoding="utf-8"))) if cost.exists() else None
    fields["counts"] = tuple(SliceCounts(**counts) for counts in fields["counts"])
    return NetworkResult(**fields)


def load_examples(folder: str | Path) -> list[Example]:
    """The same slices for every network of a benchmark."""
    with np.load(Path(folder) / "examples.npz") as arrays:
        return [
            Example(str(plane), *(arrays[f"{name}{number}"] for name in ("hu", "truth", "answer")))
            for number, plane in enumerate(arrays["planes"])
        ]


def _save_examples(folder: Path, examples: Sequence[Example]) -> None:
    arrays = {"planes": np.array([example.plane for example in examples])}
    for number, example in enumerate(examples):
        arrays |= {f"{name}{number}": getattr(example, name) for name in ("hu", "truth", "answer")}
    with written_whole(folder / "examples.npz") as partial:
        np.savez_compressed(partial, **arrays)


def _score(
    trained: TrainingResult,
    preset: Preset,
    paths: Sequence[Path],
    device: str,
    name: str,
    on_progress: ProgressCallback,
) -> tuple[list[SliceCounts], list[Example]]:
    """Counts of all test cases, and the examples of the first ones with a fractured body."""
    model = load_model(trained.model_path)  # in the precision in which it is stored and used
    placement, _ = choose_placement(device)
    predictor = SlicePredictor(model.network, len(model.network_config.outputs), preset.preprocessing, placement)
    counts, examples, shown = [], [], 0
    for done, path in enumerate(paths):
        on_progress(done, len(paths), f"{name}: test cases")
        case = load_case(path)
        scored = [
            score_slices(predictor, case, plane, trained.scores.threshold, preset.test_slice_step)
            for plane in preset.preprocessing.planes
        ]
        counts += [count for of_plane, _ in scored for count in of_plane]
        if shown < MOST_EXAMPLES and case.fractured and all(example.truth.any() for _, example in scored):
            examples += [example for _, example in scored]
            shown += 1
    on_progress(len(paths), len(paths), f"{name}: test cases")
    return counts, examples
