import dataclasses
import json

import numpy as np
import pytest

from SpineFractureSegLib.engine.case import MAP_FRACTURE, MAP_UNKNOWN, Case, load_about, load_case, save_case


@pytest.fixture
def case():
    bodies = np.zeros((6, 5, 4), np.uint8)
    bodies[1], bodies[3], bodies[5] = 22, 21, 20
    hu = np.arange(120, dtype=np.int16).reshape(6, 5, 4)
    return Case("one", "patient", hu, bodies, (21,), (20,), truth={"as_scanned": True})


def with_map(case, **places):
    """The case with a map that is MAP_... in the given slices."""
    fracture_map = np.zeros(case.hu.shape, np.uint8)
    for name, where in places.items():
        fracture_map[where] = {"fracture": MAP_FRACTURE, "unknown": MAP_UNKNOWN}[name]
    return dataclasses.replace(case, fracture_map=fracture_map)


def test_a_file_from_before_the_fracture_map_still_loads(case, tmp_path):
    """Written here as it was written then, by hand."""
    about = {"name": "one", "patient": "patient", "fractured": [21], "uncertain": [20], "has_bodies": True}
    about |= {"spacing_mm": 1.0, "truth": {"as_scanned": True}}
    np.savez(tmp_path / "old.npz", hu=case.hu, bodies=case.bodies, about=json.dumps(about))
    loaded = load_case(tmp_path / "old.npz")
    assert loaded.fracture_map is None
    assert dataclasses.replace(loaded, hu=case.hu, bodies=case.bodies) == case
    np.testing.assert_array_equal(loaded.hu, case.hu)
    np.testing.assert_array_equal(loaded.fracture_mask, case.bodies == 21)
    np.testing.assert_array_equal(loaded.uncertain_mask, case.bodies == 20)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_case_with_a_map_comes_back_as_it_was_saved(case, tmp_path, compressed):
    drawn = with_map(case, fracture=0, unknown=2)
    save_case(tmp_path / "new.npz", drawn, compressed=compressed)
    loaded = load_case(tmp_path / "new.npz")
    for name in ("hu", "bodies", "fracture_map"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(drawn, name))
    assert loaded.fractured == (21,)
    assert load_about(tmp_path / "new.npz")["truth"] == {"as_scanned": True}


def test_where_the_map_says_something_it_overrules_the_ids(case):
    drawn = with_map(case, fracture=5, unknown=(3, slice(0, 2)))
    assert drawn.fracture_mask[5].all()  # uncertain by its id
    assert not drawn.fracture_mask[3, :2].any()  # fractured by its id
    assert drawn.fracture_mask[3, 2:].all()
    assert drawn.uncertain_mask[3, :2].all()
    assert not drawn.uncertain_mask[5].any()
    assert not (drawn.fracture_mask | drawn.uncertain_mask)[[0, 1, 2, 4]].any()


def test_a_drawn_fracture_alone_is_a_fracture(case):
    none = dataclasses.replace(case, fractured=(), has_bodies=False)
    assert not none.has_fracture
    assert not with_map(none, unknown=0).has_fracture
    assert with_map(none, fracture=0).has_fracture
    assert case.has_fracture


def test_a_map_of_another_shape_is_refused(case):
    with pytest.raises(ValueError, match="fracture_map"):
        dataclasses.replace(case, fracture_map=np.zeros((6, 5, 3), np.uint8))
