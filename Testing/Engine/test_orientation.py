from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from SpineFractureSegLib.engine.orientation import WorkingVolume, to_ct_grid, to_working_grid

REAL_CT = Path(__file__).resolve().parents[3] / "shared" / "data" / "ct"


def smooth_ct(size=(30, 26, 22), spacing=(1.0, 1.0, 1.0), origin=(-11.3, 7.2, 40.6), seed=0):
    """A CT of smooth random blobs between about -1000 and 1000 HU; ``size`` is (x, y, z)."""
    random = np.random.default_rng(seed)
    values = gaussian_filter(random.standard_normal(size[::-1]), 2.0)
    image = sitk.GetImageFromArray((values / np.abs(values).max() * 1000).astype(np.int16))
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    return image


def rotation(degrees, axis):
    transform = sitk.VersorTransform(axis, np.radians(degrees))
    return np.reshape(transform.GetMatrix(), (3, 3))


def assert_same_grid(image, ct):
    assert image.GetSize() == ct.GetSize()
    assert image.GetSpacing() == ct.GetSpacing()
    assert image.GetOrigin() == ct.GetOrigin()
    assert image.GetDirection() == ct.GetDirection()


def shared_part(one: WorkingVolume, other: WorkingVolume):
    """The same world points of two working volumes; their grids differ by whole voxels."""
    cuts = []
    for a, b in ((one, other), (other, one)):
        start = [round((q - p) / a.spacing_mm) for p, q in zip(a.origin_mm, b.origin_mm, strict=True)][::-1]
        lower = [max(0, s) for s in start]
        upper = [min(n, s + m) for n, s, m in zip(a.hu.shape, start, b.hu.shape, strict=True)]
        cuts.append(a.hu[tuple(slice(low, high) for low, high in zip(lower, upper, strict=True))])
    return cuts


def test_the_origin_is_a_whole_multiple_of_the_spacing_and_the_grid_covers_the_ct():
    ct = smooth_ct(spacing=(0.7, 0.9, 2.5))
    working = to_working_grid(ct, 1.5)
    assert np.allclose(np.array(working.origin_mm) / 1.5, np.round(np.array(working.origin_mm) / 1.5))
    faces = np.array([ct.TransformContinuousIndexToPhysicalPoint(p) for p in ((-0.5,) * 3, (29.5, 25.5, 21.5))])
    last = np.array(working.origin_mm) + 1.5 * (np.array(working.hu.shape[::-1]) - 1)
    assert (np.array(working.origin_mm) <= faces[0]).all()
    assert (last >= faces[1]).all()
    assert (np.array(working.origin_mm) > faces[0] - 1.5).all()
    assert working.hu.dtype == np.float32


def test_values_lie_at_their_world_positions():
    # world x, y, z written into the voxels of an anisotropic CT: linear interpolation returns them exactly
    ct = smooth_ct(size=(20, 18, 16), spacing=(2.0, 1.5, 3.0), origin=(5.0, -8.0, 100.0))
    for axis in range(3):
        image = sitk.PhysicalPointSource(sitk.sitkVectorFloat64, ct.GetSize(), ct.GetOrigin(), ct.GetSpacing())
        ramp = sitk.VectorIndexSelectionCast(image, axis)
        working = to_working_grid(ramp, 1.0)
        grid = np.indices(working.hu.shape)[2 - axis] + working.origin_mm[axis]
        inside = tuple(slice(3, -3) for _ in range(3))
        assert np.abs(working.hu - grid)[inside].max() < 0.51  # values were rounded to whole HU before


FLIPS = {
    "mirrored left-right": lambda ct: ct[::-1, :, :],
    "upside down": lambda ct: ct[:, :, ::-1],
    "all flipped": lambda ct: ct[::-1, ::-1, ::-1],
    "axes in order z, x, y": lambda ct: sitk.PermuteAxes(ct, (2, 0, 1)),
    "axes in order y, x, z, flipped": lambda ct: sitk.PermuteAxes(ct, (1, 0, 2))[:, ::-1, ::-1],
}


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.7, 2.5), (2.0, 2.0, 2.0)])
@pytest.mark.parametrize("change", FLIPS.values(), ids=FLIPS)
def test_flipped_and_permuted_copies_give_identical_voxels(change, spacing):
    ct = smooth_ct(spacing=spacing, origin=(-11.0, 7.5, 40.0))
    original, copy = to_working_grid(ct), to_working_grid(change(ct))
    assert copy.origin_mm == original.origin_mm
    assert np.array_equal(copy.hu, original.hu)


