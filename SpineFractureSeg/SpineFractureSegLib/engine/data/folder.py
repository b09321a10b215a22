"""Files of a folder, without what operating systems leave there, and how their names come apart."""

import os
from collections.abc import Iterator
from pathlib import Path

from SpineFractureSegLib.engine.data.scan import PARTS
from SpineFractureSegLib.engine.volume import image_suffix

_SEGMENTATION = ".seg"
_PART_WORDS = {"train": ("train",), "validation": ("valid",), "test": ("test",)}


def files_below(folder: Path) -> Iterator[Path]:
    """All files below a folder in order of their paths; hidden ones (``._name`` of a Mac, too) are passed over."""
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(where) / name for name in sorted(names) if not name.startswith("."))


def stem(path: Path) -> str:
    """The name without the ending of an image or a Slicer segmentation.

    >>> stem(Path("a/sub-1_ct.nii.gz")), stem(Path("case.seg.nrrd")), stem(Path("scores.csv"))
    ('sub-1_ct', 'case', 'scores')
    """
    suffix = image_suffix(path)
    if suffix is None:
        return path.stem
    name = path.name[: -len(suffix)]
    return name[: -len(_SEGMENTATION)] if is_segmentation(path) else name


def is_segmentation(path: Path) -> bool:
    """Whether the name is that of a segmentation saved by Slicer."""
    return path.name.lower().endswith(_SEGMENTATION + ".nrrd")


def part_in(folders: tuple[str, ...]) -> str:
    """The part of the split that names of folders speak of, the innermost first; empty where none does.

    >>> part_in(("dataset-verse20training", "dataset-02validation", "rawdata")), part_in(("latest",))
    ('validation', '')
    """
    for name in reversed(folders):
        words = "".join(c if c.isalpha() else " " for c in name.lower()).split()
        for part in PARTS:
            if any(word.startswith(start) for word in words for start in _PART_WORDS[part]):
                return part
    return ""
