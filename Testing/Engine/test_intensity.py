"""Hounsfield units to [0, 1]."""

import numpy as np
import pytest
import torch

from SpineFractureSegLib.engine.intensity import normalize_hu
from SpineFractureSegLib.engine.preprocessing import AIR_HU

WINDOW = (-250.0, 1150.0)


@pytest.mark.parametrize("number_type", [np.int16, np.int32, np.float32, np.float64])
def test_the_window_becomes_zero_to_one_and_the_rest_is_clipped(number_type):
    hu = np.array([AIR_HU, -250, 100, 1150, 3071], number_type)
    values = normalize_hu(hu, WINDOW)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, [0, 0, 0.25, 1, 1], atol=1e-7)


def test_arrays_and_tensors_get_the_same_values():
    hu = np.random.default_rng(0).integers(-1024, 3071, (4, 5, 6)).astype(np.int16)
    np.testing.assert_array_equal(normalize_hu(torch.from_numpy(hu), WINDOW).numpy(), normalize_hu(hu, WINDOW))


@pytest.mark.parametrize("hu", [np.array([100, 3000], np.float32), torch.tensor([100.0, 3000.0])])
def test_the_input_stays_as_it_is(hu):
    assert normalize_hu(hu, WINDOW).tolist() == [0.25, 1.0]
    assert hu.tolist() == [100.0, 3000.0]
