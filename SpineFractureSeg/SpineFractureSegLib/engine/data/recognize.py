"""Which layout a folder has. Readers are asked in turn, those of a particular data set before the general ones."""

from collections import Counter
from pathlib import Path

from SpineFractureSegLib.engine.data import ctspine1k, nnunet, pairs, rsna, verse, verse_challenge
from SpineFractureSegLib.engine.data.folder import files_below
from SpineFractureSegLib.engine.data.scan import DataSet, Hints
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.volume import image_suffix

LAYOUTS = {  # what ``--layout`` calls it -> its reader
    "rsna": rsna,
    "nnunet": nnunet,
    "verse": verse,
    "verse-challenge": verse_challenge,
    "ctspine1k": ctspine1k,
    "pairs": pairs,
}
_LISTED = 2000  # files that are looked at to say what was found instead


def read_data_set(folder: str | Path, layout: str | None = None, hints: Hints = Hints()) -> DataSet:  # noqa: B008
    """Describes all scans of a folder; reads names, tables and headers, no voxels.

    Args:
        folder: of a data set.
        layout: a key of ``LAYOUTS``, where the folder could be several; None: the first that fits.
        hints: what the files themselves do not say.

    Raises: UserError, when nothing is recognized or a table of the data set is not what it should be.
    """
    folder = Path(folder).absolute()
    if not folder.is_dir():
        raise UserError(f"'{folder}' is no folder, the folder of a data set is needed: check the name.")
    readers = LAYOUTS if layout is None else {layout: LAYOUTS[layout]}
    for reader in readers.values():
        found = reader.read(folder, hints)
        if found is not None:
            return found
    wanted = "; ".join(reader.LAYOUT for reader in readers.values())
    raise UserError(
        f"'{folder}' holds {_what_is_there(folder)}, {'no known' if layout is None else 'not this'} layout of CTs "
        f"with labels was recognized (expected: {wanted}): rename the files as `spine-fracture-seg data --help` shows."
    )


def _what_is_there(folder: Path) -> str:
    kinds = Counter()
    for number, path in enumerate(files_below(folder)):
        kinds[image_suffix(path) or path.suffix.lower() or "without an ending"] += 1
        if number >= _LISTED:
            break
    return ", ".join(f"{count} files {kind}" for kind, count in kinds.most_common(4)) or "no files"
