import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk

from SpineFractureSegLib.engine.case import MAP_FRACTURE, MAP_UNKNOWN, Case
from SpineFractureSegLib.engine.case_spacing import at_spacing, volume_at


def case_of(hu=None, bodies=None, fracture_map=None, spacing_mm=1.0, shape=(30, 25, 20)):
    hu = np.zeros(shape, np.int16) if hu is None else hu
    bodies = np.zeros(hu.shape, np.uint8) if bodies is None else bodies
    return Case("a", "p", hu, bodies, fracture_map=fracture_map, spacing_mm=spacing_mm)


def ball(shape, center, radius):
    grid = np.indices(shape) - np.reshape(center, (3, 1, 1, 1))
    return (grid**2).sum(0) <= radius**2


def centroid_mm(mask, spacing_mm):
    return np.argwhere(mask).mean(0) * spacing_mm


@pytest.mark.parametrize("spacing_mm", [0.6, 1.5, 2.0])
def test_a_plane_of_hounsfield_units_is_the_same_plane_on_the_new_grid(spacing_mm):
    z, y, x = np.indices((30, 25, 20))
    case = case_of(np.int16(10 * z - 5 * y + 3 * x))
    new = at_spacing(case, spacing_mm)
    assert new.spacing_mm == spacing_mm
    assert new.hu.shape == tuple(int((length - 1) / spacing_mm + 1e-9) + 1 for length in case.hu.shape)
    z, y, x = np.indices(new.hu.shape) * spacing_mm
    inner = (slice(4, -4),) * 3  # smoothing repeats the outermost voxels
    np.testing.assert_allclose(new.hu[inner], (10 * z - 5 * y + 3 * x)[inner], atol=0.6)


@pytest.mark.parametrize("spacing_mm", [0.7, 1.5])
def test_hounsfield_units_agree_with_simpleitks_smoothing_and_resampling(spacing_mm):
    hu = np.random.default_rng(0).normal(100, 300, (24, 22, 20)).astype(np.int16)
    new = at_spacing(case_of(hu), spacing_mm)
    image = sitk.Cast(sitk.GetImageFromArray(hu), sitk.sitkFloat32)
    if spacing_mm > 1:
        # two resolutions add as squares of their widths at half maximum
        image = sitk.SmoothingRecursiveGaussian(image, np.sqrt(spacing_mm**2 - 1) / 2.3548)
    size = new.hu.shape[::-1]
    placed = sitk.Resample(image, size, sitk.Transform(), sitk.sitkLinear, (0, 0, 0), [spacing_mm] * 3)
    expected = sitk.GetArrayFromImage(placed)
    inner = (slice(3, -3),) * 3
    difference = (new.hu - expected)[inner]
    assert np.abs(difference).mean() < 0.05 * hu.std()


@pytest.mark.parametrize("spacing_mm", [0.75, 1.5, 2.0])
def test_bodies_keep_place_volume_and_id(spacing_mm):
    shape = (60, 40, 40)
    bodies = np.zeros(shape, np.uint8)
    for body, center in ((20, (15, 20, 18)), (21, (42, 18, 20))):
        bodies[ball(shape, center, 11)] = body
    new = at_spacing(case_of(bodies=bodies, shape=shape), spacing_mm)
    assert set(np.unique(new.bodies)) == {0, 20, 21}
    for body in (20, 21):
        before, after = bodies == body, new.bodies == body
        assert after.sum() * spacing_mm**3 == pytest.approx(before.sum(), rel=0.08)
        assert centroid_mm(after, spacing_mm) == pytest.approx(centroid_mm(before, 1.0), abs=0.25)


def test_touching_bodies_leave_no_gap_and_do_not_overlap():
    bodies = np.zeros((40, 20, 20), np.uint8)
    bodies[5:20, 4:16, 4:16], bodies[20:35, 4:16, 4:16] = 20, 21
    new = at_spacing(case_of(bodies=bodies, shape=bodies.shape), 1.5).bodies
    column = new[:, 7, 7]
    there = np.flatnonzero(column)
    assert (np.diff(there) == 1).all()
    assert set(column[there]) == {20, 21}
    assert (np.diff(column[there].astype(int)) >= 0).all()


def test_a_body_at_the_border_stays_at_the_border():
    bodies = np.zeros((31, 31, 31), np.uint8)
    bodies[:12, 10:22, :12] = 24
    new = at_spacing(case_of(bodies=bodies, shape=bodies.shape), 1.5).bodies
    assert (new[0, 8:13, :6] == 24).all()
    assert new[:, 10, 0].sum() == 24 * 8  # 0 to 11 mm: voxels at 0, 1.5 ... 10.5


def test_the_fracture_map_is_resampled_beside_the_bodies():
    fracture_map = np.zeros((30, 30, 30), np.uint8)
    fracture_map[5:15, 5:25, 5:25], fracture_map[20:28, 5:25, 5:25] = MAP_FRACTURE, MAP_UNKNOWN
    new = at_spacing(case_of(fracture_map=fracture_map, shape=fracture_map.shape), 1.5)
    assert set(np.unique(new.fracture_map)) == {0, MAP_FRACTURE, MAP_UNKNOWN}
    assert new.fracture_mask.sum() * 1.5**3 == pytest.approx((fracture_map == MAP_FRACTURE).sum(), rel=0.15)
    assert at_spacing(case_of(), 1.5).fracture_map is None


def test_what_has_the_spacing_already_is_not_touched():
    case = case_of(spacing_mm=1.5)
    assert at_spacing(case, 1.5) is case
    others = dataclasses.replace(case, fractured=(20,), uncertain=(21,), truth={"as_scanned": True}, has_bodies=False)
    new = at_spacing(others, 1.0)
    assert (new.fractured, new.uncertain, new.truth, new.has_bodies) == ((20,), (21,), {"as_scanned": True}, False)


def test_a_probability_comes_back_on_the_grid_of_the_case():
    z, y, x = np.indices((20, 17, 14)) * 1.5
    coarse = ((z + y + x) / 100).astype(np.float16)
    fine = volume_at(coarse, 1.5, 1.0, (30, 25, 20))
    assert fine.shape == (30, 25, 20)
    z, y, x = np.indices(fine.shape)
    inside = (slice(0, 28), slice(0, 24), slice(0, 19))  # the coarse grid ends at 28.5, 24 and 19.5 mm
    np.testing.assert_allclose(fine[inside], ((z + y + x) / 100)[inside], atol=1e-3)
    assert fine[-1, 0, 0] == pytest.approx(coarse[-1, 0, 0], abs=1e-3)  # beyond it, its last value
    assert volume_at(fine, 1.0, 1.0, fine.shape) is fine
