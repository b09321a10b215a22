import dataclasses

import numpy as np
import pytest
import torch

from SpineFractureSegLib.engine.training.augmentation import (
    NO_AUGMENTATION,
    Augmentation,
    cut_window,
    random_affine,
    random_bend,
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


def test_a_bend_shows_the_slice_from_where_it_points():
    image, turned = a_slice(shape=(90, 80)), np.array([[0.0, -1.2], [0.8, 0.0]])
    bend = torch.zeros(32, 16, 2)
    bend[..., 0], bend[..., 1] = 3.0, -5.0
    bent, labels = cut_window([image], [image > 0], np.array([40.0, 40.0]), turned, (32, 16), bend)
    shifted = np.array([40.0, 40.0]) + turned @ np.array([3.0, -5.0])
    expected, expected_labels = cut_window([image], [image > 0], shifted, turned, (32, 16))
    np.testing.assert_allclose(bent, expected, atol=0.5)
    assert (labels == expected_labels).float().mean() > 0.999


def test_a_bend_is_smooth_and_bounded_and_changes_a_body_by_little():
    ranges = dataclasses.replace(NO_AUGMENTATION, bend_sd_pixels=1.2)
    bends = [random_bend(np.random.default_rng(seed), ranges, (128, 96)) for seed in range(50)]
    assert random_bend(np.random.default_rng(0), NO_AUGMENTATION, (128, 96)) is None
    reach = torch.stack([bend.abs().max() for bend in bends])
    assert 1.0 < reach.mean() < 3.5
    # heights of a body of 18x24 pixels in front and at the back, before 18: 20 % would be a fracture
    front = torch.stack([bend[64 - 9, 36, 0] - bend[64 + 9, 36, 0] for bend in bends])
    back = torch.stack([bend[64 - 9, 60, 0] - bend[64 + 9, 60, 0] for bend in bends])
    assert ((front - back) / 18).abs().max() < 0.13
    assert ((front - back) / 18).std() < 0.05


def test_shear_slants_rows_and_keeps_heights():
    ranges = dataclasses.replace(NO_AUGMENTATION, shear_sd=0.1)
    affine = random_affine(np.random.default_rng(0), ranges)
    np.testing.assert_allclose(affine[:, 0], [1, 0])  # a step along the spine stays one
    assert affine[1, 1] == pytest.approx(1)
    assert 0 < abs(affine[0, 1]) < 0.4


@pytest.mark.parametrize(("factor", "spongy"), [(0.25, 90.0), (1.0, 180.0), (1.8, 276.0)])
def test_bone_density_changes_bone_and_leaves_soft_tissue_and_grain(factor, spongy):
    ranges = dataclasses.replace(NO_AUGMENTATION, bone_density_chance=1.0, bone_density=(factor, factor))
    grain = torch.from_numpy(np.random.default_rng(0).normal(0, 20, (64, 48)).astype(np.float32))
    changes = []
    for seed in range(20):
        window = torch.full((1, 64, 48), 180.0)
        window[:, :20], window[:, 40:] = -100.0, 900.0
        window += grain
        plain = vary_intensity(window, np.random.default_rng(seed), NO_AUGMENTATION, (-2000.0, 2000.0))
        changed = vary_intensity(window, np.random.default_rng(seed), ranges, (-2000.0, 2000.0))
        changes.append((changed - plain)[0] * 4000)
    assert max(change[:18].abs().max() for change in changes) < 0.01
    mean = torch.stack(changes).mean(0)
    assert mean[22:38].mean().item() + 180 == pytest.approx(spongy, abs=12)
    assert mean[42:].mean().item() == pytest.approx(240 * (factor - 1), abs=24)  # cortex by as much, not by the factor
    if factor < 1:  # what is left of the bone keeps the grain of the scan
        assert ((grain + changes[0])[22:38].std() / grain[22:38].std()).item() == pytest.approx(1, abs=0.15)


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
