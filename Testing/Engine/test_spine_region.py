"""The box around the spine, found with a made network that calls bright voxels vertebra."""

import numpy as np
import pytest
import torch
from torch import nn

from SpineFractureSegLib.engine.device import Placement
from SpineFractureSegLib.engine.inference import SlicePredictor
from SpineFractureSegLib.engine.preprocessing import Preprocessing
from SpineFractureSegLib.engine.spine_region import (
    MARGIN_MM,
    SpineRegion,
    find_spine_region,
    occupied_region,
    shows_spine,
)

VERTEBRA = 1


class BrightIsVertebra(nn.Module):
    """Outputs (fracture: never, vertebra: intensity above the middle of the window)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.full_like(x[:, :1], -9), 40 * (x[:, :1] - 0.5)], 1)


def region_of(hu, spacing_mm=1.0, vertebra_channel=VERTEBRA):
    preprocessing = Preprocessing(spacing_mm=spacing_mm, window_size=(64, 64))
    placement = Placement(torch.device("cpu"), torch.float32, 8)
    predictor = SlicePredictor(BrightIsVertebra(), 2, preprocessing, placement)
    return find_spine_region(hu, predictor, vertebra_channel)


def body(shape=(160, 150, 120)):
    """Soft tissue in air."""
    hu = np.full(shape, -1000, np.float32)
    hu[:, 10:-10, 10:-10] = 40
    return hu


def test_the_box_holds_all_vertebrae_and_the_margins():
    hu = body()
    hu[60:100, 70:100, 40:80] = 900
    region = region_of(hu)
    assert region.z == (60 - 24, 100 + 24)
    assert region.y == (70 - 24, 100 + 24)
    # sparse slices: found to 8 mm
    assert 40 - 16 <= region.x[0] < 40 - 16 + 8
    assert 80 + 16 - 8 < region.x[1] <= 80 + 16


def test_margins_are_in_mm():
    hu = body((80, 75, 160))
    hu[30:50, 35:50, 60:100] = 900
    region = region_of(hu, spacing_mm=2.0)
    assert region.z == (30 - round(MARGIN_MM[0] / 2), 50 + round(MARGIN_MM[0] / 2))


def test_every_large_component_counts_and_small_ones_do_not():
    hu = body()
    hu[20:50, 60:90, 50:80] = 900
    hu[120:150, 60:90, 50:80] = 900  # a second one: 27 cm3 each
    hu[60:70, 110:118, 20:36] = 900  # 1.3 cm3, in front
    region = region_of(hu)
    assert region.z == (0, 160)
    assert region.y == (60 - 24, 90 + 24)


def test_the_box_stays_inside_the_volume():
    hu = body()
    hu[0:30, 60:90, 50:80] = 900
    assert region_of(hu).z == (0, 54)


def test_no_vertebra_no_region():
    assert region_of(body()) is None


@pytest.mark.parametrize("case", ["small", "model without vertebrae"])
def test_the_whole_volume_is_taken_where_a_first_pass_does_not_pay(case):
    hu = body((60, 60, 50)) if case == "small" else body()
    region = region_of(hu, vertebra_channel=VERTEBRA if case == "small" else None)
    assert region == tuple((0, length) for length in hu.shape)


def test_a_box_in_a_cut_out_box_is_counted_in_the_whole():
    outer, inner = SpineRegion((5, 9), (1, 8), (2, 7)), SpineRegion((1, 2), (0, 3), (2, 4))
    volume = np.arange(1000).reshape(10, 10, 10)
    np.testing.assert_array_equal(volume[inner.shifted(outer).slices], volume[outer.slices][inner.slices])


def test_the_occupied_box_is_tight():
    hu = np.full((9, 8, 7), -1000, np.int16)
    hu[2, 3, 4] = hu[5, 3, 1] = 0
    assert occupied_region(hu, -250) == ((2, 6), (3, 4), (1, 5))
    assert occupied_region(np.full((4, 4, 4), -1000), -250) is None


def test_a_spine_needs_a_cubic_centimeter_or_less_in_a_small_crop():
    probability = np.zeros((100, 100, 100), np.float32)
    probability[:9, :10, :10] = 1
    assert not shows_spine(probability, 1.0)
    probability[:10, :10, :10] = 1
    assert shows_spine(probability, 1.0)
    assert shows_spine(probability[:1], 1.0)  # 0.1 of 10 cm3


@pytest.mark.parametrize("spacing_mm", [1.0, 2.0])
def test_shoulder_and_hip_far_aside_are_left_out_and_a_crooked_spine_is_kept(spacing_mm):
    n = int(1 / spacing_mm * 2)  # 2 voxels of 1 mm or 1 of 2 mm
    hu = body((80 * n, 40 * n, 150 * n))
    for number, x in enumerate((70, 82, 92, 82, 70)):  # 22 * 2 mm to the side, in parts that do not touch
        hu[(5 + 14 * number) * n : (15 + 14 * number) * n, 18 * n : 30 * n, (x - 8) * n : (x + 8) * n] = 900
    straight = region_of(hu, spacing_mm)
    hu[60 * n : 75 * n, 15 * n : 30 * n, 12 * n : 30 * n] = 900  # a shoulder
    hu[2 * n : 20 * n, 15 * n : 30 * n, 125 * n : 140 * n] = 900  # a hip
    assert region_of(hu, spacing_mm) == straight
    assert straight.x[0] * spacing_mm <= 62 * 2
    assert straight.x[1] * spacing_mm >= 100 * 2
