"""How large the comparison is: for a workstation for days, for one GPU in minutes, for a CPU in hours."""

from dataclasses import dataclass, replace

from SpineFractureSegLib.engine.preprocessing import Preprocessing
from SpineFractureSegLib.engine.training.config import Balance, TrainingConfig
from SpineFractureSegLib.engine.training.presets import paper

# as the paper's images, each of which has a mask. With slices without fracture, too, a small network first learns to
# answer nothing at all, and is still there after 24,000 slices.
FRACTURED_SLICES = Balance(fractured=1.0, intact=0.0, real_negative=0.0)


@dataclass(frozen=True)
class Preset:
    """Cases, network size and protocol of all networks alike."""

    name: str
    width: int  # of the proposed network
    cases: tuple[int, int, int]  # simulated, of train, validation and test patients
    training: TrainingConfig
    preprocessing: Preprocessing
    test_slice_step: int  # every n-th slice of a test case is scored
    timed_slices: int  # that milliseconds per slice are the median of


def preset(name: str) -> Preset:
    """``full``, ``gpu`` or ``cpu``; all have the paper's optimizer, batch, plateau, early stopping and two planes.

    The time limits of ``gpu`` and ``cpu`` hold the whole table to 25 minutes of a large GPU and, two networks at a
    time, to 3 hours of two cores; the number of epochs is meant to end most runs before.
    """
    settings = paper()
    training = replace(settings.training, balance=FRACTURED_SLICES)
    if name == "full":  # 235 images, as many as the paper's, 70/10/20
        return Preset(name, 64, (165, 23, 47), training, settings.preprocessing, 2, 5)
    if name == "gpu":
        training = replace(
            training, max_epochs=24, slices_per_epoch=4000, max_minutes=1.4, validation_slice_step=4, workers=12
        )
        return Preset(name, 32, (70, 10, 20), training, settings.preprocessing, 4, 20)
    if name == "cpu":
        training = replace(
            training, max_epochs=8, slices_per_epoch=3000, max_minutes=27.0, validation_slice_step=3, workers=0
        )
        small = replace(settings.preprocessing, spacing_mm=2.0, window_size=(64, 64))
        return Preset(name, 16, (84, 12, 24), training, small, 3, 5)
    raise ValueError(f"preset must be full, gpu or cpu, not {name!r}")
