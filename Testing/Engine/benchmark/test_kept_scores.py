from dataclasses import replace

import numpy as np
import pytest

from SpineFractureSegLib.engine.benchmark.case_score import compare
from SpineFractureSegLib.engine.benchmark.kept_scores import case_fingerprint, kept_path, load_score, save_score
from SpineFractureSegLib.engine.benchmark.summary import summarize


def test_a_score_is_read_as_it_was_written(case_with_drawn, tmp_path):
    rng = np.random.default_rng(0)
    score = compare(case_with_drawn, rng.random(case_with_drawn.hu.shape), 0.5, 10.0)
    save_score(tmp_path / "score.json", score)
    again = load_score(tmp_path / "score.json")
    assert replace(again, reliability=None) == replace(score, reliability=None)
    assert again.reliability.error == score.reliability.error
    assert summarize([again], 0.5) == summarize([score], 0.5)


def test_an_undefined_score_stays_undefined(case, tmp_path):
    empty = replace(case, fractured=(), uncertain=())
    save_score(tmp_path / "score.json", compare(empty, np.zeros(case.hu.shape), 0.5, 0.0))
    assert np.isnan(load_score(tmp_path / "score.json").hd95_mm)


@pytest.mark.parametrize(
    "change",
    [
        {"fractured": ()},
        {"spacing_mm": 1.5},
        {"truth": {}},
        {"hu": np.ones((60, 40, 40), np.int16)},
        {"fracture_map": np.ones((60, 40, 40), np.uint8)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_case_or_model_has_another_place(case, change, tmp_path):
    assert case_fingerprint(replace(case, **change)) != case_fingerprint(case)
    assert kept_path(tmp_path, case, "a") == kept_path(tmp_path, case, "a")
    assert kept_path(tmp_path, case, "a") != kept_path(tmp_path, case, "b")
