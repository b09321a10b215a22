"""Contrast medium brightens vessels to their edge, and leaves bone, fat and whoever has a synthesized CT alone."""

from dataclasses import replace

import numpy as np
import pytest

from SpineFractureSegLib.engine.simulator.config import SimulationConfig
from SpineFractureSegLib.engine.simulator.contrast_medium import add_contrast_medium
from SpineFractureSegLib.engine.simulator.simulate import simulate_case

FAT_HU, BLOOD_HU, MUSCLE_HU = -90.0, 45.0, 55.0


@pytest.fixture
def abdomen(made_spine):
    """HU, and bool masks of what is in them: bone, an aorta in front, muscle beside and behind the spine, fat."""
    _, y, x = np.ogrid[:180, :120, :90]
    bone = made_spine.vertebrae > 0
    masks = {
        "bone": bone,
        "aorta": np.broadcast_to((y - 20) ** 2 + (x - 55) ** 2 < 9**2, bone.shape) & ~bone,
        "muscle": np.broadcast_to((y > 40) & (np.abs(x - 45) > 28), bone.shape) & ~bone,
    }
    hu = np.full(bone.shape, FAT_HU, np.float32)
    for name, value in (("muscle", MUSCLE_HU), ("aorta", BLOOD_HU), ("bone", 300.0)):
        hu[masks[name]] = value
    masks["fat"] = hu == FAT_HU
    return hu, masks


@pytest.mark.parametrize("seed", range(3))
def test_a_vessel_is_bright_to_its_edge_and_bone_and_fat_stay(abdomen, made_spine, seed):
    before, masks = abdomen
    after = before.copy()
    add_contrast_medium(after, made_spine.bodies, np.random.default_rng(seed))
    gain = after - before
    assert gain[masks["aorta"]].mean() > 35
    assert (gain[masks["aorta"]] > 10).mean() > 0.95
    assert gain[masks["aorta"]].mean() > gain[masks["muscle"]].mean() + 10
    assert 0 <= gain[masks["bone"] & made_spine.bodies].mean() < 25
    assert gain[masks["fat"]].mean() < 0.1 * gain[masks["aorta"]].mean()
    assert gain.min() >= 0


def test_the_configured_share_of_real_cts_gets_some(made_spine, label_spine):
    without = SimulationConfig(as_scanned=1.0)
    always = replace(without, contrast_medium=1.0)
    plain, enhanced = simulate_case(made_spine, 3, without), simulate_case(made_spine, 3, always)
    assert not plain.truth["scan"]["added_contrast_medium"]
    assert enhanced.truth["scan"]["added_contrast_medium"]
    assert (enhanced.hu > plain.hu).mean() > 0.1
    np.testing.assert_array_equal(enhanced.bodies, plain.bodies)
    assert not simulate_case(label_spine, 3, always).truth["scan"]["added_contrast_medium"]
    drawn = [
        simulate_case(made_spine, seed, replace(without, contrast_medium=0.5, shape=(64, 64, 48))).truth["scan"]
        for seed in range(12)
    ]
    assert 2 <= sum(scan["added_contrast_medium"] for scan in drawn) <= 10
