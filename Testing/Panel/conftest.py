"""Tests of the panel run in a scene of the stand-in, see scene_plugin.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scene_plugin import pytest_collect_file, slicer_scene  # noqa: F401
