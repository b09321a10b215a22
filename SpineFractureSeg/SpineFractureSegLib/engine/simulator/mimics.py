"""Degenerative changes of intact vertebrae that look like fractures and are none."""

import numpy as np

from SpineFractureSegLib.engine.simulator.body_coordinates import BodyCoordinates


def degenerate_hu(hu: np.ndarray, body: BodyCoordinates, rng: np.random.Generator) -> np.ndarray:
    """Hounsfield units (N,) of an intact body with one degenerative change, drawn at random."""
    change = (_schmorl_node, _endplate_sclerosis, _density, _focal_lesion)[rng.integers(4)]
    return change(hu, body, rng)


def _schmorl_node(hu: np.ndarray, body: BodyCoordinates, rng: np.random.Generator) -> np.ndarray:
    endplate = float(rng.integers(2))
    distance = np.sqrt(
        ((body.share - endplate) * body.frame.height_mm) ** 2
        + (body.depth - rng.normal(0, 6)) ** 2
        + (body.width - rng.normal(0, 6)) ** 2
    )
    radius = rng.uniform(2.5, 6)
    node = 1 / (1 + np.exp(np.clip((distance - radius) / 0.5, -30, 30)))
    rim = np.exp(-(((distance - radius - 1.2) / 1.1) ** 2))
    return hu * (1 - node) + 90 * node + rng.uniform(0, 350) * rim


def _endplate_sclerosis(hu: np.ndarray, body: BodyCoordinates, rng: np.random.Generator) -> np.ndarray:
    endplate, thickness = float(rng.integers(2)), rng.uniform(2, 5)
    band = np.exp(-(((body.share - endplate) * body.frame.height_mm / thickness) ** 2))
    back, front = body.frame.depth_range
    return hu + rng.uniform(50, 300) * band * (body.depth > rng.uniform(back, 0.6 * front))


def _density(hu: np.ndarray, body: BodyCoordinates, rng: np.random.Generator) -> np.ndarray:
    return hu + rng.uniform(-60, 120)


def _focal_lesion(hu: np.ndarray, body: BodyCoordinates, rng: np.random.Generator) -> np.ndarray:
    """A bone island or a hemangioma."""
    distance = np.sqrt(
        (body.height - rng.normal(0, 5)) ** 2
        + (body.depth - rng.normal(0, 7)) ** 2
        + (body.width - rng.normal(0, 7)) ** 2
    )
    return hu + rng.uniform(-120, 400) * np.exp(-((distance / rng.uniform(2, 7)) ** 2))
