"""The engine: CT in, fracture segmentation out. Never imports slicer, qt or vtk.

The public names are loaded on first use, so that the simulator and the trainer run on prepared arrays on a machine
that has torch, numpy and scipy only (no SimpleITK).
"""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "load_model": "model_file",
    "segment_ct": "pipeline",
    "evaluate": "metrics",
    "UserError": "errors",
    "Cancelled": "errors",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return __all__
