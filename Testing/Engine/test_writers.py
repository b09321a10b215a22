import os

import numpy as np
import pytest
import SimpleITK as sitk

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.writers import check_output_path, write_mask, write_probability


def grid_of(array):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-12.5, 33.25, -801.0))
    image.SetDirection(np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]], float).ravel())
    return image


@pytest.fixture
def mask():
    array = np.zeros((7, 9, 11), np.uint8)
    array[2:4, 3:6, 5:10] = 1
    return grid_of(array)


@pytest.fixture
def vertebrae():
    array = np.zeros((7, 9, 11), np.uint8)
    array[1:6, 2:7, 4:11] = 1
    return grid_of(array)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_same_image(one, other):
    assert one.GetSize() == other.GetSize()
    for name in ("GetSpacing", "GetOrigin", "GetDirection"):
        assert np.allclose(getattr(one, name)(), getattr(other, name)(), atol=1e-5)
    assert np.array_equal(sitk.GetArrayFromImage(one), sitk.GetArrayFromImage(other))


@pytest.mark.parametrize("suffix", [".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha", ".SEG.NRRD"])
def test_a_mask_comes_back_from_every_format_and_nothing_else_lies_there(mask, tmp_path, suffix):
    path = tmp_path / f"result.of.today{suffix}"
    write_mask(path, mask)
    assert_same_image(sitk.ReadImage(str(path)), mask)
    assert names_in(tmp_path) == [path.name]


def test_the_segmentation_carries_slicers_header(mask, tmp_path):
    write_mask(tmp_path / "r.seg.nrrd", mask)
    image = sitk.ReadImage(str(tmp_path / "r.seg.nrrd"))
    fields = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    assert fields["Segmentation_MasterRepresentation"] == "Binary labelmap"
    assert fields["Segmentation_ContainedRepresentationNames"] == "Binary labelmap|"
    assert fields["Segmentation_ReferenceImageExtentOffset"] == "0 0 0"
    assert fields["Segment0_ID"] == fields["Segment0_Name"] == "Fracture"
    assert fields["Segment0_LabelValue"] == "1"
    assert fields["Segment0_Layer"] == "0"
    assert fields["Segment0_Extent"] == "5 9 3 5 2 3"  # columns, rows, slices
    assert len([float(part) for part in fields["Segment0_Color"].split()]) == 3
    assert "Segment1_ID" not in fields
    (tag, rest) = fields["Segment0_Tags"].split(":", 1)
    assert tag == "TerminologyEntry"
    assert rest.endswith("|")
    entry = rest[:-1].split("~")
    assert len(entry) == 7
    assert entry[1] == "SCT^49755003^Morphologically Altered Structure"
    assert entry[2] == "SCT^72704001^Fracture"
    assert all(code.count("^") == 2 for code in (*entry[1:4], *entry[5:]))


def test_the_header_states_the_cts_grid_in_ras(mask, tmp_path):
    write_mask(tmp_path / "r.seg.nrrd", mask)
    image = sitk.ReadImage(str(tmp_path / "r.seg.nrrd"))
    name, geometry, _ = image.GetMetaData("Segmentation_ConversionParameters").split("|")
    assert name == "Reference image geometry"
    numbers = [float(part) for part in geometry.strip(";").split(";")]
    index_to_ras = np.reshape(numbers[:16], (4, 4))
    lps = np.array(mask.TransformIndexToPhysicalPoint((3, 4, 5)))
    assert np.allclose(index_to_ras @ [3, 4, 5, 1], [*(lps * [-1, -1, 1]), 1])
    assert numbers[16:] == [0, 10, 0, 8, 0, 6]


def test_vertebrae_are_a_layer_of_their_own_because_fractures_overlap_them(mask, vertebrae, tmp_path):
    write_mask(tmp_path / "r.seg.nrrd", mask, vertebrae)
    image = sitk.ReadImage(str(tmp_path / "r.seg.nrrd"))
    assert image.GetNumberOfComponentsPerPixel() == 2
    for layer, expected in enumerate((mask, vertebrae)):
        assert_same_image(sitk.VectorIndexSelectionCast(image, layer), expected)
        assert image.GetMetaData(f"Segment{layer}_Layer") == str(layer)
    assert image.GetMetaData("Segment1_Name") == "Vertebrae"
    assert image.GetMetaData("Segment1_Extent") == "4 10 2 6 1 5"


