"""Made cases small enough to count by hand."""

from dataclasses import replace

import numpy as np
import pytest

from SpineFractureSegLib.engine.case import Case
from SpineFractureSegLib.engine.simulator.shapes import Spine


@pytest.fixture
def case() -> Case:
    """Three bodies above each other: 19 fractured, 20 intact, 21 uncertain."""
    bodies = np.zeros((60, 40, 40), np.uint8)
    for level, vertebra in enumerate((21, 20, 19)):
        bodies[4 + 18 * level : 16 + 18 * level, 12:28, 12:28] = vertebra
    loss = {"anterior": 0.4, "middle": 0.2, "posterior": 0.1}
    truth = {
        "vertebrae": {"19": {"type": "wedge", "part": "body", "genant": 3, "height_loss": loss}},
        "scan": {"slice_mm": 2.5},
    }
    return Case("made", "p", np.zeros(bodies.shape, np.int16), bodies, (19,), (21,), truth=truth)


@pytest.fixture
def case_with_drawn(case) -> Case:
    """Of the intact 20 a process is fractured as well, in two parts: 4 x 4 x 4 and 3 x 3 x 3, with a crumb beside."""
    drawn = np.zeros(case.bodies.shape, np.uint8)
    drawn[24:28, 32:36, 18:22] = drawn[24:27, 32:35, 24:27] = 1
    drawn[10, 38, 38] = 1
    vertebrae = {**case.truth["vertebrae"], "20": {"type": "spinous", "part": "spinous process", "genant": 0}}
    return replace(case, fracture_map=drawn, truth={**case.truth, "vertebrae": vertebrae})


@pytest.fixture(scope="session")
def label_spine() -> Spine:
    """T12, L1 and L2 as elliptic cylinders of 24 mm with arches, 8 mm apart; no CT."""
    z, y, x = np.ogrid[:120, :100, :80]
    body = ((y - 45) / 16) ** 2 + ((x - 40) / 21) ** 2 < 1
    behind = (np.abs(x - 40) < 30) & (np.abs(y - 71) < 5)
    behind = behind | ((np.abs(np.abs(x - 40) - 15) < 3) & (y > 50) & (y < 73))
    vertebrae, bodies = np.zeros((120, 100, 80), np.uint8), np.zeros((120, 100, 80), bool)
    for level, vertebra in enumerate((21, 20, 19)):
        low = 10 + 32 * level
        span = (z >= low) & (z < low + 24)
        vertebrae[(span & body) | ((z >= low + 6) & (z < low + 20) & behind)] = vertebra
        bodies |= span & body
    return Spine("labels", "patient", "test", "made", "none", vertebrae, bodies)
