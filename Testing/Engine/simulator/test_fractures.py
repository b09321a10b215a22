from dataclasses import replace

import numpy as np
import pytest

from SpineFractureSegLib.engine.case import MAP_UNKNOWN
from SpineFractureSegLib.engine.commands import simulate as simulate_command
from SpineFractureSegLib.engine.simulator.config import SimulationConfig
from SpineFractureSegLib.engine.simulator.deformation import deform
from SpineFractureSegLib.engine.simulator.fractures import COMPRESSIONS, KINDS, draw_fracture, draw_intact
from SpineFractureSegLib.engine.simulator.heights import mask_heights_mm, measure_heights_mm
from SpineFractureSegLib.engine.simulator.opening import Cleft, Distraction, draw_waves
from SpineFractureSegLib.engine.simulator.part_fractures import PART_KINDS
from SpineFractureSegLib.engine.simulator.truth import drawn_map
from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame, frames_of
from SpineFractureSegLib.engine.simulator.walls import CanalFragment, FrontStep, Widening
from SpineFractureSegLib.engine.vertebrae.heights import genant_grade

CONFIG = SimulationConfig()


@pytest.fixture(scope="module")
def frame(made_spine) -> VertebraFrame:
    return frames_of(made_spine)[21]


def warped(spine, maps) -> np.ndarray:
    """The body ids of a spine seen through the maps, nearest voxel."""
    points = np.indices(spine.vertebrae.shape, dtype=np.float32).reshape(3, -1)
    for backward_map in maps:
        points, _ = backward_map.backward(points)
    index = tuple(
        np.clip(np.round(p).astype(int), 0, n - 1) for p, n in zip(points, spine.vertebrae.shape, strict=True)
    )
    return np.where(spine.bodies, spine.vertebrae, 0)[index].reshape(spine.vertebrae.shape)


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_can_be_drawn_and_its_truth_is_what_the_label_map_shows(made_spine, frame, kind):
    fracture = draw_fracture(np.random.default_rng(3), made_spine, frame, kind, (0.25, 0.5), CONFIG)
    assert fracture.kind == kind
    assert fracture.fractured
    before = mask_heights_mm(made_spine.bodies & (made_spine.vertebrae == 21), frame)
    after = mask_heights_mm(warped(made_spine, fracture.maps) == 21, frame)
    for place, loss in fracture.height_loss.items():
        assert 1 - after[place] / before[place] == pytest.approx(loss, abs=0.13)
    if kind not in ("split", "chance"):
        assert 0.25 <= max(fracture.height_loss.values()) <= 0.5


def test_a_flat_wedge_loses_its_front_and_keeps_its_middle(made_spine, frame):
    def losses(flat_wedges):
        config = replace(CONFIG, flat_wedges=flat_wedges)
        seeds = [np.random.default_rng(seed) for seed in range(12)]
        drawn = [draw_fracture(rng, made_spine, frame, "wedge", (0.3, 0.4), config) for rng in seeds]
        return [wedge.height_loss["middle"] / wedge.height_loss["anterior"] for wedge in drawn if wedge]

    flat, concave = losses(1.0), losses(0.0)
    assert min(len(flat), len(concave)) > 6
    assert np.median(flat) < 0.5
    assert np.median(flat) < np.median(concave) - 0.2


def test_a_loss_that_the_label_map_does_not_show_is_rejected(made_spine, frame):
    """The label map is taller than the fitted frame says: what was planned is not what is there."""
    taller = made_spine.bodies.copy()
    low = int(frame.centre[0] - 30)
    taller[low : low + 60] = True
    wrong = type(made_spine)(
        **vars(made_spine)
        | {"bodies": taller, "vertebrae": np.where(taller, 21, made_spine.vertebrae).astype(np.uint8)}
    )
    assert draw_fracture(np.random.default_rng(0), wrong, frame, "crush", (0.5, 0.6), CONFIG) is None


def test_intact_bodies_stay_below_the_dead_zone_when_measured_again(made_spine, frame):
    for seed in range(10):
        natural = draw_intact(np.random.default_rng(seed), made_spine, frame, "wedge", (0.02, 0.13), CONFIG, rough=1.0)
        assert natural is None or max(natural.height_loss.values()) <= CONFIG.dead_zone[0]


def test_without_maps_heights_are_those_of_the_made_spine(made_spine, frame):
    heights = measure_heights_mm(made_spine, frame)
    assert heights == pytest.approx(dict.fromkeys(heights, 24.0), abs=0.5)


def test_genant_grades_have_their_edges():
    assert [genant_grade(loss) for loss in (0.19, 0.2, 0.24, 0.25, 0.39, 0.4)] == [0, 1, 1, 2, 2, 3]


def test_a_cleft_opens_by_its_width_and_leaves_the_rest_alone(frame):
    cleft = Cleft(frame, (1.0, 0.0, 0.0), 0.0, 3.0, draw_waves(np.random.default_rng(0), 0.0), 0.9, (0, 0, 0), -20.0)
    heights = np.arange(-40, 40, 0.1)
    points = (frame.centre[:, None] + frame.up[:, None] * heights).astype(np.float32)
    moved, _ = cleft.backward(points)
    source = frame.coordinates(moved)[0]
    assert np.diff(source).min() >= -1e-4
    np.testing.assert_allclose(source[np.abs(heights) > 10], heights[np.abs(heights) > 10], atol=1e-3)
    inside, share = cleft.opened(points)
    gap_mm = 0.1 * len(inside[share > 0.5])
    assert gap_mm == pytest.approx(np.abs(source).tolist().count(0) * 0.1, abs=0.8)
    assert 1.5 < gap_mm < 4


