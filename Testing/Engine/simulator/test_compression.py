import numpy as np
import pytest

from SpineFractureSegLib.engine.simulator.compression import Squeeze, draw_squeezes
from SpineFractureSegLib.engine.simulator.heights import measure_height_loss
from SpineFractureSegLib.engine.simulator.loss_profile import Descent, LossProfile, draw_profile
from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame, frames_of


@pytest.fixture(scope="module")
def frame(made_spine) -> VertebraFrame:
    return frames_of(made_spine)[21]


def even_squeeze(frame: VertebraFrame, loss: float, down: float, layer=(0.0, 1.0), from_below=False) -> Squeeze:
    """The same loss everywhere; ``down`` is the share of the height that the column comes down by."""
    table = np.full((200, 200), loss, np.float32)
    return Squeeze(frame, LossProfile(table, Descent(down * frame.height_mm), (-50.0, -50.0), layer), from_below)


def column(frame: VertebraFrame, heights: np.ndarray) -> np.ndarray:
    return (frame.centre[:, None] + frame.up[:, None] * heights).astype(np.float32)


def heights_of(frame: VertebraFrame, points: np.ndarray) -> np.ndarray:
    return frame.coordinates(points)[0]


def test_the_frame_has_the_height_and_the_discs_that_were_made(frame):
    assert frame.height_mm == pytest.approx(24, abs=0.3)
    assert frame.disc_above_mm == pytest.approx(8, abs=0.5)
    assert frame.disc_below_mm == pytest.approx(8, abs=0.5)
    assert frame.up @ (1, 0, 0) == pytest.approx(1, abs=1e-3)
    assert frame.front @ (0, -1, 0) == pytest.approx(1, abs=1e-3)


def test_vertebrae_cut_by_the_border_have_no_frame(made_spine):
    cut = type(made_spine)(
        **vars(made_spine) | {"vertebrae": made_spine.vertebrae[20:], "bodies": made_spine.bodies[20:], "hu": None}
    )
    assert set(frames_of(made_spine)) == {19, 20, 21, 22, 23}
    assert set(frames_of(cut)) == {19, 20, 21, 22}


def test_without_loss_nothing_moves(frame):
    points = column(frame, np.linspace(-60, 60, 200))
    moved, density = even_squeeze(frame, 0.0, 0.0).backward(points)
    np.testing.assert_allclose(moved, points, atol=1e-4)
    np.testing.assert_array_equal(density, 1)


@pytest.mark.parametrize("layer", [(0.0, 1.0), (0.4, 1.0), (0.0, 0.6)])
def test_below_nothing_moves_and_above_everything_comes_down(frame, layer):
    squeeze = even_squeeze(frame, 0.3, 0.3, layer)
    below, above = column(frame, np.linspace(-60, -12.5, 50)), column(frame, np.linspace(12, 60, 50))
    np.testing.assert_allclose(squeeze.backward(below)[0], below, atol=1e-4)
    shift = heights_of(frame, squeeze.backward(above)[0]) - heights_of(frame, above)
    np.testing.assert_allclose(shift, 0.3 * frame.height_mm, atol=1e-3)


def test_the_column_above_leans_as_one_piece(frame):
    """Distances within the neighbor above stay what they were: it turns, it is not sheared."""
    table = np.full((200, 200), 0.3, np.float32)
    squeeze = Squeeze(frame, LossProfile(table, Descent(5.0, forward=0.2, sideward=0.05), (-50.0, -50.0), (0.0, 1.0)))
    rng = np.random.default_rng(0)
    coordinates = rng.uniform((25, -15, -20), (50, 15, 20), (60, 3)).T
    axes = np.stack([frame.up, frame.front, frame.side])
    points = (frame.centre[:, None] + axes.T @ coordinates).astype(np.float32)
    moved, _ = squeeze.backward(points)
    before, after = (np.linalg.norm(p[:, :30] - p[:, 30:], axis=0) for p in (points, moved))
    np.testing.assert_allclose(after, before, rtol=0.035)
    leaned = (moved - points).T @ frame.front
    assert np.ptp(leaned) > 3  # what is higher up came further back from the front


@pytest.mark.parametrize("from_below", [False, True])
@pytest.mark.parametrize(("loss", "down"), [(0.3, 0.3), (0.4, 0.0), (0.25, 0.1)])
def test_the_map_is_continuous_and_never_folds(frame, loss, down, from_below):
    heights = np.linspace(-60, 60, 4000)
    squeeze = even_squeeze(frame, loss, 0.0 if from_below else down, (0.3, 1.0), from_below)
    step = np.diff(heights_of(frame, squeeze.backward(column(frame, heights))[0]))
    assert step.min() > 0
    assert step.max() < 5 * (heights[1] - heights[0])


def test_a_loss_that_the_column_does_not_follow_leaves_it_where_it_is(frame):
    above = column(frame, np.linspace(25, 60, 50))
    moved, _ = even_squeeze(frame, 0.4, 0.0).backward(above)
    np.testing.assert_allclose(moved, above, atol=1e-3)


@pytest.mark.parametrize("loss", [0.2, 0.35, 0.5])
def test_the_measured_loss_is_the_one_asked_for(frame, loss):
    measured = measure_height_loss(frame, [even_squeeze(frame, loss, loss, (0.1, 1.0))])
    assert measured == pytest.approx(dict.fromkeys(measured, loss), abs=0.02)


def test_two_squeezes_add_up(frame):
    squeezes = [even_squeeze(frame, 0.2, 0.2), even_squeeze(frame, 0.15, 0.0, (0.0, 0.6), from_below=True)]
    assert measure_height_loss(frame, squeezes)["middle"] == pytest.approx(0.35, abs=0.05)


def drawn(frame: VertebraFrame, kind: str, count: int = 20) -> list[Squeeze]:
    rng = np.random.default_rng(0)
    return [Squeeze(frame, draw_profile(rng, frame, kind, 0.4, 0.0, False)) for _ in range(count)]


def test_a_wedge_is_lowest_in_front_and_a_biconcave_body_in_the_middle(frame):
    wedges, concave, crushed = (
        [measure_height_loss(frame, [squeeze]) for squeeze in drawn(frame, kind)]
        for kind in ("wedge", "biconcave", "crush")
    )
    assert np.mean([w["anterior"] - w["posterior"] for w in wedges]) > 0.15
    assert np.mean([c["middle"] - max(c["anterior"], c["posterior"]) for c in concave]) > 0.05
    assert np.mean([c["posterior"] for c in crushed]) > 0.2


def test_a_lateral_wedge_leans_the_column_to_its_side(frame):
    leans = [squeeze.profile.descent for squeeze in drawn(frame, "lateral")]
    assert np.mean([abs(lean.sideward) for lean in leans]) > 2 * np.mean([abs(lean.forward) for lean in leans])
    wedges = [squeeze.profile.descent for squeeze in drawn(frame, "wedge")]
    assert np.mean([lean.forward for lean in wedges]) > 0.04


@pytest.mark.parametrize("kind", ["wedge", "lateral", "biconcave", "crush"])
def test_what_is_drawn_lies_in_the_range(frame, kind):
    rng = np.random.default_rng(1)
    results = [draw_squeezes(rng, frame, kind, (0.2, 0.6), 0.25, intact=False) for _ in range(15)]
    losses = [max(result[1].values()) for result in results if result]
    assert len(losses) >= 11
    assert 0.2 <= min(losses) <= max(losses) <= 0.6
