"""The model and the sample that ship, as a user meets them first."""

from pathlib import Path

import pytest
import SimpleITK as sitk

from SpineFractureSegLib.engine import evaluate, load_model, segment_ct
from SpineFractureSegLib.engine.mask_reader import read_mask
from SpineFractureSegLib.engine.volume import read_ct

SAMPLE = Path(__file__).parents[2] / "SpineFractureSeg" / "Resources" / "SampleData" / "verse014_L3_simulated_wedge"


@pytest.fixture(scope="module")
def model():
    return load_model()


@pytest.fixture(scope="module")
def ct():
    return read_ct(f"{SAMPLE}_ct.nii.gz").image


@pytest.fixture(scope="module")
def result(ct, model):
    return segment_ct(ct, model, device="cpu")


def test_the_model_is_small_enough_to_ship_and_says_what_it_is(model):
    assert model.path.stat().st_size <= 12e6
    card = model.card
    assert "simulated" in card.description
    assert "not a medical device" in card.description
    assert card.label_meaning
    assert card.licence == "CC BY-SA 4.0"
    assert len(card.training_data) >= 8
    assert not any("verse014" in line or "sample001" in line for line in card.training_data)
    assert card.scores["validation"]["dice_pooled"] > 0


def test_one_finding_outlines_the_samples_fracture(result):
    reference = read_mask(f"{SAMPLE}_fracture.seg.nrrd")
    components = sitk.ConnectedComponent(result.mask, True)
    dices = [evaluate(components == label + 1, reference).dice for label in range(len(result.findings))]
    assert max(dices) > 0.85
    x, y, z = result.findings[0].centroid_ras_mm
    assert result.mask[result.mask.TransformPhysicalPointToIndex((-x, -y, z))] == 1


def test_a_flipped_and_permuted_copy_of_the_sample_is_segmented_alike(ct, model, result):
    copy = sitk.DICOMOrient(ct, "RSA")
    assert copy.GetSize() != ct.GetSize() or copy.GetDirection() != ct.GetDirection()
    assert evaluate(segment_ct(copy, model, device="cpu").mask, result.mask).dice >= 0.98


def test_what_lies_far_above_and_below_does_not_change_the_answer(ct, model, result):
    first, last = 18, ct.GetSize()[1] - 12  # mm along the spine; the cuts go through bodies
    assert ct.GetSpacing()[1] == pytest.approx(1.0)
    cropped = segment_ct(ct[:, first:last], model, device="cpu")
    assert len(cropped.findings) == len(result.findings)
    assert evaluate(cropped.mask, result.mask[:, first:last]).dice >= 0.95
