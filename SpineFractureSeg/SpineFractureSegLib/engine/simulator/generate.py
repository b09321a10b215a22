"""A folder of cases from a shape library: simulated ones, and the real CTs without fracture as they are."""

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from SpineFractureSegLib.engine.case import Case, save_case
from SpineFractureSegLib.engine.case_spacing import at_spacing
from SpineFractureSegLib.engine.progress import ProgressCallback, StopQuery, never_stop, no_progress, raise_if_stopped
from SpineFractureSegLib.engine.simulator.config import SimulationConfig
from SpineFractureSegLib.engine.simulator.plan import candidates_of
from SpineFractureSegLib.engine.simulator.sacrum import NONE, draw_transition, with_sacrum
from SpineFractureSegLib.engine.simulator.shapes import Spine, load_library
from SpineFractureSegLib.engine.simulator.simulate import simulate_case
from SpineFractureSegLib.engine.simulator.vertebra_frame import frames_of

_SACRA = 2  # made below one label map without sacrum; each costs time to make and memory to keep


@dataclass(frozen=True)
class CaseFolder:
    """What ``generate_cases`` made, and from whom."""

    folder: Path
    simulated: list[Path]
    real_negatives: list[Path]
    patients: dict[str, str]  # patient -> split
    cpu_seconds: float | None = None  # of the processor per simulated volume; None where all were there already


def every_spine(spine: Spine) -> bool:
    """Default ``takes_fractures``."""
    return True


def generate_cases(
    library: str | Path,
    split: str,
    count: int,
    output: str | Path,
    *,
    seed: int = 0,
    config: SimulationConfig = SimulationConfig(),  # noqa: B008
    spacing_mm: float = 1.0,
    takes_fractures: Callable[[Spine], bool] = every_spine,
    processes: int = 1,
    on_progress: ProgressCallback = no_progress,
    should_stop: StopQuery = never_stop,
) -> CaseFolder:
    """Simulates ``count`` cases from the spines of one split, and writes that split's real CTs as negatives.

    Every labelled real CT is drawn before any is drawn again, and ``config.twins`` of its cases are followed by the
    same case without the fractures, so that neither the scanner nor the patient tells whether there is one.
    Nothing is simulated on spines of which ``takes_fractures`` says no; their CTs are negatives all the same.
    They are simulated at 1 mm and stored at ``spacing_mm``. Cases that are there already are kept, so an interrupted
    call goes on where it was stopped.

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
                save_case(negatives[-1], at_spacing(real_negative(spine), spacing_mm))
    taken = {name: spine for name, spine in spines.items() if takes_fractures(spine)}
    jobs = [
        replace(job, path=output / job.file_name, spacing_mm=spacing_mm) for job in _jobs(taken, count, seed, config)
    ]
    missing = [job for job in jobs if not job.path.exists()]
    done, seconds = count - len(missing), 0.0
    on_progress(done, count, "simulated cases")
    with ProcessPoolExecutor(processes, initializer=_load, initargs=(spines,)) as pool:
        for spent in pool.map(_simulate, missing):
            seconds += spent
            done += 1
            on_progress(done, count, "simulated cases")
            if should_stop():
                pool.shutdown(wait=True, cancel_futures=True)
                raise_if_stopped(should_stop)
    return CaseFolder(
        output,
        [job.path for job in jobs],
        negatives,
        {spine.patient: split for spine in spines.values()},
        seconds / len(missing) if missing else None,
    )


@dataclass(frozen=True)
class _Job:
    spine: str
    seed: int
    fractured: bool
    config: SimulationConfig
    anatomy_alone: bool = False  # with synthesized Hounsfield units, although there is a CT
    spacing_mm: float = 1.0
    path: Path = Path()

    @property
    def file_name(self) -> str:
        what = "-synthesized" if self.anatomy_alone else "" if self.fractured else "-intact"
        return f"simulated-{self.seed:06d}-{self.spine}{what}.npz"


def _jobs(spines: dict[str, Spine], count: int, seed: int, config: SimulationConfig) -> list[_Job]:
    """The same beginning for every count, so that more cases can be added later."""
    labelled = [name for name, spine in spines.items() if candidates_of(spine, frames_of(spine)) or spine.genant]
    if count and not labelled:
        raise FileNotFoundError("no spine of the library has a vertebra that could be fractured")
    weight = np.array([config.real_ct_weight if spines[name].hu is not None else 1.0 for name in labelled])
    weight *= [np.sqrt(len(spines[name].ids)) for name in labelled]
    first = [name for name in labelled if spines[name].hu is not None]
    rng = np.random.default_rng((seed, 7))
    jobs = []
    while len(jobs) < count:
        name = first.pop(0) if first else str(rng.choice(labelled, p=weight / weight.sum()))
        number = seed + len(jobs)
        if _can_be_synthesized(spines[name]) and config.resynthesized and rng.random() < config.resynthesized:
            jobs.append(_Job(name, number, True, config, anatomy_alone=True))
            continue
        twins = spines[name].hu is not None and rng.random() < config.twins
        jobs.append(_Job(name, number, True, _with_fracture(config) if twins else config))
        if twins:
            jobs.append(_Job(name, number, False, config))
    return jobs[:count]


def _with_fracture(config: SimulationConfig) -> SimulationConfig:
    """The same without cases that have no fracture: their twins would be the same case again."""
    some = np.array((0.0, *config.fracture_count[1:]))
    return replace(config, fracture_count=tuple(some / some.sum())) if some.any() else config


def _can_be_synthesized(spine: Spine) -> bool:
    """Whether a CT's labels hold arches and processes; without them a synthesized one would have none."""
    return spine.hu is not None and spine.has_arches


def real_negative(spine: Spine) -> Case:
    """The spine's CT as it is. Vertebrae of unknown state are left out of loss and score."""
    if spine.hu is None:
        raise ValueError(f"spine {spine.name} has no CT")
    spine = with_sacrum(spine, np.random.default_rng(0))
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


@lru_cache(maxsize=12)  # what is measured of a spine is kept with it
def _anatomy(name: str, alone: bool = False, transition: str = NONE, seed: int = 0) -> Spine:
    spine = replace(_spines[name], hu=None, slice_step_mm=1.0) if alone else _spines[name]
    return with_sacrum(spine, np.random.default_rng(seed), transition)


def _simulate(job: _Job) -> float:
    """Writes the case. Returns: seconds of the processor's time."""
    start = time.process_time()
    spine = _anatomy(job.spine)
    if job.anatomy_alone or spine.hu is None:  # its sacrum is a made one
        transition = draw_transition(np.random.default_rng((job.seed, 12)), job.config.transitional)
        spine = _anatomy(job.spine, alone=True, transition=transition, seed=job.seed % _SACRA)
    case = simulate_case(spine, job.seed, job.config, job.fractured)
    seconds = time.process_time() - start
    save_case(job.path, at_spacing(case, job.spacing_mm))
    return seconds
