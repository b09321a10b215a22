import numpy as np
import pytest
from scipy import ndimage

from SpineFractureSegLib.engine.simulator.config import HELD_OUT, SimulationConfig
from SpineFractureSegLib.engine.simulator.in_place import fracture_in_place
from SpineFractureSegLib.engine.simulator.simulate import simulate_case

SMALL = SimulationConfig(shape=(144, 112, 64))


def body_height(bodies: np.ndarray, vertebra: int) -> np.ndarray:
    """Height in voxels of each column through the body."""
    return (bodies == vertebra).sum(axis=0)


def test_the_same_seed_gives_the_same_case_and_another_seed_another(made_spine):
    first, again, other = (simulate_case(made_spine, seed, SMALL) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.hu, again.hu)
    np.testing.assert_array_equal(first.bodies, again.bodies)
    assert first.truth == again.truth
    assert not np.array_equal(first.bodies, other.bodies)


def test_a_twin_is_the_same_case_without_the_fractures(made_spine):
    """Away from what the fractures moved, the two are the same voxel by voxel: same pose, texture and scan."""
    config = SimulationConfig(
        shape=SMALL.shape,
        fracture_count=(0.0, 1.0),
        types=("split",),
        type_weights=(1.0,),
        implants=0.0,
        cement=0.0,
        swelling=0.0,
        intact_deformed=0.0,
        physiological_wedge=0.0,
        mimics=0.0,
    )
    for seed in range(3):
        case, twin = (simulate_case(made_spine, seed, config, fractured) for fractured in (True, False))
        assert case.fractured or case.uncertain
        assert twin.fractured == ()
        far = ~ndimage.binary_dilation(case.fracture_mask | twin.fracture_mask, iterations=20)
        far &= ~ndimage.binary_dilation(case.uncertain_mask, iterations=20)
        assert (case.hu == twin.hu)[far].mean() > 0.98
        assert case.truth["scan"] == twin.truth["scan"]


@pytest.mark.parametrize("spine", ["made_spine", "label_spine"])
def test_cases_have_the_shape_and_hounsfield_units_of_a_ct(request, spine):
    case = simulate_case(request.getfixturevalue(spine), 1, SMALL)
    assert case.hu.shape == case.bodies.shape == SMALL.shape
    assert case.hu.min() >= -1024
    assert case.hu.max() <= 3071
    body = case.hu[case.bodies > 0].mean()
    assert body > case.hu[case.bodies == 0].mean() + 40


def test_truth_keeps_out_of_the_dead_zone(made_spine):
    for seed in range(8):
        case = simulate_case(made_spine, seed, SMALL)
        for vertebra, about in case.truth["vertebrae"].items():
            largest = max(about["height_loss"].values())
            if about["type"] == "intact":
                assert largest <= SMALL.dead_zone[0]
                assert int(vertebra) not in case.fractured
                assert about["genant"] == 0
            else:
                # a split or a distraction breaks a body without lowering it
                assert largest >= SMALL.dead_zone[1] or about["type"] in ("split", "chance")
                assert int(vertebra) in {*case.fractured, *case.uncertain}
                assert set(about["height_ratio"]) == {"anterior_posterior", "middle_posterior", "lowest_highest"}


def test_the_count_of_fractures_follows_the_config(made_spine):
    never = SimulationConfig(shape=SMALL.shape, fracture_count=(1.0,))
    twice = SimulationConfig(shape=SMALL.shape, fracture_count=(0.0, 0.0, 1.0))
    for seed in range(4):
        assert simulate_case(made_spine, seed, never).fractured == ()
        drawn = [v for v in simulate_case(made_spine, seed, twice).truth["vertebrae"].values() if v["type"] != "intact"]
        assert 1 <= len(drawn) <= 2


def test_the_fracture_lies_anywhere_in_the_volume(made_spine):
    centers = []
    for seed in range(8):
        mask = simulate_case(made_spine, seed, SMALL).fracture_mask
        if mask.any():
            centers.append(np.nonzero(mask)[0].mean())
    assert np.ptp(centers) > 0.4 * SMALL.shape[0]


def test_a_truly_fractured_vertebra_is_a_fracture_without_being_simulated(made_spine):
    real = type(made_spine)(**vars(made_spine) | {"genant": {21: 2}, "uncertain": (22,)})
    cases = [simulate_case(real, seed, SMALL) for seed in range(6)]
    assert any(21 in case.fractured for case in cases)
    assert not any(22 in case.fractured for case in cases)
    assert any(22 in case.uncertain for case in cases)


def test_in_place_only_the_fractured_vertebra_changes_and_what_is_above_comes_down(made_spine):
    case = fracture_in_place(made_spine, 21, "wedge", (0.35, 0.45), seed=0)
    before = np.where(made_spine.bodies, made_spine.vertebrae, 0)
    bottom = int(np.nonzero((made_spine.vertebrae == 21).any(axis=(1, 2)))[0].min())
    np.testing.assert_array_equal(case.hu[: bottom - 2], made_spine.hu[: bottom - 2])
    np.testing.assert_array_equal(case.bodies[: bottom - 2], before[: bottom - 2])
    assert case.fractured == (21,)
    middle_column = (slice(None), 50, 45)
    lost = (before[middle_column] == 21).sum() - (case.bodies[middle_column] == 21).sum()
    assert 1 <= lost <= 14
    front = body_height(case.bodies, 21)[36:42, 40:50].mean() / body_height(before, 21)[36:42, 40:50].mean()
    back = body_height(case.bodies, 21)[58:64, 40:50].mean() / body_height(before, 21)[58:64, 40:50].mean()
    assert front < back - 0.1
    levels = [np.nonzero((b == 19)[:, 36:42])[0].mean() for b in (before, case.bodies)]
    assert levels[1] < levels[0] - 3
    volume = [(b == 19).sum() for b in (before, case.bodies)]
    assert volume[1] == pytest.approx(volume[0], rel=0.05)


def test_a_vertebra_that_is_not_there_cannot_be_fractured(made_spine, label_spine):
    with pytest.raises(ValueError, match="no complete vertebra 8"):
        fracture_in_place(made_spine, 8, "wedge", (0.3, 0.4), seed=0)
    with pytest.raises(ValueError, match="has no CT"):
        fracture_in_place(label_spine, 21, "wedge", (0.3, 0.4), seed=0)


def test_a_config_that_draws_from_the_dead_zone_or_nothing_is_refused():
    with pytest.raises(ValueError, match="dead zone"):
        SimulationConfig(height_loss=(0.15, 0.6))
    with pytest.raises(ValueError, match="real_ct_weight must be more than 0"):
        SimulationConfig(real_ct_weight=0)
    assert SimulationConfig() != HELD_OUT
    assert not set(HELD_OUT.slice_thickness_mm) & set(SimulationConfig().slice_thickness_mm)
