"""CT files that can be read, and each kind of bad input with its sentence."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.volume import check_ct, read_ct, read_image

REAL_CT = Path(__file__).resolve().parents[3] / "shared" / "data" / "ct"
FORMATS = [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"]


def body(size=(40, 36, 30)):
    """HU of air around soft tissue with fat, noise and a bone; (Z, Y, X) int16 from a size (x, y, z)."""
    _, y, x = (np.indices(size[::-1]).T / (np.array(size[::-1]) - 1) * 2 - 1).T
    radius = np.sqrt(x**2 + y**2)
    hu = np.select([radius > 0.9, radius > 0.7, radius > 0.3], [-1000, -100, 40], 500)
    return (hu + np.random.default_rng(0).normal(0, 15, hu.shape)).astype(np.int16)


def ct_image(array=None, spacing=(2.0, 2.5, 3.0)):
    image = sitk.GetImageFromArray(body() if array is None else array)
    image.SetSpacing(spacing[: image.GetDimension()])
    return image


def sentence(error):
    """The message, which must be one sentence on one line."""
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert "ERROR" not in text
    return text


# ---- reading


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_the_same_volume(tmp_path, suffix):
    ct = ct_image()
    path = tmp_path / f"my ct.v2{suffix}"
    sitk.WriteImage(ct, str(path))
    read = read_ct(path)
    assert np.array_equal(sitk.GetArrayFromImage(read.image), sitk.GetArrayFromImage(ct))
    assert np.allclose(read.image.GetSpacing(), ct.GetSpacing())
    assert read.warnings == []
    assert not read.dicom


def test_names_in_capitals_are_read(tmp_path):
    sitk.WriteImage(ct_image(), str(tmp_path / "a.nii.gz"))
    (tmp_path / "a.nii.gz").rename(tmp_path / "A.NII.GZ")
    assert read_ct(tmp_path / "A.NII.GZ").image.GetSize() == (40, 36, 30)


@pytest.mark.parametrize(
    ("stored", "read"),
    [(np.int32, sitk.sitkInt16), (np.int16, sitk.sitkInt16), (np.float64, sitk.sitkFloat32)],
)
def test_hounsfield_units_are_held_in_small_types(tmp_path, stored, read):
    sitk.WriteImage(ct_image(body().astype(stored)), str(tmp_path / "a.nrrd"))
    image = read_ct(tmp_path / "a.nrrd").image
    assert image.GetPixelID() == read
    assert np.array_equal(sitk.GetArrayFromImage(image), body())


def test_a_single_slice_volume_and_a_fourth_axis_of_one_step_are_read(tmp_path):
    sitk.WriteImage(ct_image()[:, :, 4:5], str(tmp_path / "slice.nii.gz"))
    assert read_ct(tmp_path / "slice.nii.gz").image.GetSize() == (40, 36, 1)
    sitk.WriteImage(sitk.JoinSeries([ct_image()]), str(tmp_path / "series.nrrd"))
    assert read_ct(tmp_path / "series.nrrd").image.GetSize() == (40, 36, 30)


# ---- files that are no CT


def broken_files(folder):
    """Each kind of bad file by its name, with words that its sentence must hold."""
    for suffix in FORMATS[:4]:
        path = folder / f"whole{suffix}"
        sitk.WriteImage(ct_image(), str(path), useCompression=True)
        content = path.read_bytes()
        (folder / f"half{suffix}").write_bytes(content[: len(content) // 2])
        (folder / f"no bytes{suffix}").touch()
        (folder / f"text{suffix}").write_text("this is no image\n" * 100)
        yield f"half{suffix}", ("incomplete",)
        yield f"no bytes{suffix}", ("empty",)
        yield f"text{suffix}", ("no",)
    (folder / "tiny.nii.gz").write_bytes(b"\x1f\x8b")
    yield "tiny.nii.gz", ("damaged",)
    (folder / "picture.png").write_bytes(b"\x89PNG")
    yield "picture.png", ("no known type", ".nii.gz")
    (folder / "old.dcm").write_bytes(b"not DICOM" * 100)
    yield "old.dcm", ("DICOM",)
    yield "nowhere.nii.gz", ("does not exist",)


def test_broken_files_are_refused_with_one_sentence(tmp_path, capfd):
    for name, words in broken_files(tmp_path):
        with pytest.raises(UserError) as error:
            read_ct(tmp_path / name)
        text = sentence(error)
        assert name in text
        assert all(word in text for word in words), text
    warnings = [line for line in capfd.readouterr().err.splitlines() if "WARNING" in line]
    assert warnings == []


def test_a_gzip_file_of_two_members_is_whole(tmp_path):
    sitk.WriteImage(ct_image(), str(tmp_path / "a.nii"))
    content = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content[:5000]) + gzip.compress(content[5000:]))
    assert np.array_equal(sitk.GetArrayFromImage(read_ct(tmp_path / "a.nii.gz").image), body())


def test_a_nifti_file_with_one_byte_too_few_is_refused(tmp_path):
    sitk.WriteImage(ct_image(), str(tmp_path / "a.nii"))
    content = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "a.nii").write_bytes(content[:-1])
    with pytest.raises(UserError, match="incomplete"):
        read_ct(tmp_path / "a.nii")


WRONG_SHAPES = {
    "2 dimensions": lambda: ct_image()[:, :, 3],
    "4 dimensions": lambda: sitk.JoinSeries([ct_image(), ct_image()]),
    "3 values per voxel": lambda: sitk.Compose([ct_image()] * 3),
    "complex": lambda: sitk.Cast(ct_image(), sitk.sitkComplexFloat32),
}


@pytest.mark.parametrize(("words", "image"), WRONG_SHAPES.items(), ids=WRONG_SHAPES)
def test_other_shapes_are_refused_when_read_and_when_checked(tmp_path, words, image):
    with pytest.raises(UserError, match=words) as error:
        check_ct(image())
    sentence(error)
    sitk.WriteImage(image(), str(tmp_path / "a.nrrd"))
    with pytest.raises(UserError, match=words):
        read_ct(tmp_path / "a.nrrd")


def test_a_mask_is_read_as_it_is(tmp_path):
    mask = sitk.Cast(ct_image() > 300, sitk.sitkUInt8)
    sitk.WriteImage(mask, str(tmp_path / "m.nii.gz"))
    assert read_image(tmp_path / "m.nii.gz").GetPixelID() == sitk.sitkUInt8
    with pytest.raises(UserError, match="folder"):
        read_image(tmp_path)


# ---- NIfTI headers


def nifti_with(tmp_path, *patches):
    """A NIfTI-1 file in which (offset, bytes) pairs of the header were replaced."""
    sitk.WriteImage(ct_image(), str(tmp_path / "a.nii"))
    content = bytearray((tmp_path / "a.nii").read_bytes())
    for offset, value in patches:
        content[offset : offset + len(value)] = value
    (tmp_path / "a.nii").write_bytes(bytes(content))
    return tmp_path / "a.nii"


def test_an_affine_with_shear_is_read_with_its_true_axes(tmp_path):
    affine = np.array([[-2.0, 0, 0.9, 10], [0, -2.5, 0, 20], [0, 0, 3.0, -30]])
    path = nifti_with(tmp_path, (252, struct.pack("<hh", 0, 1)), (280, affine.astype("<f4").tobytes()))
    image = read_ct(path).image
    for index in ((0, 0, 0), (10, 5, 7), (39, 35, 29)):
        ras = affine @ [*index, 1]
        assert np.allclose(image.TransformIndexToPhysicalPoint(index), ras * [-1, -1, 1], atol=1e-4)
    assert any("right angles" in warning for warning in check_ct(image))


def test_a_nifti_file_without_orientation_is_read_with_a_warning(tmp_path):
    read = read_ct(nifti_with(tmp_path, (252, struct.pack("<hh", 0, 0))))
    assert any("how the patient lies" in warning for warning in read.warnings)


# ---- values and geometry


def test_an_ordinary_ct_has_no_warnings():
    assert check_ct(ct_image()) == []
    assert check_ct(sitk.Cast(ct_image(), sitk.sitkFloat64)) == []


def test_padding_is_no_reason_to_warn():
    array = body()
    array[:, :10] = -3024
    assert check_ct(ct_image(array)) == []


def test_a_crop_without_air_is_a_ct():
    assert check_ct(ct_image(body()[:, 6:30, 8:32])) == []


def mr():
    return np.clip(np.random.default_rng(1).gamma(2.0, 120.0, (30, 36, 40)), 0, None)


NO_CT = {
    "MR": (mr, "no CT"),
    "MR with small negative values after resampling": (lambda: mr() - 20, "no CT"),
    "z-scores": (lambda: (mr() - 200) / 150, "no CT"),
    "0 to 1": (lambda: mr() / mr().max(), "no CT"),
    "a label map": (lambda: (body() > 300).astype(np.uint8) * 20, "no CT"),
    "a window of 8 bit": (lambda: np.clip((body() + 200) / 4, 0, 255).astype(np.uint8), "no CT"),
    "HU without the offset": (lambda: np.maximum(body() + 1024 + 600 * (body() > 300), 0), "1024"),
    "constant": (lambda: np.full((30, 36, 40), -1000, np.int16), "All voxels"),
    "mostly NaN": (lambda: np.where(np.arange(40) < 30, np.nan, body()), "NaN"),
    "only NaN": (lambda: np.full((30, 36, 40), np.nan), "NaN"),
}


@pytest.mark.parametrize(("values", "words"), NO_CT.values(), ids=NO_CT)
def test_values_that_are_no_hounsfield_units_are_refused(values, words):
    with pytest.raises(UserError, match=words) as error:
        check_ct(ct_image(values()))
    sentence(error)


DOUBTFUL = {
    "MR with padding of a CT": (lambda: np.where(np.arange(40) < 5, -1024, mr() + 1), "values of fat"),
    "air without bone": (lambda: np.minimum(body(), 60), "without any bone"),
    "some NaN": (lambda: np.where(np.arange(40) < 3, np.nan, body()), "treated as air"),
}


@pytest.mark.parametrize(("values", "words"), DOUBTFUL.values(), ids=DOUBTFUL)
def test_doubtful_values_are_warned_of(values, words):
    (warning,) = check_ct(ct_image(values()))
    assert words in warning


def test_a_crop_smaller_than_a_vertebra_may_be_bone_alone():
    bone = np.random.default_rng(0).normal(400, 50, (6, 6, 6)).astype(np.int16)
    assert "Doubtful" in check_ct(ct_image(bone, (1.0, 1.0, 1.0)))[0]


def test_impossible_sizes_are_refused_and_thick_or_single_slices_warned_of():
    with pytest.raises(UserError, match="spacing"):
        check_ct(ct_image(spacing=(2.0, 2.0, 300.0)))
    assert "7 mm apart" in check_ct(ct_image(spacing=(2.0, 2.0, 7.0)))[0]
    assert "single slice" in check_ct(ct_image(body()[:1]))[0]


REAL_NAMES = [
    "acrinflt_lumbar_4mm",
    "s0521_cervical",
    "totalseg_example_lumbar_3mm",
    "tptbox_L3",
    "verse014_lumbar",
]


@pytest.mark.parametrize("name", REAL_NAMES)
def test_real_cts_are_read_without_a_warning(name):
    path = REAL_CT / f"{name}_ct.nii.gz"
    if not path.exists():
        pytest.skip(f"needs {path}")
    read = read_ct(path)
    assert read.warnings + check_ct(read.image) == []
