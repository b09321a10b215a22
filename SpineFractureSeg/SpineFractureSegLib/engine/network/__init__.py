"""The network of Saeed et al. 2024, block by block, what is ours in it, and the networks it is compared with.

The public names are loaded on first use: ``NetworkConfig`` is read of every model file, where torch may be missing.
"""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "ARCHITECTURES": "config",
    "FractureNetwork": "network",
    "NetworkConfig": "config",
    "SliceNetwork": "slice_network",
    "build_network": "architectures",
    "fuse_for_inference": "fusion",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return __all__
