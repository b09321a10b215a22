import numpy as np
import pytest
import SimpleITK as sitk

from SpineFractureSegLib.engine.finetuning import TuningCase, check_cases


@pytest.fixture
def pair(write_pair, tmp_path):
    """CT and mask as images, and check(ct, mask), which writes and checks them."""
    ct_path, mask_path = write_pair(tmp_path, 1)

    def check(ct, mask, name="fracture.nrrd"):
        sitk.WriteImage(ct, str(tmp_path / "ct.nrrd"))
        sitk.WriteImage(mask, str(tmp_path / name))
        (answer,) = check_cases([TuningCase.of("a", tmp_path / "ct.nrrd", tmp_path / name)])
        assert answer.name == "a"
        return answer

    return sitk.ReadImage(str(ct_path)), sitk.ReadImage(str(mask_path)), check


def of_array(array, like):
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(like)
    return image


def test_a_pair_that_fits_can_be_used(pair):
    ct, mask, check = pair
    answer = check(ct, mask)
    assert answer.ok, answer.reason
    assert answer.to_json() == {"name": "a", "ok": True, "reason": ""}


@pytest.mark.parametrize(
    "change", [lambda image: sitk.Flip(image, (True, False, True)), lambda image: image[:, :, ::-1]]
)
def test_a_mask_on_a_mirrored_copy_of_the_grid_can_be_used(pair, change):
    # the axes run the other way and the directions say so: in space nothing has moved
    ct, mask, check = pair
    assert check(ct, change(mask)).ok


def test_a_mask_on_a_finer_and_smaller_grid_can_be_used(pair):
    ct, mask, check = pair
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(mask)
    x, y, z, *size = shape.GetBoundingBox(1)
    finer = sitk.Expand(mask[x : x + size[0], y : y + size[1], z : z + size[2]], (2, 2, 2), sitk.sitkNearestNeighbor)
    assert check(ct, finer).ok


def test_what_a_fitting_pair_is_doubtful_for_is_said_all_the_same(pair):
    ct, mask, check = pair
    for image in (ct, mask):
        image.SetSpacing((2, 2, 8))
    answer = check(ct, mask)
    assert answer.ok
    assert "8 mm apart" in answer.reason


def moved(image, by):
    image = sitk.Image(image)
    image.SetOrigin(np.add(image.GetOrigin(), by).tolist())
    return image


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda ct, mask: (ct, mask * 0), "The mask is empty"),
        (lambda ct, mask: (ct, moved(mask, (0, 0, 500))), "lies beside the CT"),
        (lambda ct, mask: (ct, moved(mask, (0, 0, 90))), "lie inside the CT"),
        (lambda ct, mask: (sitk.Mask(ct, mask == 0, -1000), mask), "100 % of the mask lie in air"),
        (lambda ct, mask: (sitk.Cast(sitk.Abs(sitk.Cast(ct, sitk.sitkInt32)), sitk.sitkInt16), mask), "no CT"),
        (lambda ct, mask: (ct, sitk.Cast(mask, sitk.sitkFloat32) * 0.4), "between whole numbers"),
    ],
)
def test_a_pair_that_does_not_fit_is_refused_with_the_reason(pair, change, said):
    ct, mask, check = pair
    answer = check(*change(ct, mask))
    assert not answer.ok
    assert said in answer.reason


def test_a_label_map_of_vertebrae_and_a_mask_of_the_patient_are_refused(pair):
    ct, mask, check = pair
    values = np.zeros(sitk.GetArrayViewFromImage(mask).shape, np.uint8)
    for level in range(5):
        values[2 + 6 * level : 6 + 6 * level, 10:20, 6:16] = 20 + level
    answer = check(ct, of_array(values, mask), name="labels.nrrd")
    assert not answer.ok
    assert "look like vertebrae" in answer.reason
    large = sitk.Image(mask)
    for image in (ct, large):
        image.SetSpacing((8, 8, 8))
    answer = check(ct, of_array((values > 0).astype(np.uint8), large))
    assert not answer.ok
    assert "not of all vertebrae" in answer.reason


def test_files_that_are_missing_or_damaged_are_refused(pair, tmp_path):
    (tmp_path / "damaged.nrrd").write_bytes(b"NRRD0004\n")
    image = tmp_path / "p1_ct.nii.gz"
    missing, damaged = check_cases(
        [TuningCase.of("a", tmp_path / "no.nrrd", image), TuningCase.of("b", image, tmp_path / "damaged.nrrd")]
    )
    assert not missing.ok
    assert "does not exist" in missing.reason
    assert not damaged.ok
    assert "damaged" in damaged.reason
