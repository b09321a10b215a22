"""Runs the tests of logic and panel inside the real application, and ends it with their result:

  Slicer --testing --no-splash --additional-module-paths SpineFractureSeg --python-script Testing/run_in_slicer.py

Tests that run the engine need its packages in Slicer's Python; without them they are skipped and say so. The same tests
are registered for CTest, for an extension that is built against Slicer.
"""

import sys
import unittest
from pathlib import Path

import slicer

TESTING = Path(__file__).resolve().parent


def main() -> None:
    folders = [TESTING / "Logic", TESTING / "Panel"]
    sys.path[:0] = [str(folder) for folder in folders]
    names = sorted(path.stem for folder in folders for path in folder.glob("test_*.py"))
    suite = unittest.defaultTestLoader.loadTestsFromNames(names)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    slicer.util.exit(0 if result.wasSuccessful() else 1)


main()