def test_an_empty_segmentation_has_an_empty_segment(tmp_path):
    write_mask(tmp_path / "r.seg.nrrd", grid_of(np.zeros((7, 9, 11), np.uint8)))
    assert sitk.ReadImage(str(tmp_path / "r.seg.nrrd")).GetMetaData("Segment0_Extent") == "0 -1 0 -1 0 -1"


def test_masks_are_written_compressed(tmp_path):
    write_mask(tmp_path / "r.seg.nrrd", grid_of(np.zeros((60, 60, 60), np.uint8)))
    assert (tmp_path / "r.seg.nrrd").stat().st_size < 5000


def test_masks_are_written_uncompressed_on_request(mask, vertebrae, tmp_path):
    write_mask(tmp_path / "r.seg.nrrd", mask, vertebrae, compress=False)
    assert b"encoding: raw" in (tmp_path / "r.seg.nrrd").read_bytes()
    image = sitk.ReadImage(str(tmp_path / "r.seg.nrrd"))
    for layer, expected in enumerate((mask, vertebrae)):
        assert_same_image(sitk.VectorIndexSelectionCast(image, layer), expected)


def test_a_probability_comes_back_as_float(mask, tmp_path):
    probability = grid_of(np.random.default_rng(0).random((7, 9, 11)).astype(np.float32))
    write_probability(tmp_path / "p.nii.gz", probability)
    assert_same_image(sitk.ReadImage(str(tmp_path / "p.nii.gz")), probability)
    with pytest.raises(UserError, match=r"p\.seg\.nrrd"):
        write_probability(tmp_path / "p.seg.nrrd", probability)


def test_a_sheared_grid_goes_into_nrrd_but_not_into_nifti(mask, tmp_path):
    mask.SetDirection((1, 0, 0.2, 0, 1, 0, 0, 0, 0.98))
    with pytest.raises(UserError, match="right angles"):
        write_mask(tmp_path / "r.nii.gz", mask)
    assert names_in(tmp_path) == []
    write_mask(tmp_path / "r.seg.nrrd", mask)


def test_an_older_file_stays_when_writing_fails(mask, tmp_path, monkeypatch):
    path = tmp_path / "r.nii.gz"
    path.write_bytes(b"older")

    def fail(image, name, **options):
        with open(name, "wb") as file:  # noqa: PTH123  (half a file, as on a full disk)
            file.write(b"half")
        raise RuntimeError("ITK ERROR: no space left")

    monkeypatch.setattr(sitk, "WriteImage", fail)
    with pytest.raises(UserError, match="no space left"):
        write_mask(path, mask)
    assert path.read_bytes() == b"older"
    assert names_in(tmp_path) == ["r.nii.gz"]


UNWRITABLE = {
    "no such folder": "none/r.nii.gz",
    "a file instead of the folder": "file/r.nii.gz",
    "a folder of this name": "folder.nii.gz",
    "unknown ending": "r.xyz",
    "no ending": "r",
    "DICOM": "r.dcm",
}


@pytest.mark.parametrize("name", UNWRITABLE.values(), ids=UNWRITABLE)
def test_an_unwritable_output_is_told_before_and_at_writing(mask, tmp_path, name):
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "folder.nii.gz").mkdir()
    path = tmp_path / name
    before = names_in(tmp_path)
    for attempt in (lambda: check_output_path(path), lambda: write_mask(path, mask)):
        with pytest.raises(UserError) as error:
            attempt()
        assert path.name in str(error.value)
        assert "\n" not in str(error.value)
    assert names_in(tmp_path) == before


def test_a_folder_without_permission_is_told(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(UserError, match="cannot be written"):
        check_output_path(folder / "r.nii.gz")


def test_a_good_output_path_leaves_nothing_behind(tmp_path):
    check_output_path(tmp_path / "r.seg.nrrd")
    check_output_path(tmp_path / "r.json", (".json",))
    assert names_in(tmp_path) == []
