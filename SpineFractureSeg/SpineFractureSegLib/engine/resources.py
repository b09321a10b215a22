"""Where the files lie that come with the program beside its code."""

from pathlib import Path


def resource_folder(name: str) -> Path:
    """``SpineFractureSeg/Resources/<name>`` in a clone and in Slicer, ``SpineFractureSegLib/Resources/<name>`` in a
    wheel."""
    package = Path(__file__).resolve().parents[1]
    in_wheel = package / "Resources" / name
    return in_wheel if in_wheel.is_dir() else package.parent / "Resources" / name
