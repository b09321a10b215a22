"""One probability for each body: what a threshold then outlines."""

import numpy as np
import pytest

from SpineFractureSegLib.engine.vertebrae.by_body import body_probabilities, fracture_by_body
from SpineFractureSegLib.engine.vertebrae.instances import Bodies, find_bodies


@pytest.fixture(scope="module")
def answer(column):
    """A fractured second body with a hole in the answer, a spot in the fourth, a broken process behind the third."""
    bodies, vertebra = column
    z, y, x = np.indices(vertebra.shape, sparse=True)
    fractured = bodies[1].distance_mm(z, y, x) > 0
    upper = z > bodies[1].centre_mm[0] + 4
    spot = np.sqrt(sum((a - c) ** 2 for a, c in zip((z, y, x), bodies[3].centre_mm, strict=True))) < 8
    process = (np.abs(z - bodies[2].centre_mm[0]) < 4) & (np.abs(y - 110) < 8) & (np.abs(x - 45) < 3)
    fracture = np.where(fractured & ~upper, 0.9, 0.0) + np.where(spot, 0.8, 0.0) + np.where(process, 0.7, 0.0)
    return fracture.astype(np.float32), vertebra, find_bodies(vertebra, 1.0), fractured, process


def test_a_bodys_probability_is_its_mean_weighted_by_how_much_is_body():
    bodies = Bodies(np.array([1, 1, 2, 0], np.uint8), 2, None)
    values = body_probabilities(np.array([0.0, 1.0, 0.4, 1.0]), np.array([0.25, 0.75, 1.0, 1.0]), bodies)
    assert values == pytest.approx([0.75, 0.4])


def test_a_threshold_outlines_whole_bodies_and_what_lies_outside_stays(answer):
    fracture, vertebra, bodies, fractured, process = answer
    values = body_probabilities(fracture, vertebra, bodies)
    threshold = values[1] - 0.1
    assert threshold > values[3] + 0.1
    result = fracture_by_body(fracture, vertebra, bodies, 1.0)
    mask = (result >= threshold) & ~process
    assert 2 * (mask & fractured).sum() / (mask.sum() + fractured.sum()) > 0.97
    np.testing.assert_array_equal(result[process], fracture[process])


@pytest.mark.parametrize("level", [0.2, 0.4, 0.6])
def test_the_outline_is_the_bodys_whatever_the_threshold(answer, level):
    _fracture, vertebra, bodies, fractured, process = answer
    mask = (fracture_by_body(np.where(fractured, 0.9, 0), vertebra, bodies, 1.0) >= level) & ~process
    assert 2 * (mask & fractured).sum() / (mask.sum() + fractured.sum()) > 0.95


def test_no_shell_of_a_spot_stays_around_an_intact_body(column):
    bodies, vertebra = column
    z, y, x = np.indices(vertebra.shape, sparse=True)
    front = bodies[2].distance_mm(z, y, x) > -0.5  # the front wall with its soft rim
    spot = front & (y < bodies[2].centre_mm[1] - 13) & (np.abs(x - 45) < 6)
    result = fracture_by_body(np.where(spot, 0.9, 0.0), vertebra, find_bodies(vertebra, 1.0), 1.0)
    assert (result >= 0.3).sum() < 0.2 * spot.sum()


def test_a_gate_takes_spots_out_of_intact_bodies_and_leaves_the_outline_of_fractured_ones(answer):
    fracture, vertebra, bodies, fractured, process = answer
    values = body_probabilities(fracture, vertebra, bodies)
    gate = (values[1] + values[3]) / 2  # a half of the second body is fracture, a spot in the fourth
    result = fracture_by_body(fracture, vertebra, bodies, 1.0, below=gate)
    np.testing.assert_array_equal(result[fractured], fracture[fractured])
    np.testing.assert_array_equal(result[process], fracture[process])
    spot = (fracture == np.float32(0.8)) & (bodies.labels == 4)
    assert spot.any()
    assert result[spot] == pytest.approx(values[3], abs=1e-6)


def test_without_bodies_nothing_changes():
    fracture = np.random.default_rng(0).random((4, 5, 6), np.float32)
    bodies = Bodies(np.zeros(fracture.shape, np.uint8), 0, None)
    result = fracture_by_body(fracture, fracture, bodies, 1.0)
    np.testing.assert_array_equal(result, fracture)
    assert result is not fracture
