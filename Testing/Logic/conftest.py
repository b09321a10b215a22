"""Lets pytest run the tests of the scene outside Slicer: each one gets a fresh scene of the stand-in.

Inside the application this file is not used: there the same tests run through CTest, with Slicer's own scene.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

TESTING = Path(__file__).resolve().parents[1]
MISSING = [name for name in ("slicer", "PySide6") if importlib.util.find_spec(name) is None]

if MISSING:
    # There are wheels of slicer-core for one version of Python only.
    collect_ignore_glob = ["test_*.py"]
    print(f"{Path(__file__).parent.name}: tests of the scene skipped, {' and '.join(MISSING)} not installed", file=sys.stderr)
else:
    for folder in (TESTING, TESTING / "Logic", Path(__file__).resolve().parent):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    import SlicerStandIn

    SlicerStandIn.boot()

    @pytest.fixture(autouse=True)
    def slicer_scene():
        """A fresh scene for each test; an exception that a slot or observer raised fails it."""
        SlicerStandIn.reset()
        yield
        assert not SlicerStandIn.slot_errors, f"raised in a slot or observer: {SlicerStandIn.slot_errors}"
