"""Volume to slices and windows, and back without seams."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from SpineFractureSegLib.engine.preprocessing import PLANES
from SpineFractureSegLib.engine.slices import (
    WindowTiling,
    blending_weights,
    context_indices,
    context_offsets,
    from_plane,
    gather_slices,
    to_plane,
    window_starts,
)


@pytest.fixture
def volume():
    return np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_to_plane_and_back_gives_the_same_memory(volume, plane, kind):
    original = kind(volume)
    back = from_plane(to_plane(original, plane), plane)
    assert back.shape == original.shape
    assert (back == original).all()
    assert back.__array_interface__["data"] == original.__array_interface__["data"] if kind is np.asarray else True


def test_each_plane_shows_the_axes_it_promises(volume):
    assert to_plane(volume, "sagittal")[3, 1, 2] == volume[1, 2, 3]  # (x; z, y)
    assert to_plane(volume, "axial")[3, 1, 2] == volume[3, 1, 2]  # (z; y, x)
    assert to_plane(volume, "coronal")[3, 1, 2] == volume[1, 3, 2]  # (y; z, x)


def test_context_is_rounded_alike_on_both_sides():
    assert context_offsets((-6.0, -2.5, 0.0, 2.5, 6.0), 1.0) == (-6, -2, 0, 2, 6)


def test_channels_are_the_neighbors_and_the_last_slice_repeats_beyond_the_end(volume):
    inputs = gather_slices(volume, [0, 2], (-2, 0, 1))
    assert inputs.shape == (2, 3, 6, 7)
    np.testing.assert_array_equal(inputs[0], volume[[0, 0, 1]])
    np.testing.assert_array_equal(inputs[1], volume[[0, 2, 3]])
    assert context_indices([4], (3,), 5).tolist() == [[4]]


def test_gathering_a_tensor_equals_gathering_an_array(volume):
    expected = gather_slices(volume, [1, 4], (-1, 0, 1))
    np.testing.assert_array_equal(gather_slices(torch.from_numpy(volume), [1, 4], (-1, 0, 1)).numpy(), expected)


@given(
    start=st.integers(0, 300), extent=st.integers(1, 500), behind=st.integers(0, 200), window=st.sampled_from([32, 96])
)
def test_windows_cover_the_range_evenly_and_stay_in_the_axis(start, extent, behind, window):
    stop, stride = start + extent, window // 2
    length = stop + behind
    starts = window_starts(start, stop, length, window, stride)
    gaps = np.diff(starts)
    assert starts[0] <= start
    assert starts[-1] + window >= stop
    assert not len(gaps) or (gaps.max() <= stride and gaps.max() - gaps.min() <= 1)
    assert length < window or (starts[0] >= 0 and starts[-1] + window <= length)


def test_a_range_slightly_larger_than_a_window_gets_two():
    assert len(window_starts(10, 10 + 65, 200, 64, 32)) == 2
    assert len(window_starts(10, 10 + 64, 200, 64, 32)) == 1


@given(extent=st.integers(1, 400), stride=st.sampled_from([8, 16, 32]))
def test_weights_sum_to_one_at_every_pixel_and_are_never_zero(extent, stride):
    starts = window_starts(0, extent, extent, 32, stride)
    weights = blending_weights(starts, 0, extent, 32)
    total = np.zeros(extent + 64)
    for start, weight in zip(starts, weights, strict=True):
        assert weight.min() > 0
        total[start + 32 : start + 64] += weight
    np.testing.assert_allclose(total[32 : 32 + extent], 1)


def test_borders_of_a_window_hardly_count_where_another_reaches():
    inner = blending_weights([0, 32, 64], 0, 128, 64)[1]
    assert inner[0] < 0.002
    assert inner[-1] < 0.002
    outer = blending_weights([0, 32, 64], 0, 128, 64)[0]
    assert outer[0] == 1  # the volume's border: no other window


@pytest.mark.parametrize("shape", [(100, 130), (40, 200), (20, 30), (64, 64)])
def test_cutting_and_adding_all_windows_gives_the_slices_back(shape):
    stack = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    rows, columns = (2, shape[0] - 3), (5, shape[1])
    tiling = WindowTiling(shape, rows, columns, (64, 48), (32, 24))
    answer = torch.zeros(3, rows[1] - rows[0], columns[1] - columns[0])
    for window in range(len(tiling)):
        values = tiling.cut(stack, window, fill=-1.0)
        assert values.shape == (3, 64, 48)
        tiling.add(answer, window, values)
    torch.testing.assert_close(answer, stack[:, slice(*rows), slice(*columns)])


def test_what_overhangs_the_slice_is_filled():
    tiling = WindowTiling((10, 64), (0, 10), (0, 64), (64, 64), (32, 32))
    values = tiling.cut(torch.ones(2, 10, 64), 0, fill=-7.0)
    assert (values[:, 27:37] == 1).all()
    assert (values == -7).sum() == 2 * 54 * 64


def test_answers_that_depend_on_the_place_in_the_window_leave_no_seam():
    """A network that answers 0 at the one and 1 at the other side of its window: the worst seam there can be."""
    tiling = WindowTiling((300, 300), (0, 300), (0, 300), (64, 64), (32, 32))
    ramp = torch.linspace(0, 1, 64)
    answer = torch.zeros(300, 300)
    for window in range(len(tiling)):
        tiling.add(answer, window, ramp[:, None] + ramp[None, :])
    jump = max(answer.diff(dim=0).abs().max(), answer.diff(dim=1).abs().max())
    assert jump < 2 / 32  # a hard seam jumps by 1/2 and more; blending spreads it over half a window
