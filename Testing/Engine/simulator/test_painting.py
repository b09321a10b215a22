"""What is drawn into bodies and beside them, and the sacrum."""

import numpy as np
import pytest

from SpineFractureSegLib.engine.simulator.beside_body import add_osteophytes, add_swelling
from SpineFractureSegLib.engine.simulator.body_coordinates import body_coordinates
from SpineFractureSegLib.engine.simulator.config import SimulationConfig
from SpineFractureSegLib.engine.simulator.deformation import Gap, Origin
from SpineFractureSegLib.engine.simulator.fracture_lines import fill_gaps, fracture_hu
from SpineFractureSegLib.engine.simulator.implants import METAL_HU, add_screws, add_streaks, cement_hu
from SpineFractureSegLib.engine.simulator.mimics import MIMICS, degenerate_hu
from SpineFractureSegLib.engine.simulator.sacrum import LUMBARIZED, SACRALIZED, SACRUM, draw_transition, with_sacrum
from SpineFractureSegLib.engine.simulator.stretched_texture import renew_grain
from SpineFractureSegLib.engine.simulator.vertebra_frame import frames_of


@pytest.fixture(scope="module")
def scene(made_spine):
    """Image, body ids, where voxels come from, and L3's coordinates: nothing deformed."""
    points = np.indices(made_spine.hu.shape, dtype=np.float32).reshape(3, -1)
    origin = Origin(points, np.ones(points.shape[1], np.float32), {})
    body_ids = np.where(made_spine.bodies, made_spine.vertebrae, 0).astype(np.uint8)
    frames = frames_of(made_spine)
    body = body_coordinates(frames[22], np.flatnonzero(body_ids == 22), points, origin.compression)
    return made_spine.hu.astype(np.float32), body_ids, origin, frames, body


def test_coordinates_run_from_endplate_to_endplate(scene):
    *_, body = scene
    assert body.share.min() == pytest.approx(0, abs=0.08)
    assert body.share.max() == pytest.approx(1, abs=0.08)
    assert body.depth.max() == pytest.approx(15, abs=2)


@pytest.mark.parametrize("kind", MIMICS)
def test_every_mimic_changes_its_body_and_stays_in_the_range_of_ct(scene, kind):
    hu, _, _, _, body = scene
    before = hu.ravel()[body.voxels]
    after = MIMICS[kind](before, body, np.random.default_rng(2))
    assert after.shape == before.shape
    assert np.abs(after - before).max() > 5
    assert -300 < after.min() <= after.max() < 2500


def test_mimics_and_fractures_are_drawn_the_same_from_the_same_seed(scene):
    hu, _, _, _, body = scene
    before = hu.ravel()[body.voxels]
    for draw in (
        lambda rng: degenerate_hu(before, body, rng),
        lambda rng: fracture_hu(before, body, "acute", SimulationConfig(), rng),
        lambda rng: fracture_hu(before, body, "healed", SimulationConfig(), rng),
    ):
        np.testing.assert_array_equal(draw(np.random.default_rng(5)), draw(np.random.default_rng(5)))


def test_stretched_discs_lose_their_streaks_and_keep_their_strength():
    rng = np.random.default_rng(0)
    streaks = np.broadcast_to(rng.normal(80, 20, (1, 30, 30)), (40, 30, 30)).astype(np.float32)
    hu, compression = streaks.copy(), np.ones(streaks.shape, np.float32)
    compression[10:30] = 0.4
    renew_grain(hu, compression.ravel(), 1.0, np.random.default_rng(1))
    np.testing.assert_array_equal(hu[:10], streaks[:10])
    renewed = hu[12:28]
    assert renewed.mean() == pytest.approx(80, abs=5)
    assert 10 < renewed.std() < 30
    assert np.abs(np.diff(renewed, axis=0)).mean() > 3  # streaks would not change along z


def test_gaps_are_filled_in_bone_only(scene):
    hu, body_ids, *_ = scene
    painted = hu.copy()
    column = np.ravel_multi_index((np.full(60, 60), np.arange(20, 80), np.full(60, 45)), hu.shape)
    fill_gaps(painted, body_ids, 22, [Gap(column, np.ones(60), -500.0)], np.random.default_rng(0))
    changed = painted.ravel()[column] < -300
    assert changed.any()
    assert not changed[hu.ravel()[column] < 100].any()


def test_osteophytes_grow_outwards_and_belong_to_the_body(scene):
    hu, body_ids, origin, frames, _ = scene
    grown, ids = hu.copy(), body_ids.copy()
    for seed in range(4):
        add_osteophytes(grown, ids, frames[22], origin, np.random.default_rng(seed))
    new = (ids == 22) & (body_ids == 0)
    assert 20 < new.sum() < 8000
    assert grown[new].min() > 150
    np.testing.assert_array_equal(ids[body_ids > 0], body_ids[body_ids > 0])


