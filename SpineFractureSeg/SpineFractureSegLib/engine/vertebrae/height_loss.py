"""How much of its height each body has lost, judged by its neighbors and by its own posterior wall.

Heights grow smoothly down the spine. How high a body's posterior wall should be is read from a line through the
logarithms of its neighbors' walls, each counting by how near it is and how intact it seems, and moved to the body's own
wall where that differs no more than people's bodies do. Front and middle should stand to that as they do in the
neighbors and in healthy spines.
"""

from collections.abc import Sequence

import numpy as np

_REACH = 2.5  # bodies; a neighbor's weight falls by e over this distance
_GROWTH = 0.025  # of the logarithm from one body to the next below; T4 to L4 of healthy spines
_GROWTH_WEIGHT = 10.0  # how many squared steps of neighbors the usual growth counts as
_USUAL_SHAPE = np.array([-0.03, -0.06])  # logarithm of front and middle over back in healthy bodies
_SHAPE_WEIGHT = 0.7  # of it, in neighbors next to the body
_LEAST_WEIGHT = 0.45  # of all intact neighbors together; less says nothing
_OWN_SIZE = (0.065, 0.13)  # logarithm of wall over expectation: natural up to the first, a loss from the second
_DOUBT = (0.15, 0.3)  # height loss over which a body ceases to be a yardstick for its neighbors
_WINDOW, _HIGH = 3, 75  # bodies to both sides, and percentile of them, that a first guess takes for intact
_ROUNDS = 4


def height_losses(heights_mm: np.ndarray, doubt: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Share of the height lost at the three places, negative where a body is higher than expected.

    Args:
        heights_mm: (N, 3) anterior, middle, posterior, from the top down; nan where a body could not be measured.
        doubt: (N,) from 0 to 1, how unfit a body is as a yardstick, for example its fracture probability.

    Returns:
        (N, 3) losses, nan where unmeasured;
        (N,) bool, whether neighbors served. Where none is fit, the body is compared with its own posterior wall alone.
    """
    log_heights = np.log(np.asarray(heights_mm, float).reshape(-1, 3))
    measured = ~np.isnan(log_heights).any(axis=1)
    trust = np.where(measured, 1.0 - np.clip(np.asarray(doubt, float), 0.0, 1.0), 0.0)
    expected = _first_guess(log_heights, trust)
    by_neighbors = np.zeros(len(log_heights), bool)
    for _ in range(_ROUNDS):
        worst = (1.0 - np.exp(log_heights - expected)).max(axis=1, initial=0.0)
        weight = trust * np.clip((_DOUBT[1] - np.nan_to_num(worst, nan=1.0)) / (_DOUBT[1] - _DOUBT[0]), 0.0, 1.0)
        expected, by_neighbors = _expected(log_heights, weight)
    return 1.0 - np.exp(log_heights - expected), by_neighbors


def _first_guess(log_heights: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """Logarithms (N, 3): the higher ones of the bodies around are taken for intact, as losses go one way only."""
    number = np.arange(len(log_heights))
    size = log_heights.max(axis=1) - _GROWTH * number
    expected = np.full_like(log_heights, np.nan)
    for body in np.flatnonzero(~np.isnan(size)):
        around = (np.abs(number - body) <= _WINDOW) & (trust > 0.5) & ~np.isnan(size)
        around[body] = True
        expected[body] = np.percentile(size[around], _HIGH) + _GROWTH * body
    expected[:, :2] += _USUAL_SHAPE
    return expected


def _expected(log_heights: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms (N, 3) of the heights that the bodies should have, and whether neighbors said so."""
    number = np.arange(len(log_heights))
    wall = np.nan_to_num(log_heights[:, 2])
    shape = np.nan_to_num(log_heights[:, :2] - log_heights[:, 2:])
    expected = np.full_like(log_heights, np.nan)
    by_neighbors = np.zeros(len(log_heights), bool)
    for body in number:
        step = number - body
        near = weight * np.exp(-np.abs(step) / _REACH) * (step != 0)
        by_neighbors[body] = near.sum() >= _LEAST_WEIGHT
        own_wall = log_heights[body, 2]
        if not by_neighbors[body]:
            expected[body] = own_wall, own_wall, own_wall
            expected[body, :2] += _USUAL_SHAPE
            continue
        # weighted least squares of offset and growth, the growth held near the usual one
        normal = np.array([[near.sum(), near @ step], [near @ step, near @ step**2 + _GROWTH_WEIGHT]])
        right = np.array([near @ wall, (near * step) @ wall + _GROWTH_WEIGHT * _GROWTH])
        said = np.linalg.solve(normal, right)[0]
        natural = np.clip((_OWN_SIZE[1] - np.abs(own_wall - said)) / (_OWN_SIZE[1] - _OWN_SIZE[0]), 0.0, 1.0)
        expected[body, 2] = said + natural * (own_wall - said)
        shape_said = (near @ shape + _SHAPE_WEIGHT * _USUAL_SHAPE) / (near.sum() + _SHAPE_WEIGHT)
        expected[body, :2] = expected[body, 2] + shape_said
    return expected, by_neighbors
