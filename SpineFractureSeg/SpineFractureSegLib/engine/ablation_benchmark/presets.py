"""How large the ablation is. A number of slices ends each training, not a time: all arms learn from as many."""

from dataclasses import dataclass

from SpineFractureSegLib.engine.training.presets import bundled_cpu
from SpineFractureSegLib.engine.training.settings import Settings, changed


@dataclass(frozen=True)
class Preset:
    """Settings of the whole and how many cases there are."""

    name: str
    settings: Settings
    cases: tuple[int, int, int]  # simulated, of train, validation and test patients


def preset(name: str) -> Preset:
    """``gpu`` has the bundled model's grid and window at width 32, ``cpu`` a coarser grid at width 16."""
    steps = {"max_minutes": None}
    if name == "gpu":
        fields = {"training": {**steps, "max_epochs": 10, "slices_per_epoch": 6000, "workers": 12}}
        return Preset(name, changed(bundled_cpu(), {**fields, "network": {"width": 32}}, name), (300, 24, 24))
    if name == "cpu":
        fields = {"training": {**steps, "max_epochs": 6, "slices_per_epoch": 3000, "workers": 0}}
        coarse = {"preprocessing": {"spacing_mm": 2.0, "window_size": [64, 64]}}
        return Preset(name, changed(bundled_cpu(), {**fields, **coarse}, name), (160, 16, 24))
    raise ValueError(f"preset must be gpu or cpu, not {name!r}")