def test_a_distraction_gapes_behind_and_hinges_in_front(made_spine, frame):
    bone = np.ones((97, 141), np.float32)
    distraction = Distraction(frame, 0.0, 0.2, draw_waves(np.random.default_rng(0), 0.0), 40.0, bone, (-67.0, -70.0))
    for depth, widest in ((frame.depth_range[1] - 1, 0.6), (frame.depth_range[0] - 20, 9.8)):
        points = frame.centre[:, None] + frame.up[:, None] * np.arange(-5, 20, 0.1) + frame.front[:, None] * depth
        _, share = distraction.opened(points.astype(np.float32))
        assert 0.1 * (share > 0.5).sum() == pytest.approx(widest, abs=1.2)
    bodies = warped(made_spine, [distraction])
    assert (bodies == 20).sum() == pytest.approx(((made_spine.vertebrae == 20) & made_spine.bodies).sum(), rel=0.05)


def test_soft_tissue_behind_a_distraction_stretches_over_centimetres_instead_of_gaping(frame):
    nothing = np.zeros((97, 141), np.float32)
    waves = draw_waves(np.random.default_rng(0), 0.0)
    distraction = Distraction(frame, 0.0, 0.2, waves, 40.0, nothing, (-67.0, -70.0))
    heights = np.arange(-40, 40, 0.1)
    points = frame.centre[:, None] + frame.up[:, None] * heights + frame.front[:, None] * (frame.depth_range[0] - 20)
    moved, density = distraction.backward(points.astype(np.float32))
    step = np.diff(frame.coordinates(moved)[0]) / 0.1
    assert step.min() > 0.6
    assert density.min() == pytest.approx(step.min(), abs=0.05)
    assert distraction.opened(points.astype(np.float32))[0].size == 0


def test_a_chance_fracture_labels_the_body_and_leaves_the_arch_open(made_spine, frame):
    fracture = draw_fracture(np.random.default_rng(0), made_spine, frame, "chance", (0.2, 0.6), CONFIG)
    points = np.indices(made_spine.vertebrae.shape, dtype=np.float32).reshape(3, -1)
    drawn = drawn_map({21: fracture}, points, made_spine.vertebrae.shape)
    assert fracture.of_body
    assert set(np.unique(drawn)) == {0, MAP_UNKNOWN}
    arch = (made_spine.vertebrae == 21) & ~made_spine.bodies
    assert arch[drawn == MAP_UNKNOWN].mean() > 0.7


def test_chunks_of_points_go_the_same_way_as_all_at_once(made_spine, frame):
    """More points than a chunk holds; a burst has squeezes, walls and clefts."""
    burst = draw_fracture(np.random.default_rng(1), made_spine, frame, "burst", (0.2, 0.6), CONFIG)
    points = np.indices(made_spine.vertebrae.shape, dtype=np.float32).reshape(3, -1)
    origin, whole = deform(points, {21: burst}), points
    for backward_map in burst.maps:
        whole, _ = backward_map.backward(whole)
    np.testing.assert_allclose(origin.points, whole, atol=1e-4)
    for gap in origin.gaps[21]:
        assert (np.diff(np.sort(gap.voxels)) > 0).all()


def extent(bodies: np.ndarray, axis: int) -> tuple[int, int]:
    at = np.nonzero(bodies == 21)[axis]
    return int(at.min()), int(at.max())


def test_walls_move_to_the_side_they_should(made_spine, frame):
    before = np.where(made_spine.bodies, made_spine.vertebrae, 0)
    step = warped(made_spine, [FrontStep(frame, 4.0, 0.0, 4.0, sharp=False)])
    fragment = warped(made_spine, [CanalFragment(frame, 6.0, 10.0, 12.0)])
    wide = warped(made_spine, [Widening(frame, 3.0)])
    assert extent(step, 1)[0] == extent(before, 1)[0] - 4  # y grows to the back
    assert extent(fragment, 1)[1] == pytest.approx(extent(before, 1)[1] + 6, abs=1)
    assert extent(wide, 2)[0] <= extent(before, 2)[0] - 2
    assert extent(wide, 2)[1] >= extent(before, 2)[1] + 2
    for moved in (step, fragment, wide):
        np.testing.assert_array_equal(moved == 20, before == 20)


def test_gaps_of_a_fracture_are_reported_with_its_vertebra(made_spine, frame):
    split = draw_fracture(np.random.default_rng(0), made_spine, frame, "split", (0.2, 0.6), CONFIG)
    points = np.indices(made_spine.vertebrae.shape, dtype=np.float32).reshape(3, -1)
    origin = deform(points, {21: split})
    (gap,) = origin.gaps[21]
    assert set(origin.gaps) == {21}
    assert gap.share.max() > 0.9
    in_body = np.isin(gap.voxels, np.flatnonzero(made_spine.bodies & (made_spine.vertebrae == 21)))
    assert gap.share[in_body].sum() > 0.75 * gap.share.sum()


def test_the_command_offers_all_types():
    assert simulate_command.KINDS == KINDS
    assert simulate_command.PART_KINDS == PART_KINDS
    assert set(SimulationConfig().part_types) == set(PART_KINDS)
    assert set(COMPRESSIONS) <= set(KINDS)
    assert set(SimulationConfig().types) <= set(KINDS)
