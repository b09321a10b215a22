import math

import pytest

from SpineFractureSegLib.engine.training.schedule import Plateau, cosine_factor


def test_cosine_warms_up_linearly_and_ends_at_zero():
    assert [cosine_factor(step, 4, 0.0) for step in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert cosine_factor(100, 4, 1.0) == pytest.approx(0.0)
    assert cosine_factor(100, 4, 1.7) == pytest.approx(0.0)  # a budget that was overrun
    assert cosine_factor(0, 0, 0.0) == 1.0


def test_plateau_lowers_the_rate_each_time_its_epochs_are_over():
    plateau = Plateau()
    factors = []
    for epoch, score in enumerate([0.5, 0.4, 0.4, 0.4, 0.4, 0.6, 0.6, 0.6]):
        plateau.observe(epoch, score, 2, 0.5)
        factors.append(plateau.factor)
    assert factors == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]
    assert (plateau.best_epoch, plateau.best_score, plateau.epochs_without_better) == (5, 0.6, 2)


def test_a_score_of_zero_is_still_the_best_first_one():
    assert Plateau().observe(0, 0.0, 2, 0.5)


def test_a_first_score_that_is_no_number_is_kept_until_there_is_one():
    plateau = Plateau()
    assert [
        plateau.observe(epoch, score, 5, 0.4) for epoch, score in enumerate((math.nan, math.nan, 0.0, math.nan))
    ] == [
        True,
        False,
        True,
        False,
    ]
    assert (plateau.best_epoch, plateau.best_score) == (2, 0.0)
