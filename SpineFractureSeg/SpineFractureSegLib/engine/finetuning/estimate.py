"""How long training will take on this device, from a few real steps on a made case."""

import contextlib
import tempfile
import time
from dataclasses import asdict, dataclass, replace

import numpy as np

from SpineFractureSegLib.engine.case import MAP_FRACTURE, Case
from SpineFractureSegLib.engine.device import choose_device
from SpineFractureSegLib.engine.errors import Cancelled
from SpineFractureSegLib.engine.finetuning.settings import FinetuneSettings, training_config
from SpineFractureSegLib.engine.model_file import Model
from SpineFractureSegLib.engine.training.trainer import train

_STEPS = 8  # that are timed; the first is not, as it waits for the first samples


@dataclass(frozen=True)
class Estimate:
    """What to expect of a run. Preparing the cases and scoring them come on top."""

    device: str
    seconds_per_epoch: float  # without its validation
    epochs: int  # that fit into the time budget, at most those asked for
    minutes: float  # of training

    def to_json(self) -> dict:
        """The fields under their own names, rounded to what can be known."""
        fields = asdict(self)
        return fields | {name: round(fields[name], 1) for name in ("seconds_per_epoch", "minutes")}


def estimate(parent: Model, settings: FinetuneSettings) -> Estimate:
    """Times the trainer's own steps, with its data loader, in a folder that is removed.

    Raises: UserError, when the device does not exist here.
    """
    config = training_config(settings, real_negatives=False)
    few = replace(config, slices_per_epoch=(_STEPS + 2) * config.batch_size, max_minutes=None)
    made = [_made_case(parent)]
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Cancelled):
        train(
            few,
            parent.network_config,
            parent.preprocessing,
            made,
            made,
            folder,
            device=settings.device,
            start_from=parent.network,
            on_progress=lambda *_: times.append(time.monotonic()),
            should_stop=lambda: len(times) > _STEPS,
        )
    steps = max(settings.slices_per_epoch // config.batch_size, 1)
    seconds = float(np.median(np.diff(times))) * steps
    minutes = settings.epochs * seconds / 60
    if settings.minutes is not None:
        minutes = min(minutes, settings.minutes)
    epochs = min(max(round(minutes * 60 / seconds), 1), settings.epochs)
    return Estimate(str(choose_device(settings.device)[0]), seconds, epochs, minutes)


def _made_case(parent: Model) -> Case:
    """Noise with a drawn box, somewhat larger than a window in every plane."""
    spacing = parent.preprocessing.spacing_mm
    size = tuple(round(1.2 * max(parent.preprocessing.window_size)) for _ in range(3))
    random = np.random.default_rng(0)
    hu = random.normal(100, 200, size).astype(np.int16)
    drawn = np.zeros(size, np.uint8)
    middle = tuple(slice(length // 3, 2 * length // 3) for length in size)
    drawn[middle] = MAP_FRACTURE
    about = {"as_scanned": True}
    bodies = np.zeros(size, np.uint8)
    return Case("made", "made", hu, bodies, has_bodies=False, spacing_mm=spacing, truth=about, fracture_map=drawn)
