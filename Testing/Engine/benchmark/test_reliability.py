import numpy as np
import pytest

from SpineFractureSegLib.engine.benchmark.reliability import BINS, Reliability


def test_the_error_is_that_of_the_definition():
    rng = np.random.default_rng(0)
    probability = rng.random(20_000)
    truth = rng.random(20_000) < probability**2  # too sure
    curve = Reliability()
    curve.add(probability[:5000], truth[:5000])
    rest = Reliability()
    rest.add(probability[5000:], truth[5000:])
    curve.merge(rest)
    expected = 0.0
    for low in np.arange(BINS) / BINS:
        inside = (probability >= low) & (probability < low + 1 / BINS)
        expected += inside.mean() * abs(truth[inside].mean() - probability[inside].mean())
    assert curve.error == pytest.approx(expected)
    assert curve.error == pytest.approx(1 / 6, abs=0.01)  # the mean of p - p^2


def test_probabilities_that_mean_what_they_say_have_no_error():
    rng = np.random.default_rng(1)
    probability = rng.random(200_000)
    curve = Reliability()
    curve.add(probability, rng.random(200_000) < probability)
    assert curve.error < 0.01
    rows = curve.rows()
    assert len(rows) == BINS
    assert all(abs(row["probability"] - row["true_share"]) < 0.02 for row in rows)


def test_zero_one_and_nothing():
    curve = Reliability()
    assert np.isnan(curve.error)
    curve.add(np.array([0.0, 1.0]), np.array([False, True]))
    assert curve.error == 0.0
    assert [row["count"] for row in curve.rows()] == [1, 1]
