"""The whole path with made networks: geometry, reports, warnings, memory of what was asked.

The made network calls fracture what is bright after smoothing, so that the right answer is known without training and
any slip of an axis, a flip or half a voxel shows.
"""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.ndimage import maximum_filter, minimum_filter
from torch import nn
from torch.nn import functional as F

from SpineFractureSegLib.engine.errors import Cancelled, UserError
from SpineFractureSegLib.engine.model_file import Model, ModelCard
from SpineFractureSegLib.engine.network import NetworkConfig
from SpineFractureSegLib.engine.orientation import to_ct_grid, to_working_grid
from SpineFractureSegLib.engine.pipeline import segment_array, segment_ct
from SpineFractureSegLib.engine.preprocessing import Preprocessing

REAL_CT = Path(__file__).resolve().parents[3] / "shared" / "data" / "ct"
ORIENTATIONS = ("RAS", "LPI", "RPI", "PIR", "SAL", "ASR")  # flips of one, two and three axes; permutations with flips


class BrightIsFracture(nn.Module):
    """Logit of every output: mean over channels and over a square of pixels, minus a threshold, times a slope."""

    def __init__(self, outputs: int, smoothing: int, threshold: float = 0.42, slope: float = 40.0) -> None:
        super().__init__()
        self.outputs, self.smoothing, self.threshold, self.slope = outputs, smoothing, threshold, slope

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = F.avg_pool2d(x.mean(1, keepdim=True), self.smoothing, 1, self.smoothing // 2, count_include_pad=False)
        return ((mean - self.threshold) * self.slope).expand(-1, self.outputs, -1, -1)


def made_model(
    outputs=("fracture", "vertebra"),
    smoothing=5,
    planes=("sagittal",),
    window=64,
    network=None,
    context_mm=(-2.0, 0.0, 2.0),
    **card,
):
    preprocessing = Preprocessing(
        planes=planes,
        plane_weights=tuple(range(1, len(planes) + 1)),
        context_mm=context_mm,
        window_size=(window, window),
    )
    return Model(
        NetworkConfig(width=4, input_channels=len(context_mm), outputs=outputs),
        preprocessing,
        ModelCard(name="made", **card),
        network or BrightIsFracture(len(outputs), smoothing),
    )


@pytest.fixture(scope="module")
def ct():
    """Fat and soft tissue in air, a slanted column of five bodies: no axis looks like another nor like its mirror."""
    size = np.array((112, 84, 76))  # z, y, x
    z, y, x = np.indices(size) * 1.25
    hu = np.full(size, -1000.0)
    hu[((y - 52) / 50) ** 2 + ((x - 44) / 45) ** 2 < 1] = -100
    hu[((y - 52) / 44) ** 2 + ((x - 44) / 42) ** 2 < 1] = 40
    for number in range(5):
        center = np.array((18 + 25 * number, 62 - 4 * number, 40 + 3 * number))
        half = np.array((8, 13, 17 + number))
        inside = (np.abs(np.stack((z, y, x), -1) - center) / half).max(-1) < 1
        hu[inside] = 750 if number != 3 else 250
    hu += np.random.default_rng(0).normal(0, 20, size)
    image = sitk.GetImageFromArray(hu.astype(np.int16))
    image.SetSpacing((1.25, 1.25, 1.25))
    image.SetOrigin((-31.3, 12.7, -140.2))
    return image


def same_grid(a, b):
    return (
        a.GetSize() == b.GetSize()
        and a.GetSpacing() == b.GetSpacing()
        and a.GetOrigin() == b.GetOrigin()
        and a.GetDirection() == b.GetDirection()
    )


def on_grid(mask, reference):
    soft = sitk.Resample(sitk.Cast(mask, sitk.sitkFloat32), reference, sitk.Transform(), sitk.sitkLinear, 0.0)
    return sitk.GetArrayFromImage(soft) >= 0.5


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def rotated(ct, degrees=(12.0, -17.0, 25.0)):
    """The CT resampled to a grid turned about all three axes, large enough to hold all of it."""
    turn = sitk.Euler3DTransform()
    turn.SetRotation(*np.deg2rad(degrees))
    axes = np.reshape(turn.GetMatrix(), (3, 3))
    spacing = min(*ct.GetSpacing(), 1.0)
    corners = np.array(
        [
            ct.TransformContinuousIndexToPhysicalPoint((np.array(corner) * (np.array(ct.GetSize()) - 1.0)).tolist())
            for corner in np.ndindex(2, 2, 2)
        ]
    )
    along = corners @ axes  # positions along the turned axes
    size = np.ceil(np.ptp(along, axis=0) / spacing).astype(int) + 1
    grid = sitk.Image(size.tolist(), sitk.sitkUInt8)
    grid.SetSpacing([spacing] * 3)
    grid.SetDirection(axes.ravel().tolist())
    grid.SetOrigin((axes @ along.min(axis=0)).tolist())
    return sitk.Resample(ct, grid, sitk.Transform(), sitk.sitkLinear, -1024.0, ct.GetPixelID())


def test_the_answer_is_the_networks_on_the_cts_exact_grid(ct):
    result = segment_ct(ct, made_model(smoothing=1, context_mm=(0.0,)), device="cpu")
    for image in (result.mask, result.probability, result.vertebrae):
        assert same_grid(image, ct)
    assert (result.mask.GetPixelID(), result.probability.GetPixelID()) == (sitk.sitkUInt8, sitk.sitkFloat32)
    hu = sitk.GetArrayFromImage(ct)
    clear = np.abs(hu - 338) > 100  # 0.42 of the window is 338 HU; voxels well to one side
    inside = maximum_filter(hu, 3) - minimum_filter(hu, 3) < 250
    mask = sitk.GetArrayFromImage(result.mask) > 0
    np.testing.assert_array_equal(mask[clear & inside], (hu > 338)[clear & inside])
    assert mask.any()


def test_everything_the_report_needs_is_in_the_result(ct):
    result = segment_ct(ct, made_model(), device="cpu", batch_size=3)
    assert result.device == "cpu"
    assert result.precision in ("float32", "bfloat16")
    assert result.batch_size == 3
    assert result.seconds > 0
    assert result.model.name == "made"
    assert result.warnings == []
    assert [finding.id for finding in result.findings] == [1, 2, 3, 4]  # four bright bodies
    assert result.region is not None


@pytest.fixture(scope="module")
def original(ct):
    return sitk.GetArrayFromImage(segment_ct(ct, made_model(), device="cpu").mask) > 0


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_flipped_or_permuted_copy_is_segmented_alike(ct, original, orientation):
    copy = sitk.DICOMOrient(ct, orientation)
    result = segment_ct(copy, made_model(), device="cpu")
    assert same_grid(result.mask, copy)
    assert dice(on_grid(result.mask, ct), original) >= 0.98


def test_an_oblique_copy_is_segmented_alike(ct, original):
    copy = rotated(ct)
    result = segment_ct(copy, made_model(), device="cpu")
    assert same_grid(result.mask, copy)
    assert dice(on_grid(result.mask, ct), original) >= 0.95


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_copy_with_5_mm_slices_is_segmented_alike(ct, original, axis):
    shrink = [1, 1, 1]
    shrink[axis] = 4
    copy = sitk.BinShrink(ct, shrink)
    result = segment_ct(copy, made_model(), device="cpu")
    assert same_grid(result.mask, copy)
    # both on the coarse grid: between its slices nothing can be known
    truth = sitk.GetImageFromArray(original.astype(np.uint8))
    truth.CopyInformation(ct)
    expected = on_grid(truth, copy)
    assert dice(sitk.GetArrayFromImage(result.mask) > 0, expected) >= 0.9


def test_a_copy_padded_with_air_is_segmented_alike(ct, original):
    copy = sitk.ConstantPad(ct, (11, 0, 23), (5, 31, 2), -1024)
    result = segment_ct(copy, made_model(), device="cpu")
    assert same_grid(result.mask, copy)
    assert dice(on_grid(result.mask, ct), original) >= 0.99


@pytest.mark.parametrize("copy", ["one axial slice", "one sagittal slice", "tiny", "one voxel wide"])
def test_a_piece_of_the_ct_is_segmented_as_the_whole(ct, copy):
    """Without smoothing, because what lies beside the piece is not known."""
    model = made_model(smoothing=1, context_mm=(0.0,))
    whole = sitk.GetArrayFromImage(segment_ct(ct, model, device="cpu").mask) > 0
    box = {
        "one axial slice": np.s_[14:15, :, :],
        "one sagittal slice": np.s_[:, :, 34:35],
        "tiny": np.s_[8:20, 44:58, 26:40],
        "one voxel wide": np.s_[10:18, 50:51, 32:33],
    }[copy]
    z, y, x = box
    piece = ct[x, y, z]
    result = segment_ct(piece, model, device="cpu")
    assert same_grid(result.mask, piece)
    assert whole[box].any()
    assert dice(sitk.GetArrayFromImage(result.mask) > 0, whole[box]) >= 0.95


@pytest.mark.parametrize("planes", [("axial",), ("coronal",), ("sagittal", "axial", "coronal")])
def test_other_planes_see_the_same_body_in_the_same_place(ct, original, planes):
    result = segment_ct(ct, made_model(planes=planes), device="cpu")
    assert dice(sitk.GetArrayFromImage(result.mask) > 0, original) >= 0.93


def test_a_plane_the_model_was_not_trained_on_is_refused(ct):
    with pytest.raises(UserError, match="the model knows sagittal"):
        segment_ct(ct, made_model(), planes=["axial"])


def test_threshold_and_smallest_volume_are_the_models_unless_given(ct):
    tall = segment_ct(ct, made_model(threshold=0.999), device="cpu")
    given = segment_ct(ct, made_model(threshold=0.5), device="cpu", threshold=0.999)
    usual = segment_ct(ct, made_model(threshold=0.5), device="cpu")
    assert tall.findings == given.findings
    assert sum(f.volume_mm3 for f in tall.findings) < sum(f.volume_mm3 for f in usual.findings)
    volumes = [finding.volume_mm3 for finding in usual.findings]
    kept = segment_ct(ct, made_model(), device="cpu", min_volume_mm3=volumes[1]).findings
    assert [finding.volume_mm3 for finding in kept] == volumes[:2]


@pytest.mark.parametrize("wrong", [{"threshold": 0.0}, {"threshold": 1.5}, {"min_volume_mm3": -1}, {"batch_size": 0}])
def test_impossible_settings_are_refused(ct, wrong):
    with pytest.raises(UserError):
        segment_ct(ct, made_model(), **wrong)


def test_dropping_everything_is_said(ct):
    result = segment_ct(ct, made_model(), device="cpu", min_volume_mm3=1e6)
    assert result.findings == []
    assert result.warnings == ["Everything found was smaller than 1e+06 mm3 and was dropped."]


@pytest.mark.parametrize("outputs", [("fracture", "vertebra"), ("fracture",)])
def test_where_no_spine_is_seen_the_result_is_empty_and_says_so(ct, outputs):
    dim = sitk.Clamp(ct, sitk.sitkInt16, -1024, 150)
    result = segment_ct(dim, made_model(outputs=outputs), device="cpu")
    assert same_grid(result.mask, dim)
    assert same_grid(result.probability, dim)
    assert not sitk.GetArrayFromImage(result.mask).any()
    assert result.findings == []
    # a model without vertebrae cannot tell
    assert any("No spine" in warning for warning in result.warnings) == ("vertebra" in outputs)
    assert (result.vertebrae is None) == ("vertebra" not in outputs)


def test_two_runs_give_the_same_bits_and_leave_the_ct_alone(ct):
    before = sitk.GetArrayFromImage(ct)
    first, second = (segment_ct(ct, made_model(), device="cpu") for _ in range(2))
    for name in ("mask", "probability", "vertebrae"):
        a, b = (sitk.GetArrayFromImage(getattr(result, name)) for result in (first, second))
        np.testing.assert_array_equal(a, b)
    assert first.findings == second.findings
    np.testing.assert_array_equal(sitk.GetArrayFromImage(ct), before)


def test_cancel_ends_the_run(ct):
    with pytest.raises(Cancelled):
        segment_ct(ct, made_model(), device="cpu", should_stop=lambda: True)


def test_progress_reports_stages_in_order(ct):
    stages = []
    model = made_model(planes=("sagittal", "axial"))
    segment_ct(ct, model, device="cpu", on_progress=lambda _done, _total, stage: stages.append(stage))
    assert list(dict.fromkeys(stages)) == ["spine region", "sagittal slices", "axial slices"]


def test_an_array_on_the_working_grid_gets_the_same_probabilities(ct):
    working = to_working_grid(ct, 1.0)
    volumes, predicted = segment_array(working.hu, made_model(), device="cpu")
    assert set(volumes) == {"fracture", "vertebra"}
    assert volumes["fracture"].shape == working.hu.shape
    result = segment_ct(ct, made_model(), device="cpu")
    assert result.region == predicted.region
    expected = sitk.GetArrayFromImage(to_ct_grid(volumes["fracture"], working, ct))
    np.testing.assert_allclose(sitk.GetArrayFromImage(result.probability), expected, atol=0.02)


class StripesOfBone(BrightIsFracture):
    """The vertebra channel is what is bright; of it the fracture channel sees every other stripe of four pixels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bright = super().forward(x)
        stripes = (torch.arange(x.shape[-2]) // 4 % 2 == 0).to(bright)[:, None]
        return torch.cat([bright[:, :1] - 20 * (1 - stripes), bright[:, 1:]], dim=1)


def test_bodies_are_numbered_from_the_top_on_the_cts_grid(ct):
    result = segment_ct(ct, made_model(), device="cpu")
    assert same_grid(result.labels, ct)
    assert result.labels.GetPixelID() == sitk.sitkUInt8
    numbers = sitk.GetArrayFromImage(result.labels)
    assert [vertebra.number for vertebra in result.spine] == [1, 2, 3, 4]
    assert set(np.unique(numbers)) == {0, 1, 2, 3, 4}
    heights = [vertebra.centroid_ras_mm[2] for vertebra in result.spine]
    assert heights == sorted(heights, reverse=True)
    for vertebra in result.spine:
        right, front, up = vertebra.centroid_ras_mm
        assert result.labels[result.labels.TransformPhysicalPointToIndex((-right, -front, up))] == vertebra.number
        assert vertebra.flagged
        assert vertebra.level is None
        assert vertebra.middle_mm == pytest.approx(16, abs=3)


def test_a_turned_copy_has_the_same_vertebrae(ct):
    original = segment_ct(ct, made_model(), device="cpu").spine
    copy = segment_ct(sitk.DICOMOrient(ct, "PIR"), made_model(), device="cpu").spine
    for one, other in zip(original, copy, strict=True):
        assert one.centroid_ras_mm == pytest.approx(other.centroid_ras_mm, abs=0.2)
        assert one.middle_mm == pytest.approx(other.middle_mm, abs=0.3)


def test_heights_are_measured_from_the_surface_that_the_card_names(ct):
    outer, inner = (
        segment_ct(ct, made_model(network=StripesOfBone(2, smoothing=5), body_surface=surface), device="cpu").spine
        for surface in (0.3, 0.7)
    )
    assert len(outer) == len(inner) == 4
    for large, small in zip(outer, inner, strict=True):
        assert large.middle_mm > small.middle_mm + 0.3


def test_only_a_model_that_says_so_answers_by_whole_bodies(ct):
    answers = {}
    for by_body in (False, True):
        model = made_model(network=StripesOfBone(2, smoothing=5), threshold=0.3, by_body=by_body)
        result = segment_ct(ct, model, device="cpu")
        inside = sitk.GetArrayFromImage(result.labels) > 0
        answers[by_body] = (sitk.GetArrayFromImage(result.mask) > 0)[inside].mean()
    assert answers[False] < 0.75
    assert answers[True] > 0.97


def test_the_probability_counts_in_the_grade_only_of_whole_bodies(ct, monkeypatch):
    monkeypatch.setattr("SpineFractureSegLib.engine.vertebrae.heights._WITNESS", 1.0)  # outweighs any height
    by_heights, with_probability = (
        [v.genant for v in segment_ct(ct, made_model(by_body=by_body), device="cpu").spine] for by_body in (False, True)
    )
    assert by_heights == [0, 0, 0, 0]
    assert with_probability == [3, 3, 3, 3]


def test_a_model_without_vertebrae_has_no_spine(ct):
    result = segment_ct(ct, made_model(outputs=("fracture",)), device="cpu")
    assert result.spine == []
    assert same_grid(result.labels, ct)
    assert not sitk.GetArrayFromImage(result.labels).any()


@pytest.mark.parametrize("name", ["s0521_cervical", "tptbox_L3", "verse014_lumbar", "totalseg_example_lumbar_3mm"])
def test_copies_of_real_ct_are_segmented_alike(name):
    path = REAL_CT / f"{name}_ct.nii.gz"
    if not path.is_file():
        pytest.skip(f"needs the real CT {path.name}, which is not part of the repository")
    ct = sitk.ReadImage(str(path))
    around_mm = 90  # enough for a few vertebrae, and quick
    keep = [round(around_mm / spacing) for spacing in ct.GetSpacing()]
    x, y, z = (slice(max(0, (n - k) // 2), (n + k) // 2) for n, k in zip(ct.GetSize(), keep, strict=True))
    ct = ct[x, y, z]
    model = made_model(
        network=BrightIsFracture(2, smoothing=9, threshold=0.3),  # whole vertebrae in real bone
        context_mm=(-4.0, -2.0, 0.0, 2.0, 4.0),
        window=128,
        min_volume_mm3=200.0,
    )
    original = sitk.GetArrayFromImage(segment_ct(ct, model, device="cpu").mask) > 0
    assert original.any()
    inner = np.s_[3:-3, 3:-3, 3:-3]  # the outermost voxels of a padded or turned copy are blended with the air outside
    for copy, where, least in (
        (sitk.DICOMOrient(ct, "RAS"), np.s_[:], 0.98),
        (sitk.DICOMOrient(ct, "SAL"), np.s_[:], 0.98),
        (sitk.ConstantPad(ct, (9, 0, 4), (0, 12, 7), -1024), inner, 0.98),
        (rotated(ct), inner, 0.95),
    ):
        mask = segment_ct(copy, model, device="cpu").mask
        assert same_grid(mask, copy)
        assert dice(on_grid(mask, ct)[where], original[where]) >= least
