"""``python -m SpineFractureSegLib`` is the command ``spine-fracture-seg``."""

import sys

from SpineFractureSegLib.engine.cli import main

if __name__ == "__main__":
    sys.exit(main())
