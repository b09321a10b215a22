import numpy as np
import pytest
import SimpleITK as sitk

from SpineFractureSegLib.engine.case import MAP_FRACTURE, MAP_UNKNOWN
from SpineFractureSegLib.engine.data.label_map import read_fracture, read_vertebrae
from SpineFractureSegLib.engine.data.scan import FractureMask, VertebraLabels
from SpineFractureSegLib.engine.data.vertebra_ids import TOTALSEGMENTATOR
from SpineFractureSegLib.engine.errors import UserError

TILT = np.array([[1.5, 0.1, 0.0], [0.0, 1.5, 0.4], [0.0, 0.0, 2.0]])  # columns not at right angles


@pytest.fixture
def values():
    values = np.zeros((4, 5, 6), np.uint8)
    values[1], values[2], values[3] = 20, 21, 26
    return values


def read(path, **options):
    return sitk.GetArrayFromImage(read_vertebrae(VertebraLabels(path, **options)))


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int16])
def test_float_masks_are_read_as_whole_numbers(phantom, values, tmp_path, kind):
    stored = values.astype(kind)
    if kind != np.int16:
        stored += kind(1e-3)  # what scaling leaves
    path = phantom.write(tmp_path / "a.nii.gz", stored)
    assert read(path).dtype == np.uint8
    np.testing.assert_array_equal(read(path), values)


def test_interpolated_labels_are_refused(phantom, values, tmp_path):
    blurred = values.astype(np.float32)
    blurred[0, 0, 0] = 19.4
    with pytest.raises(UserError, match=r"for example 19\.4"):
        read(phantom.write(tmp_path / "a.nii.gz", blurred))


@pytest.mark.parametrize("bad", [-1.0, 1e6, np.nan])
def test_values_that_no_label_has_are_refused(phantom, values, tmp_path, bad):
    stored = values.astype(np.float32)
    stored[0, 0, 0] = bad
    with pytest.raises(UserError, match=r"a\.nrrd"):  # ITK reads NaN in NIfTI as 0
        read(phantom.write(tmp_path / "a.nrrd", stored))


def test_axes_that_are_not_at_right_angles_keep_their_directions(phantom, values, tmp_path):
    image = read_vertebrae(VertebraLabels(phantom.write(tmp_path / "a.nii.gz", values, TILT, (1, 2, 3))))
    matrix = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    np.testing.assert_allclose(matrix, TILT, atol=1e-5)
    np.testing.assert_allclose(image.GetOrigin(), (1, 2, 3), atol=1e-5)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), values)


def test_ids_go_through_the_table_of_their_source(phantom, tmp_path):
    values = np.zeros((3, 4, 5), np.uint8)
    values[0], values[1], values[2] = 31, 50, 92  # L1, C1, a rib
    result = read(phantom.write(tmp_path / "a.nii.gz", values), ids=TOTALSEGMENTATOR)
    assert np.unique(result[0]) == 20
    assert np.unique(result[1]) == 1
    assert not result[2].any()
    with pytest.raises(UserError, match="--label-ids"):
        read(phantom.write(tmp_path / "b.nii.gz", np.full((3, 4, 5), 92, np.uint8)))


def write_segmentation(path, layers, segments):
    """A .seg.nrrd as Slicer writes it: segments of (name, layer, value)."""
    image = sitk.GetImageFromArray(np.stack(layers, -1) if len(layers) > 1 else layers[0], isVector=len(layers) > 1)
    for k, (name, layer, value) in enumerate(segments):
        for field, text in (("Name", name), ("Layer", layer), ("LabelValue", value), ("ID", f"Segment_{k}")):
            image.SetMetaData(f"Segment{k}_{field}", str(text))
    sitk.WriteImage(image, str(path))
    return path


def test_overlapping_segments_are_told_by_their_names(tmp_path):
    vertebrae, others = np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)
    vertebrae[:2], vertebrae[2:] = 1, 2
    others[1:3, 0], others[3, 0] = 1, 2
    segments = [("L2", 0, 1), ("vertebrae_L1", 0, 2), ("Fracture L1", 1, 1), ("ignore", 1, 2)]
    path = write_segmentation(tmp_path / "a.seg.nrrd", [vertebrae, others], segments)
    result = read(path)
    assert np.unique(result[:2]) == 21
    assert np.unique(result[2:]) == 20
    mask = sitk.GetArrayFromImage(read_fracture(FractureMask(path)))
    assert (mask[1:3, 0] == MAP_FRACTURE).all()
    assert (mask[3, 0] == MAP_UNKNOWN).all()
    assert np.count_nonzero(mask) == 12


def test_a_mask_takes_the_values_that_mean_fracture(phantom, values, tmp_path):
    path = phantom.write(tmp_path / "a.nii.gz", values)
    mask = sitk.GetArrayFromImage(read_fracture(FractureMask(path, values=(20, 21), unknown=(26,))))
    np.testing.assert_array_equal(mask[1:3], MAP_FRACTURE)
    np.testing.assert_array_equal(mask[3], MAP_UNKNOWN)
    assert not mask[0].any()


def test_a_label_map_of_vertebrae_is_not_taken_for_fractures(phantom, tmp_path):
    values = np.zeros((5, 4, 4), np.uint8)
    values[:4] = np.arange(20, 24)[:, None, None]
    path = phantom.write(tmp_path / "a_label.nii.gz", values)
    with pytest.raises(UserError, match="_vertebrae"):
        read_fracture(FractureMask(path, named=False))
    assert sitk.GetArrayFromImage(read_fracture(FractureMask(path))).sum() == 64
