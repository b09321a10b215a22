from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from SpineFractureSegLib.engine.simulator.acquisition import acquire, thick_slices
from SpineFractureSegLib.engine.simulator.config import SimulationConfig
from SpineFractureSegLib.engine.simulator.hounsfield import synthesize_hu
from SpineFractureSegLib.engine.simulator.noise import smooth_noise
from SpineFractureSegLib.engine.simulator.outside import add_outside
from SpineFractureSegLib.engine.simulator.sampling import sample_spine


@pytest.mark.parametrize("sigma", [1.0, 3.0, 9.0, 20.0])
def test_smooth_noise_has_unit_variance_and_the_wanted_correlation(sigma):
    field = smooth_noise(np.random.default_rng(0), (90, 80, 70), sigma)
    assert field.shape == (90, 80, 70)
    assert field.std() == pytest.approx(1, abs=0.35)
    neighbours = np.corrcoef(field[:-1].ravel(), field[1:].ravel())[0, 1]
    assert neighbours > (0.6 if sigma < 2 else 0.9)


def test_thick_slices_blur_along_their_axis_only_and_keep_the_mean():
    rng = np.random.default_rng(0)
    volume = rng.normal(0, 1, (60, 20, 20)).astype(np.float32)
    thick = thick_slices(volume, 5.0, 0, rng)
    assert thick.shape == volume.shape
    assert np.abs(np.diff(thick, axis=0)).mean() < 0.4 * np.abs(np.diff(volume, axis=0)).mean()
    assert np.abs(np.diff(thick, axis=1)).mean() > np.abs(np.diff(thick, axis=0)).mean()
    constant = np.full((40, 8, 8), 7.0, np.float32)
    np.testing.assert_allclose(thick_slices(constant, 4.0, 0, rng), 7.0, rtol=1e-5)


def test_noise_is_as_strong_as_configured():
    config = SimulationConfig(thick_slices=0.0, blur_mm=(0.0, 0.0), sharpen=0.0, noise_hu=(40.0, 40.0), starvation=0.0)
    config = replace(config, small_field=0.0, motion=0.0)
    scan, about = acquire(np.full((40, 40, 40), 100.0, np.float32), False, config, np.random.default_rng(0))
    assert scan.std() == pytest.approx(40, rel=0.05)
    assert scan.mean() == pytest.approx(100, abs=2)
    assert about["noise_hu"] == pytest.approx(40)


def test_a_real_ct_can_stay_as_it_was_scanned():
    volume = np.random.default_rng(1).normal(100, 50, (30, 30, 30)).astype(np.float32)
    scan, about = acquire(volume, True, SimulationConfig(as_scanned=1.0), np.random.default_rng(0))
    np.testing.assert_array_equal(scan, np.round(volume))
    assert about == {"slice_mm": 1.0, "blur_mm": 0.0, "sharpness": 0.0, "noise_hu": 0.0}


@pytest.mark.parametrize("effect", ["starvation", "small_field", "motion"])
def test_scan_effects_change_the_image_and_keep_its_range(effect):
    quiet = SimulationConfig(
        thick_slices=0.0, blur_mm=(0.0, 0.0), sharpen=0.0, noise_hu=(0.01, 0.02), starvation=0, small_field=0, motion=0
    )
    volume = np.random.default_rng(1).normal(100, 50, (40, 50, 50)).astype(np.float32)
    plain, _ = acquire(volume, False, quiet, np.random.default_rng(0))
    worse, _ = acquire(volume, False, replace(quiet, **{effect: 1.0}), np.random.default_rng(0))
    assert np.abs(worse.astype(int) - plain).max() > 20
    assert worse.min() >= -1024
    np.testing.assert_allclose(plain, volume, atol=1)


def test_synthesized_bone_has_a_shell_denser_than_its_core_and_denser_than_disc_and_muscle(label_spine):
    for seed in range(3):
        hu = synthesize_hu(label_spine.vertebrae, label_spine.bodies, np.random.default_rng(seed))
        core = hu[15:33, 46:54, 40:50].mean()
        shell = hu[12:36][label_spine.bodies[12:36]].max()
        disc = hu[38:42, 46:54, 40:50].mean()
        assert 30 < core < 350
        assert shell > core + 100
        assert 30 < disc < 140


def test_body_ids_are_those_of_a_lookup_of_every_point(made_spine):
    """Only points near bodies are looked up; the answer is as if all were."""
    rng = np.random.default_rng(0)
    points = (rng.uniform(-6, 6, (3, 60_000)) + rng.uniform(0, 1, (3, 60_000)) * [[180], [120], [90]]).astype(
        np.float32
    )
    _, ids = sample_spine(made_spine, points, (60, 1000, 1), rng)
    share = ndimage.map_coordinates(made_spine.bodies.astype(np.float32), points, order=1)
    nearest = ndimage.map_coordinates(made_spine.vertebrae, points, order=0)
    np.testing.assert_array_equal(ids.ravel(), np.where(share > 0.5, nearest, 0))


def outside(half_width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Tissue of 40 HU, 200 rows from 60 mm in front of the spine, with what is outside of it."""
    hu = np.full((4, 200, 2 * half_width + 1), 40, np.float32)
    behind = np.broadcast_to(np.arange(200, dtype=np.float32)[None, :, None] - 60, (4, 200, 1))
    beside = np.arange(-half_width, half_width + 1, dtype=np.float32)[None, None]
    add_outside(hu, behind, beside, np.random.default_rng(seed))
    return hu, behind


def test_behind_the_back_is_air_and_most_often_a_table_the_same_in_every_slice():
    tables = 0
    for seed in range(12):
        hu, behind = outside(40, seed)
        np.testing.assert_array_equal(hu[:, behind[0, :, 0] < 84], 40)
        behind_back = hu[:, 175:]
        assert (behind_back < -850).mean() > 0.7
        np.testing.assert_array_equal(behind_back[0], behind_back[-1])
        tables += bool((behind_back > -500).any())
    assert 4 <= tables <= 12


def test_arms_lie_beside_the_body_where_the_field_of_view_is_wide():
    arms = 0
    for seed in range(12):
        hu, _ = outside(260, seed)
        beside = np.abs(np.arange(-260, 261))
        assert (hu[:, 50, beside < 135] == 40).all()
        arms += bool((hu[:, :, beside > 180] > 600).any())
    assert 3 <= arms <= 11
