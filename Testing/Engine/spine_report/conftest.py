"""What the tests of the spine report share: vertebrae, and CT series on disk."""

import importlib.util
from pathlib import Path

import pytest

from SpineFractureSegLib.engine.vertebrae.vertebra import Vertebra


def _make_vertebra(number: int = 1, **changes) -> Vertebra:
    """A flagged L1 with every measure, unless changed."""
    fields = {
        "level": None,
        "centroid_ras_mm": (1.5, -20.25, 300.0 - 30 * number),
        "fracture_probability": 0.125,
        "anterior_mm": 24.5,
        "middle_mm": 23.25,
        "posterior_mm": 25.0,
        "width_mm": 40.0,
        "depth_mm": 30.0,
        "height_loss": {"anterior": 0.02, "middle": 0.07, "posterior": 0.0},
        "genant": 0,
        "trabecular_hu": 142.6,
        "complete": True,
        "flagged": False,
    }
    return Vertebra(number=number, **{**fields, **changes})


@pytest.fixture
def spine() -> list[Vertebra]:
    """Three: intact L1, flagged L2, and one cut by the border of which nothing could be measured."""
    nothing = dict.fromkeys(("anterior_mm", "middle_mm", "posterior_mm", "width_mm", "depth_mm"))
    nothing |= {"height_loss": None, "genant": None, "trabecular_hu": None}
    flagged = {"fracture_probability": 0.82, "genant": 2, "flagged": True, "anterior_mm": 15.0}
    losses = {"anterior": 0.4, "middle": 0.2, "posterior": 0.0}
    return [
        _make_vertebra(1, level="L1"),
        _make_vertebra(2, level="L2", height_loss=losses, notes=("Cement raises the density.",), **flagged),
        _make_vertebra(3, complete=False, notes=("Cut by the border.",), **nothing),
    ]


@pytest.fixture
def make_vertebra():
    """make_vertebra(number, **changes)"""
    return _make_vertebra


@pytest.fixture(scope="session")
def dicom():
    """The module ``dicom_phantom``, for tests that are imported without a package."""
    pytest.importorskip("pydicom")
    spec = importlib.util.spec_from_file_location("dicom_phantom", Path(__file__).with_name("dicom_phantom.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
