"""Parts that break alone, on a made spine with processes and on one with a dens."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from SpineFractureSegLib.engine.case import MAP_FRACTURE, MAP_UNKNOWN
from SpineFractureSegLib.engine.simulator.config import SimulationConfig
from SpineFractureSegLib.engine.simulator.fragment import Fragment, weight_round
from SpineFractureSegLib.engine.simulator.in_place import fracture_in_place
from SpineFractureSegLib.engine.simulator.opening import draw_waves
from SpineFractureSegLib.engine.simulator.part_fractures import LEVELS, PART_KINDS, draw_part_fracture
from SpineFractureSegLib.engine.simulator.sacrum import SACRUM, first_sacral_frame, with_sacrum
from SpineFractureSegLib.engine.simulator.shapes import Spine
from SpineFractureSegLib.engine.simulator.simulate import lay_out, simulate_case
from SpineFractureSegLib.engine.simulator.truth import drawn_map
from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame, frames_of
from SpineFractureSegLib.engine.simulator.vertebra_parts import spinous_process, transverse_process

CONFIG = SimulationConfig(
    shape=(144, 112, 80), fracture_count=(0.0, 1.0), part_fractures=1.0, off_centre_mm=(5.0, 4.0, 2.0), mimics=0.0
)


@pytest.fixture(scope="module")
def lumbar_spine(made_spine) -> Spine:
    """The made spine as L1 to L5, with spinous and transverse processes."""
    z, y, x = np.ogrid[:180, :120, :90]
    vertebrae = np.where(made_spine.vertebrae > 0, made_spine.vertebrae + 1, 0).astype(np.uint8)
    for level, vertebra in enumerate((24, 23, 22, 21, 20)):
        middle = np.abs(z - (24 + 32 * level)) < 6
        spinous = (np.abs(x - 45) < 4) & (y > 76) & (y < 104)
        transverse = (np.abs(y - 70) < 4) & (np.abs(x - 45) > 14) & (np.abs(x - 45) < 38)
        vertebrae[middle & (spinous | transverse)] = vertebra
    hu = np.where(vertebrae > 0, 250, 40).astype(np.int16)
    return replace(made_spine, name="lumbar", vertebrae=vertebrae, hu=hu)


@pytest.fixture(scope="module")
def cervical_spine() -> Spine:
    """C2 with a dens 10 mm wide and 16 mm high, C3 to C6 below."""
    z, y, x = np.ogrid[:140, :100, :90]
    vertebrae = np.zeros((140, 100, 90), np.uint8)
    body = (np.abs(y - 40) < 9) & (np.abs(x - 45) < 13)
    for level, vertebra in enumerate((6, 5, 4, 3, 2)):
        low = 8 + 21 * level
        vertebrae[(z >= low) & (z < low + 16) & body] = vertebra
    bodies = vertebrae > 0
    dens = (z >= 108) & (z < 124) & (np.hypot(y - 40, x - 45) < 5)
    vertebrae[dens], bodies = 2, bodies | dens
    arch = (np.abs(y - 66) < 3) & (np.abs(x - 45) < 12) & (z % 21 > 10)
    vertebrae = np.where(arch & (vertebrae == 0) & (z < 110), 6 - (z - 8) // 21, vertebrae).astype(np.uint8)
    hu = np.where(vertebrae > 0, 300, 40).astype(np.int16)
    return Spine("cervical", "patient", "train", "made", "none", vertebrae, bodies, hu)


@pytest.fixture(scope="module")
def sacral_spine(lumbar_spine) -> Spine:
    return with_sacrum(replace(lumbar_spine, hu=None), np.random.default_rng(0))


def spine_of(request, kind: str) -> tuple[Spine, int]:
    name = {"odontoid": "cervical_spine", "sacral_wing": "sacral_spine", "sacral_body": "sacral_spine"}
    return request.getfixturevalue(name.get(kind, "lumbar_spine")), {"odontoid": 2}.get(
        kind, SACRUM if "sacral" in kind else 22
    )


def all_frames(spine: Spine) -> dict[int, VertebraFrame]:
    first = first_sacral_frame(spine)
    return frames_of(spine) | ({} if first is None else {SACRUM: first})


def grid(shape: tuple[int, ...]) -> np.ndarray:
    return np.indices(shape, dtype=np.float32).reshape(3, -1)


def block_fragment(slide=(0.0, 0.0, 0.0), lean=(0.0, 0.0, 0.0)) -> Fragment:
    """All of a 20 mm cube above z = 20 moves up by 3 mm."""
    mask = np.zeros((20, 20, 20), bool)
    mask[10:] = True
    waves = draw_waves(np.random.default_rng(0), 0.0)
    weight = weight_round(mask, (10, 20, 20), 8.0)
    axes = [np.array(vector, float) for vector in ((20.0, 30, 30), (1, 0, 0), slide, lean)]
    return Fragment(axes[0], axes[1], weight, 3.0, axes[2], axes[3], waves, 40.0)


def test_a_fragment_moves_as_one_piece_and_what_is_on_the_other_side_stays():
    fragment = block_fragment(slide=(0, 2.0, 0))
    points = grid((50, 60, 60))
    moved, _ = fragment.backward(points)
    moved = moved - points
    inside = np.all([(points[1] > 22), (points[1] < 38), (points[2] > 22), (points[2] < 38)], axis=0)
    of_fragment = inside & (points[0] > 25) & (points[0] < 31)
    np.testing.assert_allclose(moved[:, of_fragment].T, np.broadcast_to((-3, -2, 0), (of_fragment.sum(), 3)), atol=1e-3)
    assert not moved[:, points[0] <= 20].any()
    far = np.abs(points - 30).max(axis=0) > 25
    assert not moved[:, far].any()


def test_the_gap_beside_a_fragment_is_as_wide_as_it_moved():
    points = grid((50, 60, 60))
    voxels, share = block_fragment().opened(points)
    opened = np.zeros(points.shape[1])
    opened[voxels] = share
    column = opened.reshape(50, 60, 60)[:, 30, 30]
    assert column.sum() == pytest.approx(3, abs=0.6)
    assert np.flatnonzero(column).min() >= 20
    assert np.flatnonzero(column).max() <= 24


def test_a_fragment_s_map_never_folds_along_its_normal():
    fragment = block_fragment(slide=(0, 3.0, 0), lean=(0, 0.2, 0))
    heights = np.arange(5, 48, 0.1, dtype=np.float32)
    for row in (30.0, 42.0, 46.0):
        points = np.stack([heights, np.full_like(heights, row), np.full_like(heights, 30.0)])
        assert np.diff(fragment.backward(points)[0][0]).min() > -1e-4


def test_crumbs_of_a_label_lengthen_no_process(lumbar_spine):
    z, y, x = np.ogrid[:180, :120, :90]
    level = np.abs(z - 88) < 6  # of 22
    across_the_canal = level & (y > 66) & (y < 70) & (np.abs(x - 45) < 3)
    facet = (np.abs(z - 106) < 4) & (np.abs(y - 78) < 4) & (np.abs(x - 45) > 22) & (np.abs(x - 45) < 34)
    crumbs = np.where((across_the_canal | facet) & (lumbar_spine.vertebrae == 0), 22, lumbar_spine.vertebrae)
    with_crumbs = replace(lumbar_spine, vertebrae=crumbs.astype(np.uint8))
    assert np.count_nonzero(with_crumbs.vertebrae != lumbar_spine.vertebrae) > 500
    frame = frames_of(lumbar_spine)[22]
    for find in (spinous_process, partial(transverse_process, side=-1), partial(transverse_process, side=1)):
        clean, found = find(lumbar_spine, frame), find(with_crumbs, frame)
        assert found.length_mm == pytest.approx(clean.length_mm, abs=0.5)
        np.testing.assert_allclose(found.axis, clean.axis, atol=0.02)
        assert np.count_nonzero(found.mask) == np.count_nonzero(clean.mask)


@pytest.mark.parametrize("kind", PART_KINDS)
def test_what_is_labelled_is_bone_of_the_vertebra_and_its_body_stays_intact(request, kind):
    spine, vertebra = spine_of(request, kind)
    for seed in range(3):
        fracture = draw_part_fracture(np.random.default_rng(seed), spine, all_frames(spine), vertebra, kind, CONFIG)
        assert fracture.kind == kind
        drawn = drawn_map({vertebra: fracture}, grid(spine.vertebrae.shape), spine.vertebrae.shape)
        if kind == "sacral_body":
            assert fracture.of_body
            assert drawn is None
            continue
        assert not fracture.of_body
        labelled = drawn == MAP_FRACTURE
        assert (spine.vertebrae[labelled] == vertebra).all()
        assert spine.bodies[labelled].all() if kind == "odontoid" else not spine.bodies[labelled].any()


def test_an_odontoid_fracture_labels_the_dens_to_its_tip_and_little_of_the_body(cervical_spine):
    dens = np.zeros(cervical_spine.vertebrae.shape, bool)
    dens[108:] = cervical_spine.vertebrae[108:] == 2
    for seed in range(6):
        frames = frames_of(cervical_spine)
        fracture = draw_part_fracture(np.random.default_rng(seed), cervical_spine, frames, 2, "odontoid", CONFIG)
        labelled = drawn_map({2: fracture}, grid(dens.shape), dens.shape) == MAP_FRACTURE
        assert labelled[119:][dens[119:]].all()
        assert np.nonzero(labelled)[0].min() > 108 - 14


def test_processes_are_labelled_from_the_break_to_the_tip(lumbar_spine):
    frames = frames_of(lumbar_spine)
    spinous = draw_part_fracture(np.random.default_rng(0), lumbar_spine, frames, 22, "spinous", CONFIG)
    labelled = drawn_map({22: spinous}, grid(lumbar_spine.vertebrae.shape), lumbar_spine.vertebrae.shape) > 0
    assert np.nonzero(labelled)[1].max() == 103
    assert np.nonzero(labelled)[1].min() > 73
    transverse = draw_part_fracture(np.random.default_rng(0), lumbar_spine, frames, 22, "transverse", CONFIG)
    labelled = drawn_map({22: transverse}, grid(lumbar_spine.vertebrae.shape), lumbar_spine.vertebrae.shape) > 0
    beside = np.abs(np.nonzero(labelled)[2] - 45)
    assert beside.max() == 37
    assert beside.min() > 14


@pytest.mark.parametrize("kind", ["spinous", "transverse", "arch"])
def test_a_case_with_a_broken_part_draws_it_and_its_twin_does_not(lumbar_spine, kind):
    config = replace(CONFIG, part_types=(kind,), part_weights=(1.0,))
    seed = next(s for s in range(20) if any(d.fractured for d in lay_out(lumbar_spine, s, config).plan.values()))
    case, twin = (simulate_case(lumbar_spine, seed, config, fractured) for fractured in (True, False))
    about = {i: about for i, about in case.truth["vertebrae"].items() if about["type"] != "intact"}
    ((_, about),) = about.items()
    assert about["type"] == kind
    assert about["part"] in ("spinous process", "transverse process", "arch")
    assert case.fractured == ()
    assert twin.fracture_map is None
    drawn = case.fracture_map > 0
    assert drawn.any()
    assert not (case.bodies > 0)[drawn].mean() > 0.1
    assert np.median(case.hu[drawn]) > 120  # bone, on the right side of a case that may be mirrored


def test_a_part_that_the_border_cuts_off_is_unknown(lumbar_spine):
    frames = frames_of(lumbar_spine)
    fracture = draw_part_fracture(np.random.default_rng(0), lumbar_spine, frames, 22, "spinous", CONFIG)
    whole, cut = (drawn_map({22: fracture}, grid(shape), shape) for shape in ((180, 120, 90), (180, 90, 90)))
    assert set(np.unique(whole)) == {0, MAP_FRACTURE}
    assert set(np.unique(cut)) == {0, MAP_UNKNOWN}


def test_the_share_of_part_fractures_is_the_configured_one(lumbar_spine):
    def kinds(share: float) -> list[str]:
        config = replace(CONFIG, part_fractures=share)
        plans = (lay_out(lumbar_spine, seed, config).plan for seed in range(8))
        return [d.kind for plan in plans for d in plan.values() if d.fractured]

    assert not set(kinds(0.0)) & set(PART_KINDS)
    always = kinds(1.0)
    assert len(always) >= 6  # of eight cases; where a part is not there or far away, a body breaks instead
    assert sum(kind in PART_KINDS for kind in always) >= len(always) - 1


def test_labels_of_bodies_alone_have_no_parts_to_break(lumbar_spine):
    bodies = replace(lumbar_spine, vertebrae=np.where(lumbar_spine.bodies, lumbar_spine.vertebrae, 0).astype(np.uint8))
    for seed in range(6):
        assert not {d.kind for d in lay_out(bodies, seed, CONFIG).plan.values()} & set(PART_KINDS)
    for kind in ("spinous", "transverse", "arch"):
        assert draw_part_fracture(np.random.default_rng(0), bodies, frames_of(bodies), 22, kind, CONFIG) is None


def test_in_place_a_process_breaks_at_its_own_levels_only(lumbar_spine):
    case = fracture_in_place(lumbar_spine, 22, "spinous", (0.3, 0.5), seed=0)
    assert (case.fracture_map == MAP_FRACTURE).sum() > 200
    far = case.hu[:40]
    np.testing.assert_array_equal(far, lumbar_spine.hu[:40])
    assert 14 not in LEVELS["transverse"]
    with pytest.raises(ValueError, match="odontoid fractures are made at"):
        fracture_in_place(lumbar_spine, 22, "odontoid", (0.3, 0.5), seed=0)
