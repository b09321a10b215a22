"""What neighbors and the own posterior wall say of a loss."""

import numpy as np
import pytest

from SpineFractureSegLib.engine.vertebrae.height_loss import height_losses


def healthy(count=9, first_mm=18.0, growth=0.025):
    wall = first_mm * np.exp(growth * np.arange(count))
    return np.stack([0.97 * wall, 0.94 * wall, wall], axis=1)


def test_a_healthy_spine_has_lost_nothing():
    loss, by_neighbors = height_losses(healthy(), np.zeros(9))
    np.testing.assert_allclose(loss, 0, atol=0.01)
    assert by_neighbors.all()


@pytest.mark.parametrize("body", [0, 4, 8])
@pytest.mark.parametrize("lost", [(0.4, 0.2, 0.0), (0.1, 0.35, 0.05), (0.45, 0.45, 0.4)])
def test_a_loss_is_found_wherever_the_body_lies(body, lost):
    heights = healthy()
    heights[body] *= 1 - np.array(lost)
    loss, _ = height_losses(heights, np.zeros(9))
    assert loss[body] == pytest.approx(lost, abs=0.06)
    assert np.abs(np.delete(loss, body, axis=0)).max() < 0.05


def test_people_differ_and_that_is_no_loss():
    heights = healthy() * (1 + 0.05 * np.random.default_rng(0).uniform(-1, 1, (9, 1)))
    loss, _ = height_losses(heights, np.zeros(9))
    assert loss.max() < 0.08


def test_bodies_that_are_probably_fractured_are_no_yardstick():
    heights = healthy(5)
    heights[1:4] *= 0.65
    blind, _ = height_losses(heights, np.zeros(5))
    told, _ = height_losses(heights, [0, 0.9, 0.9, 0.9, 0])
    assert told[1:4].min() > 0.25
    assert told[1:4].min() >= blind[1:4].min()


def test_unmeasured_bodies_stay_unmeasured_and_harm_no_one():
    heights = healthy()
    heights[3] = np.nan
    loss, _ = height_losses(heights, np.zeros(9))
    assert np.isnan(loss[3]).all()
    assert np.nanmax(np.abs(loss)) < 0.01


def test_alone_a_body_has_its_own_posterior_wall():
    loss, by_neighbors = height_losses(np.array([[12.0, 16.0, 20.0]]), [0.0])
    assert not by_neighbors[0]
    assert loss[0, 2] == 0
    assert loss[0, 0] == pytest.approx(1 - 12 / (20 * np.exp(-0.03)), abs=1e-6)