def test_a_padded_copy_gives_identical_voxels_where_the_ct_has_data():
    ct = smooth_ct()
    original, padded = shared_part(
        to_working_grid(ct), to_working_grid(sitk.ConstantPad(ct, (5, 7, 3), (2, 9, 4), -3024))
    )
    inside = tuple(slice(2, -2) for _ in range(3))
    assert np.abs(original[inside] - padded[inside]).max() < 1e-3


def test_a_cropped_copy_gives_identical_voxels_inside():
    ct = smooth_ct()
    original, cropped = shared_part(to_working_grid(ct), to_working_grid(ct[4:25, 3:20, 5:19]))
    inside = tuple(slice(2, -2) for _ in range(3))
    assert np.abs(original[inside] - cropped[inside]).max() < 1e-3


@pytest.mark.parametrize("degrees", [10, 45, 170])
def test_an_oblique_copy_gives_the_same_voxels_up_to_interpolation(degrees):
    ct = smooth_ct(size=(40, 40, 40), origin=(-20.0, -20.0, -20.0))
    axes = rotation(degrees, (1.0, 2.0, -1.0))
    origin = -axes @ np.full(3, 29.5)  # 60 voxels of 1 mm around the world's origin
    oblique = sitk.Resample(
        ct, (60, 60, 60), sitk.Transform(), sitk.sitkBSpline, origin, (1.0,) * 3, axes.ravel(), -1024
    )
    one, other = shared_part(to_working_grid(ct), to_working_grid(oblique))
    inside = tuple(slice(8, 32) for _ in range(3))
    assert np.corrcoef(one[inside].ravel(), other[inside].ravel())[0, 1] > 0.99
    assert np.abs(one[inside] - other[inside]).mean() < 30


def test_outside_the_ct_is_air_and_the_outermost_half_voxel_is_kept():
    ct = sitk.Image(10, 10, 10, sitk.sitkInt16) + 300
    ct.SetSpacing((4.0, 4.0, 4.0))  # faces at -2 and 38 mm
    working = to_working_grid(ct, 1.0)
    x = np.arange(working.hu.shape[2]) + working.origin_mm[0]
    row = working.hu[20, 20]
    assert (row[(x > -2) & (x < 38)] == 300).all()
    assert (row[(x < -2) | (x > 38)] == -1024).all()


@pytest.mark.parametrize("thickness", [0.3, 1.0, 5.0])
@pytest.mark.parametrize("offset", [0.0, 0.25, 0.5])
def test_a_single_slice_survives_there_and_back(thickness, offset):
    ct = smooth_ct(size=(40, 40, 1), spacing=(1.0, 1.0, thickness), origin=(0.0, 0.0, offset))
    working = to_working_grid(ct)
    back = to_ct_grid(working.hu, working, ct)
    assert_same_grid(back, ct)
    difference = np.abs(sitk.GetArrayFromImage(back) - sitk.GetArrayFromImage(ct))
    assert difference[:, 1:-1, 1:-1].max() < 1


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 1, 3), (3, 3, 3)])
def test_a_tiny_volume_survives_there_and_back(size):
    ct = sitk.Image(*size, sitk.sitkInt16) + 77
    ct.SetSpacing((0.4, 0.9, 2.2))
    working = to_working_grid(ct)
    back = to_ct_grid(working.hu, working, ct)
    assert_same_grid(back, ct)
    assert np.allclose(sitk.GetArrayFromImage(back), 77)


GRIDS = {
    "isotropic": ((1.0, 1.0, 1.0), np.eye(3)),
    "fine in plane": ((0.5, 0.5, 1.0), np.eye(3)),
    "5 mm slices": ((1.0, 1.0, 5.0), np.eye(3)),
    "flipped": ((1.0, 1.0, 2.0), np.diag([-1.0, 1.0, -1.0])),
    "permuted": ((1.0, 2.0, 1.0), np.eye(3)[[2, 0, 1]]),
    "oblique": ((1.0, 1.0, 2.0), rotation(30, (1.0, 1.0, 0.2))),
    "sheared": ((1.0, 1.0, 2.0), np.array([[1, 0, 0.2], [0, 1, 0], [0, 0, 0.98]])),
}


