import base64
import dataclasses
import io
import re

import numpy as np
import pytest
from PIL import Image

from SpineFractureSegLib.engine.drawing import REFERENCE_COLOR, RESULT_COLOR
from SpineFractureSegLib.engine.training.epoch_log import LOG_COLUMNS
from SpineFractureSegLib.engine.training.report import training_report
from SpineFractureSegLib.engine.training.validation import ScoredCase, ValidationScores

SCORES = ValidationScores(0.5, 0.4, 0.9, 1.5, 0.5, 100.0)


def scored(case, mask):
    """The case's sagittal slices with an answer that is sure of the mask."""
    bodies, hu, answer = (np.moveaxis(volume, 2, 0) for volume in (case.bodies, case.hu, mask.astype(np.float16)))
    return ScoredCase(case, answer, bodies, 2.0, None, hu)


def row(epoch):
    return {**dict.fromkeys(LOG_COLUMNS, "0.25"), "epoch": str(epoch), "fracture_loss_real_negative": "nan"}


def pictures(text):
    """(caption, RGB array) of every picture."""
    found = re.findall(r'base64,([^"]*)"[^>]*><figcaption>([^<]*)', text)
    return [(words, np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))) for data, words in found]


def near(picture, color):
    """Rows and columns of the pixels that have the color, more or less."""
    return np.argwhere(np.abs(picture.astype(int) - color).max(2) < 40)


@pytest.fixture(scope="module")
def cases(make_case):
    """Found, half found, missed; then one without a fracture that is painted, and a clean one."""
    first, second, third = make_case(1), make_case(2), make_case(3)
    half = second.fracture_mask.copy()
    half[:, np.flatnonzero(half.any((0, 2)))[11:], :] = False
    healthy = make_case(4, fractured=False)
    alarm = healthy.bodies == 21
    clean = make_case(5, fractured=False, has_bodies=False)
    return [
        scored(third, np.zeros(third.hu.shape, bool)),
        scored(first, first.fracture_mask),
        scored(clean, np.zeros(clean.hu.shape, bool)),
        scored(second, half),
        scored(healthy, alarm),
    ]


@pytest.fixture(scope="module")
def text(cases):
    settings = {"training": {"learning_rate": 0.001, "balance": {"fractured": 0.4}, "split": [0.7, 0.1, 0.2]}}
    return training_report("tiny <1>", [row(0), row(1)], cases, "sagittal", SCORES, "the best weights", settings)


def test_best_median_worst_and_the_largest_false_alarm_are_shown(text, cases):
    words = [caption for caption, _ in pictures(text)]
    volume = (cases[4].probability > 0.5).sum() * 2.0 / 1000
    assert words == [
        "best: case1, Dice 1.00",
        "median: case2, Dice 0.67",
        "worst: case3, Dice 0.00",
        f"most painted without fracture: case4, {volume:.1f} mL",
    ]


def test_a_picture_shows_truth_and_answer_where_they_are_with_the_head_up(text, cases):
    (_, best), (_, median), (_, worst), (_, alarm) = pictures(text)
    assert len(near(best, RESULT_COLOR))  # the answer lies on the truth's line
    assert len(near(median, RESULT_COLOR))
    assert len(near(median, REFERENCE_COLOR))
    assert not len(near(worst, RESULT_COLOR))
    assert not len(near(alarm, REFERENCE_COLOR))
    height, width = cases[0].bodies.shape[1:]
    assert worst.shape[:2] == (320, round(320 * width / height))
    z, y, _ = (axis.mean() for axis in np.nonzero(cases[0].case.fracture_mask))
    row, column = near(worst, REFERENCE_COLOR).mean(0) * height / 320
    assert (row, column) == pytest.approx((height - 1 - z, y), abs=1.5)


def test_cases_settings_and_curves_are_listed(text):
    assert "Training of tiny &lt;1&gt;" in text
    names = re.findall(r"<tr><td>(case\d)</td>", text)
    assert names[:3] == ["case3", "case2", "case1"]  # the worst first, those without a fracture last
    assert set(names[3:]) == {"case4", "case5"}
    for line in ("balance.fractured</td><td>0.4", "split</td><td>0.7, 0.1, 0.2", "smallest lesion"):
        assert line in text
    assert text.count('class="chart"') == 5
    assert "Research use only" in text


def test_a_run_without_fractures_or_negatives_has_a_report_too(cases):
    for some in ([cases[1]], [cases[2]]):
        text = training_report("a", [row(0)], some, "sagittal", dataclasses.replace(SCORES, dice_mean=np.nan), "", {})
        assert len(pictures(text)) == 1
