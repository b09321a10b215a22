import itertools
import json

import numpy as np
import pytest
import SimpleITK as sitk

from SpineFractureSegLib.engine.data.centroids import read_centroids
from SpineFractureSegLib.engine.errors import UserError


def write(path, codes, *points):
    entries = [{"direction": list(codes)}, *({"label": v, "X": x, "Y": y, "Z": z} for v, x, y, z in points)]
    path.write_text(json.dumps(entries))
    return path


@pytest.fixture
def ct():
    """Stored along A, S, L, tilted a little, with three spacings."""
    image = sitk.Image((20, 30, 40), sitk.sitkInt16)
    axes = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    tilt = np.reshape(sitk.Euler3DTransform((0, 0, 0), 0.1, 0.05, -0.1).GetMatrix(), (3, 3))
    image.SetDirection((tilt @ axes).ravel())
    image.SetSpacing((1.0, 0.5, 2.0))
    image.SetOrigin((-20.0, 10.0, 5.0))
    return image


@pytest.mark.parametrize("codes", ["PIR", "LPS", "ASL", "RAS", "SLA", "IRP"])
@pytest.mark.parametrize("isotropic", [False, True])
def test_axis_codes_say_along_which_axis_and_from_which_end_voxels_are_counted(tmp_path, ct, codes, isotropic):
    """Against the CT reoriented by SimpleITK, whose voxel (x, y, z) must lie at the position that is returned."""
    turned = sitk.DICOMOrient(ct, codes)
    index = np.array([3.0, 5.0, 7.5])
    expected = turned.TransformContinuousIndexToPhysicalPoint(index.tolist())
    stored = index * turned.GetSpacing() if isotropic else index
    path = write(tmp_path / "ctd.json", codes, (20, *stored))
    (point,) = read_centroids(path, ct, isotropic).values()
    np.testing.assert_allclose(point, expected, atol=1e-9)


def test_points_that_are_no_numbers_are_left_out(tmp_path, ct):
    path = write(tmp_path / "ctd.json", "PIR", (20, 1, 2, 3), (21, float("nan"), 2, 3))
    assert "NaN" in path.read_text()
    assert list(read_centroids(path, ct)) == [20]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "no list of centroids"),
        ("[]", "no list of centroids"),
        ("not json", "no list of centroids"),
        ('[{"direction": ["P", "A", "R"]}]', "three different axes"),
        ('[{"direction": ["P", "I", "Q"]}]', "'Q'"),
        ('[{"direction": ["P", "I"]}]', "three different axes"),
    ],
)
def test_other_files_are_refused_in_one_sentence(tmp_path, ct, text, said):
    (tmp_path / "ctd.json").write_text(text)
    with pytest.raises(UserError, match=r"ctd\.json") as error:
        read_centroids(tmp_path / "ctd.json", ct)
    assert said in str(error.value)


def test_every_code_of_every_orientation_is_understood(tmp_path, ct):
    for letters in itertools.product("LR", "PA", "SI"):
        for codes in itertools.permutations(letters):
            path = write(tmp_path / "ctd.json", codes, (20, 0, 0, 0))
            corner = sitk.DICOMOrient(ct, "".join(codes)).GetOrigin()
            np.testing.assert_allclose(read_centroids(path, ct)[20], corner, atol=1e-9)
