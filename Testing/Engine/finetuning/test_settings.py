from collections import Counter

import numpy as np
import pytest

from SpineFractureSegLib.engine.case import MAP_FRACTURE, Case
from SpineFractureSegLib.engine.finetuning.settings import FinetuneSettings, balance, training_config
from SpineFractureSegLib.engine.preprocessing import Preprocessing
from SpineFractureSegLib.engine.training.augmentation import NO_AUGMENTATION
from SpineFractureSegLib.engine.training.dataset import SliceDataset

PLAIN = Preprocessing(window_size=(32, 32), window_hu=(0.0, 1000.0))


def plain_case(hu, *, scanned, fractured):
    """Every voxel has the same value, so that a sample tells which case it is from."""
    values, bodies = np.full((48, 48, 40), hu, np.int16), np.zeros((48, 48, 40), np.uint8)
    bodies[8:40, 8:40, 10:30] = 20
    drawn = np.zeros(values.shape, np.uint8)
    if fractured:
        drawn[8:40, 8:40, 10:18] = MAP_FRACTURE
    return Case(str(hu), str(hu), values, bodies, truth={"as_scanned": scanned}, fracture_map=drawn)


@pytest.mark.parametrize(("mix", "real"), [(0.3, True), (0.3, False), (0.6, True), (0.0, False)])
def test_so_many_of_the_samples_are_replay_as_the_mix_says(mix, real):
    cases = [plain_case(100, scanned=True, fractured=True), plain_case(500, scanned=False, fractured=True)]
    if real:
        cases.append(plain_case(900, scanned=True, fractured=False))
    dataset = SliceDataset(cases, PLAIN, balance(mix, real), NO_AUGMENTATION, seed=0)
    count = 600
    drawn = Counter(round(float(dataset[0, index].image.max()), 1) for index in range(count))
    assert (drawn[0.5] + drawn[0.9]) / count == pytest.approx(mix, abs=0.06)
    assert drawn[0.9] / count == pytest.approx(mix / 3 if real else 0, abs=0.02)


def test_the_trainer_is_told_what_the_user_chose():
    settings = FinetuneSettings(minutes=7, epochs=3, learning_rate=3e-4, seed=5, slices_per_epoch=80)
    config = training_config(settings, real_negatives=True)
    assert (config.max_minutes, config.max_epochs, config.learning_rate) == (7, 3, 3e-4)
    assert (config.seed, config.slices_per_epoch, config.schedule) == (5, 80, "cosine")
    assert training_config(FinetuneSettings(minutes=None), False).max_minutes is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("minutes", 0), ("epochs", 0), ("learning_rate", float("nan")), ("mix", 1.0), ("mix", -0.1), ("replay_cases", 0)],
)
def test_settings_that_cannot_be_used_are_named(field, value):
    with pytest.raises(ValueError, match=field):
        FinetuneSettings(**{field: value})
