"""A folder of cases from a shape library: simulated ones, and the real CTs without fracture as they are."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from SpineFractureSegLib.engine.case import Case, save_case
from SpineFractureSegLib.engine.progress import ProgressCallback, StopQuery, never_stop, no_progress, raise_if_stopped
from SpineFractureSegLib.engine.simulator.config import SimulationConfig
from SpineFractureSegLib.engine.simulator.shapes import Spine, load_library
from SpineFractureSegLib.engine.simulator.simulate import simulate_case

# A spine with a real CT is drawn more often than one whose Hounsfield units are synthesized: it is closer to the job.
_REAL_CT_WEIGHT = 2.5


@dataclass(frozen=True)
class CaseFolder:
    """What ``generate_cases`` made, and from whom."""

    folder: Path
    simulated: list[Path]
    real_negatives: list[Path]
    patients: dict[str, str]  # patient -> split


def generate_cases(
    library: str | Path,
    split: str,
    count: int,
    output: str | Path,
    *,
    seed: int = 0,
    config: SimulationConfig = SimulationConfig(),  # noqa: B008
    processes: int = 1,
    on_progress: ProgressCallback = no_progress,
    should_stop: StopQuery = never_stop,
) -> CaseFolder:
    """Simulates ``count`` cases from the spines of one split, and writes that split's real CTs as negatives.

    Cases that are there already are kept, so an interrupted call goes on where it was stopped.

    Raises: FileNotFoundError, when the library holds no spine of the split; Cancelled.
    """
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    spines = {spine.name: spine for spine in load_library(library, split)}
    negatives = []
    for name, spine in spines.items():
        if spine.hu is not None:
            negatives.append(output / f"real-{name}.npz")
            if not negatives[-1].exists():
                save_case(negatives[-1], real_negative(spine))
    labelled = [name for name, spine in spines.items() if spine.ids]
    weight = np.array([_REAL_CT_WEIGHT if spines[name].hu is not None else 1.0 for name in labelled])
    weight *= [np.sqrt(len(spines[name].ids)) for name in labelled]
    drawn = np.random.default_rng(seed).choice(labelled, count, p=weight / weight.sum())
    paths = [output / f"simulated-{seed + i:06d}-{name}.npz" for i, name in enumerate(drawn)]
    jobs = [
        (Path(library) / f"{name}.npz", seed + i, config, path)
        for i, (name, path) in enumerate(zip(drawn, paths, strict=True))
        if not path.exists()
    ]
    done = count - len(jobs)
    on_progress(done, count, "simulated cases")
    with ProcessPoolExecutor(processes, initializer=_load, initargs=(spines,)) as pool:
        for _ in pool.map(_simulate, jobs):
            done += 1
            on_progress(done, count, "simulated cases")
            if should_stop():
                pool.shutdown(wait=True, cancel_futures=True)
                raise_if_stopped(should_stop)
    return CaseFolder(output, paths, negatives, {spine.patient: split for spine in spines.values()})


def real_negative(spine: Spine) -> Case:
    """The spine's CT as it is. Vertebrae of unknown state are left out of loss and score."""
    if spine.hu is None:
        raise ValueError(f"spine {spine.name} has no CT")
    ids = set(spine.ids)
    return Case(
        name=f"real-{spine.name}",
        patient=spine.patient,
        hu=spine.hu,
        bodies=np.where(spine.bodies, spine.vertebrae, 0).astype(np.uint8),
        fractured=tuple(sorted(set(spine.genant) & ids)),
        uncertain=tuple(sorted((set(spine.uncertain) - set(spine.genant)) & ids)),
        has_bodies=bool(ids),
        truth={"spine": spine.name, "real_ct": True, "as_scanned": True},
    )


_spines: dict[str, Spine] = {}  # per worker process: loaded once, not once per case


def _load(spines: dict[str, Spine]) -> None:
    _spines.update(spines)


def _simulate(job: tuple[Path, int, SimulationConfig, Path]) -> None:
    spine_path, seed, config, path = job
    save_case(path, simulate_case(_spines[spine_path.stem], seed, config))
