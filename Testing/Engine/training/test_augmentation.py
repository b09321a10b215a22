import dataclasses

import numpy as np
import pytest
import torch

from SpineFractureSegLib.engine.training.augmentation import (
    NO_AUGMENTATION,
    Augmentation,
    cut_window,
    random_affine,
    random_center,
    random_field,
    vary_intensity,
)

IDENTITY = np.eye(2)
WINDOW_HU = (-250.0, 1150.0)


def a_slice(seed=0, shape=(60, 50)):
    return np.random.default_rng(seed).integers(-1000, 1500, shape).astype(np.int16)


def test_a_window_without_rotation_on_the_grid_is_the_plain_crop():
    image = a_slice()
    # the center of 32x16 pixels from (10, 20) lies between pixels
    window, labels = cut_window([image, image[::-1]], [image > 0], np.array([25.5, 27.5]), IDENTITY, (32, 16))
    assert window.shape == (2, 32, 16)
    np.testing.assert_allclose(window[0], image[10:42, 20:36], atol=0.1)
    np.testing.assert_allclose(window[1], image[::-1][10:42, 20:36], atol=0.1)
    assert torch.equal(labels[0], torch.from_numpy(image[10:42, 20:36] > 0))


def test_outside_the_slice_is_air_and_no_label():
    image = np.full((20, 20), 100, np.int16)
    window, labels = cut_window([image], [image > 0], np.array([9.5, 9.5]), IDENTITY, (32, 32))
    assert torch.allclose(window[0, :5], torch.tensor(-1024.0))
    assert torch.allclose(window[0, 10:20, 10:20], torch.tensor(100.0), atol=0.1)
    assert not labels[0, :5].any()
    assert labels[0, 6:26, 6:26].all()


def test_rotation_by_a_right_angle_takes_rows_to_columns():
    image = a_slice(shape=(41, 41))
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
    window, _ = cut_window([image], [], np.array([19.5, 19.5]), quarter, (32, 32))
    expected = np.rot90(image[4:36, 4:36], k=-1)
    # row r, column c of the window shows the slice at (-c, r) from the center
    np.testing.assert_allclose(window[0], expected, atol=0.5)


def test_magnification_shows_less_of_the_slice():
    rows = np.repeat(np.arange(80, dtype=np.int16)[:, None], 80, axis=1)
    window, _ = cut_window([rows], [], np.array([40.0, 40.0]), IDENTITY / 2, (32, 32))
    assert window[0, -1, 0] - window[0, 0, 0] == pytest.approx(31 / 2, abs=0.1)


def test_only_the_needed_part_is_read_and_far_windows_are_all_air():
    image = a_slice()
    window, _ = cut_window([image], [], np.array([-100.0, 200.0]), IDENTITY, (32, 32))
    assert torch.allclose(window, torch.tensor(-1024.0))


def test_the_anchor_falls_anywhere_in_the_window_but_not_at_its_border():
    rng = np.random.default_rng(0)
    affine = random_affine(rng, Augmentation())
    anchor = np.array([150.0, 150.0])
    places = np.array(
        [
            np.linalg.solve(affine, anchor - random_center(rng, tuple(anchor), affine, (300, 300), (96, 64)))
            for _ in range(500)
        ]
    )
    assert np.all(np.abs(places) <= np.array([32, 16]) + 1e-6)
    spread = np.histogram(places[:, 0], bins=4, range=(-32, 32))[0]
    assert spread.min() > 80  # 125 each where it is even


def test_windows_overhang_the_slice_by_little():
    rng = np.random.default_rng(0)
    centers = np.array([random_center(rng, (0.0, 0.0), IDENTITY, (300, 300), (96, 96)) for _ in range(100)])
    assert centers.min() >= 48 - 8


def test_without_augmentation_only_the_window_is_applied():
    image = torch.tensor([[[-1024.0, -250.0, 450.0, 1150.0, 3000.0]]])
    plain = vary_intensity(image, np.random.default_rng(0), NO_AUGMENTATION, WINDOW_HU)
    assert plain.flatten().tolist() == pytest.approx([0, 0, 0.5, 1, 1])


@pytest.mark.parametrize("chance", ["low_resolution_chance", "sharpen_chance", "noise_chance", "gamma_chance"])
def test_every_variation_changes_the_image_and_stays_in_range(chance):
    ranges = dataclasses.replace(NO_AUGMENTATION, **{chance: 1.0})
    image = torch.from_numpy(a_slice()).float()[None]
    plain = vary_intensity(image, np.random.default_rng(1), NO_AUGMENTATION, WINDOW_HU)
    for seed in range(5):
        varied = vary_intensity(image, np.random.default_rng(seed), ranges, WINDOW_HU)
        assert varied.shape == image.shape
        assert 0 <= varied.min() <= varied.max() <= 1
        assert not torch.allclose(varied, plain, atol=1e-3)


@pytest.mark.parametrize("correlated", [0.0, 1.0])
def test_noise_has_the_deviation_it_says(correlated):
    ranges = dataclasses.replace(
        NO_AUGMENTATION, noise_chance=1.0, noise_sd_hu=(70.0, 70.0), correlated_noise_chance=correlated
    )
    gray = torch.full((1, 128, 128), 450.0)
    noisy = vary_intensity(gray, np.random.default_rng(0), ranges, WINDOW_HU)
    assert noisy.std().item() * 1400 == pytest.approx(70, rel=0.03)
    neighbors = torch.corrcoef(torch.stack([noisy[0, :, :-1].flatten(), noisy[0, :, 1:].flatten()]))[0, 1].item()
    assert (neighbors > 0.3) == bool(correlated)


def test_the_field_holds_its_pixel_and_is_a_little_larger_than_a_window():
    rng = np.random.default_rng(0)
    whole = 0
    for _ in range(200):
        pixel = int(rng.integers(300)), int(rng.integers(200))
        rows, columns = random_field(rng, pixel, (300, 200), (96, 64))
        if rows == slice(None):
            whole += 1
            continue
        assert 0 <= rows.start <= pixel[0] < rows.stop <= 300
        assert 0 <= columns.start <= pixel[1] < columns.stop <= 200
        assert 96 * 1.1 - 1 <= rows.stop - rows.start <= 96 * 1.6 + 1
    assert 60 < whole < 140


def test_the_field_of_a_slice_smaller_than_a_window_is_the_slice():
    rng = np.random.default_rng(0)
    for _ in range(20):
        rows, columns = random_field(rng, (10, 19), (20, 20), (96, 64))
        assert (rows, columns) in [(slice(None), slice(None)), (slice(0, 20), slice(0, 20))]
