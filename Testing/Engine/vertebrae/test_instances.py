"""Bodies one by one: order, count and outline where they touch, have holes, are missing, or are no vertebrae at all."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from SpineFractureSegLib.engine.simulator.shapes import load_spine
from SpineFractureSegLib.engine.vertebrae.instances import find_bodies

LIBRARY = Path(__file__).resolve().parents[3] / "Resources" / "ShapeLibrary"


def overlap(found, body, shape):
    """IoU of one instance with a made body."""
    z, y, x = np.indices(shape, sparse=True)
    truth = body.distance_mm(z, y, x) > 0
    return (found & truth).sum() / (found | truth).sum()


def assert_same_bodies(result, bodies, least=0.9):
    assert result.count == len(bodies)
    for number, body in enumerate(bodies, start=1):
        assert overlap(result.labels == number, body, result.labels.shape) > least, number


def test_bodies_are_numbered_from_the_top(column):
    bodies, probability = column
    assert_same_bodies(find_bodies(probability, 1.0), bodies, least=0.95)


def test_bodies_that_touch_are_split_at_the_disc(column):
    bodies, probability = column
    touching = np.maximum(probability, 0.7 * ndimage.grey_closing(probability, (13, 13, 1)))
    assert ndimage.label(touching >= 0.5)[1] == 1
    result = find_bodies(touching, 1.0)
    assert result.count == len(bodies)
    for number, body in enumerate(bodies, start=1):
        middle = tuple(round(c) for c in body.centre_mm)
        assert result.labels[middle] == number


def test_a_hole_through_a_body_does_not_make_two(column):
    bodies, probability = column
    z, y, x = np.indices(probability.shape, sparse=True)
    middle = bodies[2].centre_mm
    hole = (np.abs(z - middle[0]) < 2) & (np.hypot(y - middle[1], x - middle[2]) < 9)
    result = find_bodies(np.where(hole, 0.1, probability), 1.0)
    assert_same_bodies(result, bodies)
    assert result.labels[tuple(round(c) for c in middle)] == 3, "an enclosed hole is filled"


def test_a_crushed_body_is_one_and_its_neighbors_stay_whole(make_column):
    crushed = {"posterior_mm": 9.0, "anterior_mm": 8.0}
    bodies, probability = make_column(body_3=crushed)
    assert_same_bodies(find_bodies(probability, 1.0), bodies, least=0.85)


def test_a_missing_body_leaves_its_neighbors_whole(column, make_column):
    bodies, _ = column
    kept = bodies[:2] + bodies[3:]
    _, probability = make_column(body_3={"width_mm": 0.01, "depth_mm": 0.01})
    assert_same_bodies(find_bodies(probability, 1.0), kept, least=0.95)


def test_false_bone_aside_is_left_out(column):
    bodies, probability = column
    z, y, x = np.indices(probability.shape, sparse=True)
    sternum = (np.abs(z - 100) < 60) & (np.abs(y - 6) < 5) & (np.abs(x - 45) < 12)
    rib_head = np.sqrt((z - 60.0) ** 2 + (y - 90.0) ** 2 + (x - 84.0) ** 2) < 5
    result = find_bodies(np.where(sternum | rib_head, 0.9, probability), 1.0)
    assert_same_bodies(result, bodies)
    assert not result.labels[sternum].any()
    assert not result.labels[rib_head].any()


@pytest.mark.parametrize("spacing_mm", [1.5, 2.0])
def test_a_coarser_grid_has_the_same_bodies(make_column, spacing_mm):
    bodies, probability = make_column(spacing_mm=spacing_mm)
    result = find_bodies(probability, spacing_mm)
    assert result.count == len(bodies)
    for number, body in enumerate(bodies, start=1):
        assert result.labels[tuple(round(c / spacing_mm) for c in body.centre_mm)] == number


@pytest.mark.parametrize("shape", [(40, 40, 40), (2, 60, 60), (1, 1, 1)])
def test_no_bone_has_no_bodies(shape):
    result = find_bodies(np.zeros(shape, np.float32), 1.0)
    assert (result.count, result.curve) == (0, None)
    assert not result.labels.any()


def test_a_single_slice_of_bone_is_no_body(column):
    _, probability = column
    assert find_bodies(probability[100:102], 1.0).count == 0


@pytest.mark.parametrize(
    ("name", "levels"),
    [("gl003", range(1, 13)), ("verse004", range(16, 25)), ("verse010", range(20, 25)), ("lidc0001", range(6, 23))],
)
def test_real_label_maps_are_split_as_they_are_labelled(name, levels):
    """Cervical with the dens, three crushed vertebrae, lumbar, and thoracic ones whose disc spaces are 2 mm."""
    spine = load_spine(LIBRARY / f"{name}.npz")
    result = find_bodies(ndimage.gaussian_filter(spine.bodies.astype(np.float32), 0.8), 1.0)
    truth = np.where(spine.bodies, spine.vertebrae, 0)
    found = []
    for number in range(1, result.count + 1):
        instance = result.labels == number
        level = int(np.bincount(truth[instance], minlength=30)[1:].argmax()) + 1
        union = (instance | (truth == level)).sum()
        assert (instance & (truth == level)).sum() / union > 0.8, level
        found.append(level)
    assert found == list(levels)
