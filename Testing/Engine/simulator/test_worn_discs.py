"""Worn discs are lower and dense on both sides; bodies keep their height, and fractures theirs."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from SpineFractureSegLib.engine.simulator.compression import draw_squeezes
from SpineFractureSegLib.engine.simulator.config import SimulationConfig
from SpineFractureSegLib.engine.simulator.deformation import Deformation, Origin, deform
from SpineFractureSegLib.engine.simulator.loss_profile import Descent
from SpineFractureSegLib.engine.simulator.painting import voxels_of
from SpineFractureSegLib.engine.simulator.sampling import sample_spine
from SpineFractureSegLib.engine.simulator.simulate import lay_out, simulate_case
from SpineFractureSegLib.engine.simulator.vertebra_frame import frames_of
from SpineFractureSegLib.engine.simulator.worn_discs import (
    draw_worn_discs,
    narrowed,
    paint_worn_disc,
    with_worn_discs,
)

from .conftest import DISC, HEIGHT

PLAIN = SimulationConfig(fracture_count=(1.0,), intact_deformed=0.0, physiological_wedge=0.0, as_scanned=1.0)
ALL = replace(PLAIN, worn_discs=1.0)
GAS_HU = -100


def heights_and_gaps(bodies: np.ndarray) -> tuple[dict[int, int], dict[int, int]]:
    """mm along the column through the middle of the made spine: of each body, and of the gap above it."""
    column = bodies[:, 50, 45]
    ends = {int(i): np.flatnonzero(column == i)[[0, -1]] for i in np.unique(column[column > 0])}
    gaps = {i: int(ends[i - 1][0] - last - 1) for i, (_, last) in ends.items() if i - 1 in ends}
    return {i: int(last - first + 1) for i, (first, last) in ends.items()}, gaps


@pytest.mark.parametrize("lower_mm", [2.0, 5.0])
def test_a_disc_is_lower_by_what_was_asked_for_and_all_bodies_keep_their_height(made_spine, lower_mm):
    frames = frames_of(made_spine)
    plan = narrowed({}, frames, {21: Descent(lower_mm), 22: Descent(lower_mm)})
    points = np.indices(made_spine.hu.shape, dtype=np.float32).reshape(3, -1)
    _, ids = sample_spine(made_spine, deform(points, plan).points, made_spine.hu.shape, np.random.default_rng(0))
    heights, gaps = heights_and_gaps(ids)
    assert gaps[21] == pytest.approx(DISC - lower_mm, abs=1)
    assert gaps[22] == pytest.approx(DISC - lower_mm, abs=1)
    assert gaps[23] == pytest.approx(DISC, abs=1)
    assert all(height == pytest.approx(HEIGHT, abs=1) for height in list(heights.values())[:-1])


def test_discs_lose_part_of_their_height_and_the_frames_know_it(made_spine):
    frames = frames_of(made_spine)
    worn = draw_worn_discs(frames, 1.0, 5)
    assert set(worn) == set(frames) - {min(frames)}
    lower = with_worn_discs(frames, worn)
    for vertebra, descent in worn.items():
        assert 0.5 < descent.centre_mm < DISC - 1
        assert 0 < lower[vertebra].disc_above_mm < frames[vertebra].disc_above_mm - 0.5
        assert lower[vertebra - 1].disc_below_mm < frames[vertebra - 1].disc_below_mm - 0.5
    assert draw_worn_discs(frames, 0.0, 5) == {}
    thin = {i: replace(frame, disc_above_mm=2.0) for i, frame in frames.items()}
    assert draw_worn_discs(thin, 1.0, 5) == {}


def test_a_wedge_shaped_disc_closes_in_front(made_spine):
    frames = frames_of(made_spine)
    tilted = replace(frames[20], lower_plane=frames[20].lower_plane + np.array([0, 0.1, 0], np.float32))
    worn = draw_worn_discs(frames | {20: tilted}, 1.0, 5)
    assert 0.02 < worn[21].forward < 0.11
    assert worn[22].forward == pytest.approx(0, abs=0.01)


def test_both_endplates_turn_dense_and_gas_stays_between_them(made_spine):
    points = np.indices(made_spine.hu.shape, dtype=np.float32).reshape(3, -1)
    origin = Origin(points, np.ones(points.shape[1], np.float32), {})
    frames, denser, gassy = frames_of(made_spine), 0, 0
    top = np.flatnonzero(made_spine.vertebrae[:, 50, 45] == 22)[-1]
    for seed in range(12):
        hu = made_spine.hu.astype(np.float32)
        ids = np.where(made_spine.bodies, made_spine.vertebrae, 0).astype(np.uint8)
        paint_worn_disc(hu, ids, voxels_of(ids), frames, 22, origin, np.random.default_rng(seed))
        gain = hu - made_spine.hu
        plates = gain[top - 1 : top + 1, 40:60, 40:50], gain[top + DISC + 1 : top + DISC + 3, 40:60, 40:50]
        denser += sum(plate.max() > 40 for plate in plates)
        assert np.abs((gain * made_spine.bodies)[: top - 18]).max() < 10  # far from the disc in the body below
        gas = hu < GAS_HU
        gassy += gas.any()
        assert not (gas & made_spine.bodies).any()
        if gas.any():
            assert top < np.argwhere(gas)[:, 0].min() <= np.argwhere(gas)[:, 0].max() <= top + DISC
    assert 10 <= denser <= 22
    assert 1 <= gassy <= 7


def test_without_worn_discs_cases_are_what_they_were_and_truth_tells_who_has_one(made_spine):
    plain, worn = simulate_case(made_spine, 4, PLAIN), simulate_case(made_spine, 4, ALL)
    assert plain.truth["worn_discs"] == {}
    assert set(worn.truth["worn_discs"]) == {"20", "21", "22", "23"} & {str(i) for i in np.unique(worn.bodies)}
    assert worn.fractured == ()
    sizes = [np.bincount(case.bodies.ravel(), minlength=30)[[21, 22]] for case in (plain, worn)]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.12)  # spurs
    parts = [ndimage.label(case.bodies == 21)[1] for case in (plain, worn)]
    assert parts == [1, 1]


def test_fractures_keep_their_planned_heights_and_twins_the_same_discs(made_spine):
    config = replace(ALL, fracture_count=(0.0, 1.0), part_fractures=0.0, type_weights=(0.5, 0, 0.3, 0.2, 0, 0, 0))
    for seed in range(4):
        fractured, twin = (lay_out(made_spine, seed, config, broken) for broken in (True, False))
        assert fractured.worn == twin.worn
        broken = [d for d in fractured.plan.values() if d.fractured]
        assert len(broken) == 1
        assert 0.2 <= max(broken[0].height_loss.values()) <= 0.6
        assert not any(d.fractured for d in twin.plan.values())


def test_a_body_that_breaks_under_a_worn_disc_loses_what_it_would_have_lost_and_its_neighbor_nothing(made_spine):
    frames = frames_of(made_spine)
    worn = {22: Descent(4.0)}
    heights = {}
    for lower in ({}, worn):
        frame = with_worn_discs(frames, lower)[22]
        squeezes, _ = draw_squeezes(np.random.default_rng(1), frame, "crush", (0.35, 0.45), 0.0, intact=False)
        plan = narrowed({22: Deformation(squeezes, {}, "crush")}, frames, lower)
        points = np.indices(made_spine.hu.shape, dtype=np.float32).reshape(3, -1)
        _, ids = sample_spine(made_spine, deform(points, plan).points, made_spine.hu.shape, np.random.default_rng(0))
        heights[bool(lower)] = heights_and_gaps(ids)
    (plain, gap), (after, narrow) = heights[False], heights[True]
    assert plain[22] < 0.8 * HEIGHT
    assert after[22] == pytest.approx(plain[22], abs=1)
    assert after[21] == pytest.approx(HEIGHT, abs=1)
    assert narrow[22] == pytest.approx(gap[22] - 4, abs=1.5)