@pytest.mark.parametrize(("spacing", "axes"), GRIDS.values(), ids=GRIDS)
def test_a_mask_survives_the_round_trip_on_exactly_the_cts_grid(spacing, axes):
    ct = smooth_ct(size=(40, 40, 40), spacing=spacing)
    ct.SetDirection(axes.ravel())
    values = np.full((40, 40, 40), -1000, np.int16)
    values[8:32, 8:32, 8:32] = 1000
    block = sitk.GetImageFromArray(values)
    block.CopyInformation(ct)
    working = to_working_grid(block)
    back = to_ct_grid((working.hu > 0).astype(np.float32), working, block)
    assert_same_grid(back, ct)
    assert back.GetPixelID() == sitk.sitkFloat32
    found, true = sitk.GetArrayFromImage(back) > 0.5, values > 0
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.93


def test_a_fine_ct_is_smoothed_before_it_is_sampled_coarsely():
    # voxels of 0.25 mm that alternate between 0 and 1000: sampling without smoothing would keep the extremes
    values = np.zeros((8, 8, 80), np.int16)
    values[..., ::2] = 1000
    ct = sitk.GetImageFromArray(values)
    ct.SetSpacing((0.25, 1.0, 1.0))
    hu = to_working_grid(ct, 1.0).hu[3, 3, 3:-3]
    assert np.abs(hu - 500).max() < 20


def test_slabs_leave_no_seam_in_the_smoothing():
    ct = smooth_ct(size=(10, 10, 100), spacing=(0.6, 0.6, 0.6))
    shifted = ct[:, :, 7:]  # the same voxels in other slabs
    one, other = shared_part(to_working_grid(ct), to_working_grid(shifted))
    assert np.abs(one[4:-4] - other[4:-4]).max() < 1e-3


def test_padding_metal_and_nan_become_possible_values():
    values = np.zeros((6, 6, 6), np.float32)
    values[0], values[1], values[2] = -3024, 30000, np.nan
    working = to_working_grid(sitk.GetImageFromArray(values))
    first = -round(working.origin_mm[2])  # working index of the CT's slice 0
    assert working.hu[first : first + 4, 3, 3].tolist() == [-1024, 3071, -1024, 0]


def test_the_ct_is_unchanged_and_a_foreign_array_is_refused():
    ct = smooth_ct()
    before = sitk.GetArrayFromImage(ct)
    working = to_working_grid(ct)
    assert np.array_equal(sitk.GetArrayFromImage(ct), before)
    with pytest.raises(ValueError, match="not on the working grid"):
        to_ct_grid(np.zeros((2, 2, 2), np.float32), working, ct)


@pytest.mark.parametrize("name", ["verse014_lumbar_ct", "s0521_cervical_ct", "tptbox_L3_ct"])
def test_real_cts_of_three_orientations_come_back_as_they_were(name):
    path = REAL_CT / f"{name}.nii.gz"
    if not path.exists():
        pytest.skip(f"needs {path}")
    ct = sitk.ReadImage(str(path))
    working = to_working_grid(ct, 1.0)
    back = to_ct_grid(working.hu, working, ct)
    assert_same_grid(back, ct)
    one, other = (np.clip(sitk.GetArrayFromImage(i).astype(float), -1024, 3071) for i in (ct, back))

    def agreement(shift):
        moved = np.roll(other, shift, axis=(0, 1, 2))[3:-3, 3:-3, 3:-3]
        return np.corrcoef(one[3:-3, 3:-3, 3:-3].ravel(), moved.ravel())[0, 1]

    in_place = agreement((0, 0, 0))
    assert in_place > 0.94  # the noise of real CT is smoothed by interpolating twice
    shifts = np.vstack([np.eye(3, dtype=int), -np.eye(3, dtype=int)])
    assert max(agreement(tuple(shift)) for shift in shifts) < in_place - 0.01
