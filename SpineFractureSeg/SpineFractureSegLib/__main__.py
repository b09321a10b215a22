"""``python -m SpineFractureSegLib`` is the command ``spine-fracture-seg``; so is ``python path/to/this/file``."""

import sys
from pathlib import Path

if not __package__:  # run as a file: Python put this folder first on the path, its parent is the one that is needed
    _folder = Path(__file__).resolve().parent
    sys.path[:] = [str(_folder.parent), *(entry for entry in sys.path if Path(entry).resolve() != _folder)]

from SpineFractureSegLib.engine.cli import main

if __name__ == "__main__":
    sys.exit(main())
