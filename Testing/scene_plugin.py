"""What pytest needs for the tests of the scene outside Slicer; the conftest.py of Testing/Logic and Panel import it.

Inside the application nothing of this is used: there the same tests run through CTest, in Slicer's own scene.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

TESTING = Path(__file__).resolve().parent
MISSING = [name for name in ("slicer", "PySide6") if importlib.util.find_spec(name) is None]
SKIP_REASON = f"the stand-in of Slicer needs {' and '.join(MISSING)}; slicer-core exists for Python 3.11 only"

for folder in ("Panel", "Logic", "."):
    if str(TESTING / folder) not in sys.path:
        sys.path.insert(0, str(TESTING / folder))
if not MISSING:
    import SlicerStandIn

    SlicerStandIn.boot()


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path, parent):
    """Where the stand-in cannot run, one skipped test takes the place of each file, which could not be imported."""
    collectors = yield
    if not MISSING or not collectors:
        return collectors
    return [SkippedFile.from_parent(parent, path=file_path)] if file_path.match("test_*.py") else []


class SkippedFile(pytest.File):
    """Holds one test that is skipped."""

    def collect(self):
        yield SkippedTest.from_parent(self, name=self.path.stem)


class SkippedTest(pytest.Item):
    """Says why it is skipped."""

    def runtest(self):
        pytest.skip(SKIP_REASON)


@pytest.fixture(autouse=True)
def slicer_scene():
    """A fresh scene for each test; an exception that a slot or observer raised fails it."""
    SlicerStandIn.reset()
    yield
    SlicerStandIn.unload_all()
    SlicerStandIn.process_events()
    assert not SlicerStandIn.slot_errors, f"raised in a slot or observer: {SlicerStandIn.slot_errors}"
