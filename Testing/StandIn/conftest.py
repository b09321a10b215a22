"""Tests of the stand-in: where it could lie and no test of the module would notice; see scene_plugin.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scene_plugin import pytest_collect_file, slicer_scene  # noqa: F401
