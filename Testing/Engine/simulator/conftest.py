"""A made spine: five elliptic cylinders with arches, so that every height is known."""

import numpy as np
import pytest

from SpineFractureSegLib.engine.simulator.shapes import Spine

HEIGHT, DISC = 24, 8  # mm


def made_vertebrae() -> tuple[np.ndarray, np.ndarray]:
    """Labels and bodies of T12 to L4, T12 on top; z grows upwards."""
    z, y, x = np.ogrid[:180, :120, :90]
    body = ((y - 50) / 16) ** 2 + ((x - 45) / 21) ** 2 < 1
    arch = (np.abs(x - 45) < 18) & (np.abs(y - 76) < 3)
    pedicle = (np.abs(np.abs(x - 45) - 15) < 3) & (y > 55) & (y < 78)
    vertebrae = np.zeros((180, 120, 90), np.uint8)
    bodies = np.zeros(vertebrae.shape, bool)
    for level, vertebra in enumerate((23, 22, 21, 20, 19)):
        low = 12 + level * (HEIGHT + DISC)
        span = (z >= low) & (z < low + HEIGHT)
        middle = (z >= low + 6) & (z < low + HEIGHT - 4)
        vertebrae[(span & body) | (middle & (arch | pedicle))] = vertebra
        bodies |= span & body
    return vertebrae, bodies


@pytest.fixture(scope="session")
def made_spine() -> Spine:
    vertebrae, bodies = made_vertebrae()
    hu = np.where(vertebrae > 0, 250, 40).astype(np.int16)
    return Spine("made", "patient", "train", "made", "none", vertebrae, bodies, hu)


@pytest.fixture(scope="session")
def label_spine(made_spine: Spine) -> Spine:
    """The same without a CT."""
    return Spine("labels", "patient", "train", "made", "none", made_spine.vertebrae, made_spine.bodies)
