from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from SpineFractureSegLib.engine.case import MAP_UNKNOWN, Case, save_case
from SpineFractureSegLib.engine.data.scan import FractureMask, Scan
from SpineFractureSegLib.engine.finetuning import Comparison, HeldOutCase, TuningCase, comparison
from SpineFractureSegLib.engine.finetuning.comparison import Agreement, compare, simulated_dice
from SpineFractureSegLib.engine.metrics import evaluate
from SpineFractureSegLib.engine.progress import never_stop, no_progress


def compared(before, after):
    """A comparison of (Dice, false findings) before and after."""
    scores = [Agreement(dice, dice / (2 - dice), false) for dice, false in (before, after)]
    return Comparison((HeldOutCase("a", *scores, Path("b"), Path("a")),), None, None)


@pytest.mark.parametrize(
    ("before", "after", "worse"),
    [
        ((0.5, 1), (0.6, 1), False),
        ((0.5, 1), (0.5, 1), False),
        ((0.5, 1), (0.499, 1), False),  # some voxels at a border
        ((0.5, 1), (0.499, 2), True),
        ((0.5, 1), (0.49, 0), True),
        ((0.5, 1), (0.51, 2), True),  # a hundredth does not make up for a false finding
        ((0.5, 1), (0.6, 2), False),
        ((0.0, 0), (0.0, 0), False),
    ],
)
def test_worse_is_a_lower_dice_or_more_false_findings_for_hardly_any(before, after, worse):
    assert compared(before, after).worse is worse
    assert compared(before, after).to_json()["worse"] is worse


def test_cases_count_alike_and_false_findings_add_up():
    cases = [
        HeldOutCase(str(n), Agreement(0.2 * n, 0.1 * n, n), Agreement(0.5, 0.4, 0), Path("b"), Path("a"))
        for n in (1, 2)
    ]
    summary = Comparison(tuple(cases), 0.5, 0.4)
    assert summary.before.dice == pytest.approx(0.3)
    assert summary.before.iou == pytest.approx(0.15)
    assert summary.before.false_findings == 3
    assert summary.to_json()["simulated"] == {"dice_before": 0.5, "dice_after": 0.4}


class Answer:
    """Stands for ``segment_ct``: the same mask for every CT, shifted by as many columns as the model says."""

    def __init__(self, drawn):
        self.drawn = drawn

    def __call__(self, ct, model, **_):
        array = np.roll(sitk.GetArrayFromImage(self.drawn), model, axis=2)
        self.mask = sitk.GetImageFromArray(array)
        self.mask.CopyInformation(ct)
        return self


def test_masks_are_kept_and_scored_as_evaluate_does(cases, site, tmp_path, monkeypatch):
    drawn = sitk.ReadImage(str(site / "p3_fracture.nii.gz"))
    monkeypatch.setattr(comparison, "segment_ct", Answer(drawn))
    told = []
    result = compare(3, 0, cases[2:], [], tmp_path / "masks", "cpu", lambda *step: told.append(step), never_stop)
    (case,) = result.cases
    assert case.after == Agreement(1.0, 1.0, 0)
    kept = sitk.ReadImage(str(case.mask_before))
    assert case.before.dice == pytest.approx(evaluate(kept > 0, drawn).dice)
    assert 0 < case.before.dice < 1
    assert case.mask_before.parent == tmp_path / "masks"
    assert told[0][:2] == (0, 3)
    assert told[-1][:2] == (3, 3)


def test_what_nobody_judged_counts_nowhere(site, tmp_path, monkeypatch):
    drawn = sitk.ReadImage(str(site / "p3_fracture.nii.gz"))
    # the prediction covers the fracture and a second place, of which the mask says that nothing is known
    answer = sitk.GetArrayFromImage(drawn)
    unknown = np.roll(answer, 10, axis=1)
    sitk.WriteImage(of_array(np.where(unknown, 2, answer), drawn), str(tmp_path / "mask.nrrd"))
    monkeypatch.setattr(comparison, "segment_ct", Answer(of_array(answer | unknown, drawn)))
    mask = FractureMask(tmp_path / "mask.nrrd", values=(1,), unknown=(2,))
    case = TuningCase(Scan("p", "c", site / "p3_ct.nii.gz", fracture=mask))
    result = compare(0, 0, [case], [], tmp_path, "cpu", no_progress, never_stop)
    assert result.after == Agreement(1.0, 1.0, 0)


def test_a_part_that_unknown_voxels_cut_into_slivers_is_one_finding(site, tmp_path, monkeypatch):
    drawn = sitk.ReadImage(str(site / "p3_fracture.nii.gz"))
    fracture = sitk.GetArrayFromImage(drawn) > 0
    # what was found reaches one voxel beyond what is unknown around the fracture; elsewhere is a second part
    unknown = ndimage.binary_dilation(fracture, np.ones((3, 3, 3)), iterations=2)
    found = ndimage.binary_dilation(unknown)
    found[1, 1, 1] = True
    sitk.WriteImage(of_array(np.where(fracture, 1, np.where(unknown, 2, 0)), drawn), str(tmp_path / "mask.nrrd"))
    monkeypatch.setattr(comparison, "segment_ct", Answer(of_array(found, drawn)))
    case = TuningCase(Scan("p", "c", site / "p3_ct.nii.gz", fracture=FractureMask(tmp_path / "mask.nrrd", (1,), (2,))))
    assert compare(0, 0, [case], [], tmp_path, "cpu", no_progress, never_stop).after.false_findings == 1


def of_array(array, like):
    image = sitk.GetImageFromArray(array.astype(np.uint8))
    image.CopyInformation(like)
    return image


def test_simulated_cases_are_pooled_without_uncertain_voxels(parent, tmp_path, monkeypatch):
    shape = (8, 8, 8)
    truth, unknown = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    truth[:4, 4:] = 1
    unknown[4:] = MAP_UNKNOWN
    paths = []
    for number, fracture_map in enumerate((np.maximum(truth, unknown), unknown)):
        case = Case(f"c{number}", "p", np.zeros(shape, np.int16), np.zeros(shape, np.uint8), fracture_map=fracture_map)
        paths.append(tmp_path / f"{number}.npz")
        save_case(paths[-1], case)
    everywhere = {"fracture": np.ones(shape, np.float32)}
    monkeypatch.setattr(comparison, "segment_array", lambda *_, **__: (everywhere, None))
    # 128 voxels are fracture; of 2 x 256 known ones all are called so
    assert simulated_dice(paths, parent, "cpu", never_stop) == pytest.approx(2 * 128 / (128 + 512))
    assert simulated_dice([], parent, "cpu", never_stop) is None