def test_blood_replaces_fat_beside_the_body_but_no_bone(scene):
    hu, body_ids, origin, frames, _ = scene
    fat = np.where(body_ids > 0, hu, -100).astype(np.float32)
    swollen = fat.copy()
    add_swelling(swollen, body_ids, frames[22], origin, np.random.default_rng(0))
    assert (swollen > 0)[body_ids == 0].sum() > 500
    np.testing.assert_array_equal(swollen[body_ids > 0], fat[body_ids > 0])


def test_cement_and_metal_are_dense_and_streaks_fade(scene):
    hu, _, origin, frames, body = scene
    assert cement_hu(hu.ravel()[body.voxels], body, np.random.default_rng(0)).max() > 700
    metal_hu = hu.copy()
    metal = add_screws(metal_hu, frames, [21, 22], origin.points, np.random.default_rng(0))
    assert (metal_hu.ravel()[metal] == METAL_HU).all()
    assert 1000 < metal.size < 30000
    streaked = metal_hu.copy()
    add_streaks(streaked, metal, 300.0, np.random.default_rng(0))
    change = np.abs(streaked - metal_hu)
    with_metal = np.unravel_index(metal, hu.shape)[0]
    assert change[np.setdiff1d(np.arange(len(hu)), with_metal)].max() == 0
    z = with_metal[0]
    assert change[z, 55:75, 30:60].mean() > 2 * change[z, :15].mean()


def test_a_label_map_that_ends_at_l5_gets_a_sacrum(label_spine):
    shifted = np.where(label_spine.vertebrae > 0, label_spine.vertebrae + 1, 0).astype(np.uint8)  # L1 to L5
    spine = type(label_spine)(**vars(label_spine) | {"vertebrae": shifted})
    whole = with_sacrum(spine, np.random.default_rng(0))
    first = whole.bodies & (whole.vertebrae == SACRUM)
    assert 12_000 < first.sum() < 45_000
    assert np.nonzero(first)[0].mean() < np.nonzero(whole.vertebrae == 24)[0].mean() - 15
    assert (whole.vertebrae == SACRUM).sum() > 1.5 * first.sum()
    assert (whole.vertebrae == 24).sum() == (shifted == 24).sum()
    assert set(frames_of(whole)) == {20, 21, 22, 23, 24}
    assert with_sacrum(whole, np.random.default_rng(1)) is whole
    assert with_sacrum(label_spine, np.random.default_rng(0)) is label_spine  # ends at L4


def test_the_library_s_sacrum_has_a_first_body():
    from SpineFractureSegLib.engine.simulator.shapes import load_spine, shape_library

    for name in ("totalseg_example", "acrinflt_lumbar"):
        spine = with_sacrum(load_spine(shape_library() / f"{name}.npz"), np.random.default_rng(0))
        first = spine.bodies & (spine.vertebrae == SACRUM)
        assert 12_000 < first.sum() < 40_000


def test_a_transitional_sacrum_has_a_disc_below_its_first_body_or_grows_onto_the_last_lumbar_vertebra(label_spine):
    shifted = np.where(label_spine.vertebrae > 0, label_spine.vertebrae + 1, 0).astype(np.uint8)  # L1 to L5
    spine = type(label_spine)(**vars(label_spine) | {"vertebrae": shifted})
    plain, lumbarized, sacralized = (
        with_sacrum(spine, np.random.default_rng(3), kind) for kind in ("none", LUMBARIZED, SACRALIZED)
    )

    def gap_mm(whole) -> float:
        """From L5's body down to S1's, in the middle."""
        last, first = ((whole.vertebrae == i) & whole.bodies for i in (24, SACRUM))
        return float(np.nonzero(last)[0].min() - np.nonzero(first)[0].max())

    assert gap_mm(sacralized) < gap_mm(plain) - 2
    size = [(whole.vertebrae == SACRUM).sum() for whole in (plain, lumbarized)]
    assert size[1] < 0.95 * size[0]
    for whole in (plain, lumbarized, sacralized):
        assert set(whole.ids) == {20, 21, 22, 23, 24, SACRUM}
    assert (sacralized.vertebrae == 24).sum() >= (plain.vertebrae == 24).sum()


def test_transitions_are_as_frequent_as_asked():
    rng = np.random.default_rng(0)
    drawn = [draw_transition(rng, 0.5) for _ in range(400)]
    assert 0.4 < np.mean([kind != "none" for kind in drawn]) < 0.6
    assert {draw_transition(rng, 0.0) for _ in range(20)} == {"none"}
