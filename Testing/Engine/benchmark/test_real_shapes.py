from dataclasses import replace

import numpy as np

from SpineFractureSegLib.engine.benchmark.case_score import compare
from SpineFractureSegLib.engine.benchmark.real_shapes import (
    RealShape,
    real_shape_cases,
    shape_rows,
    shapes_found,
    shapes_of_library,
)


def test_the_known_fracture_and_nothing_else_is_fractured(label_spine):
    spine = replace(label_spine, genant={20: 3})
    shapes = shapes_of_library([label_spine, spine])
    assert [shape.origin for shape in shapes] == ["test"]
    cases = list(real_shape_cases(shapes, 2, 5))
    assert [case.name for case in cases] == ["shape-labels-5", "shape-labels-6"]
    for case in cases:
        assert case.fractured == (20,)
        assert case.truth["vertebrae"]["20"]["genant"] == 3
    assert not np.array_equal(cases[0].hu, cases[1].hu)
    again = next(real_shape_cases(shapes, 1, 5))
    assert np.array_equal(again.hu, cases[0].hu)


def test_a_control_is_shown_as_often_and_is_intact(label_spine):
    fracture = next(real_shape_cases([RealShape(label_spine, {20: 3}, "mesh")], 1, 5))
    control = next(real_shape_cases([RealShape(label_spine, {20: 0}, "mesh")], 1, 5))
    assert np.array_equal(control.hu, fracture.hu)
    assert (fracture.fractured, control.fractured) == ((20,), ())
    assert 20 not in control.uncertain
    score = compare(control, np.zeros(control.hu.shape), 0.5, 0.0)
    assert next(v for v in score.vertebrae if v.vertebra == 20).kind == "intact"


def test_each_vertebra_is_counted_over_its_surroundings(case):
    """19 is a fracture of grade 3; the control 20 is called in one of two cases."""
    spine = type("Named", (), {"name": "s"})
    shapes = [RealShape(spine, {19: 3}, "test"), RealShape(spine, {20: 0}, "mesh")]
    found = compare(case, case.fracture_mask.astype(np.float32), 0.5, 0.0)
    missed = compare(case, np.zeros(case.hu.shape), 0.5, 0.0)
    called = compare(case, (case.bodies == 20).astype(np.float32), 0.5, 0.0)
    rows = shape_rows(shapes, [found, missed, called, found], 0.5)
    assert [(row["vertebra"], row["cases"], row["found"], row["called"]) for row in rows] == [
        ("T12", 2, 1, 1),
        ("L1", 2, None, 1),
    ]
    groups = shapes_found(rows)
    assert groups["genant_2_3"] == {"vertebrae": 1, "found_in_most_cases": 0, "found_in_all_cases": 0}
    assert groups["genant_1"]["vertebrae"] == 0
    assert groups["controls"] == {"vertebrae": 1, "called_in_most_cases": 0, "called_in_all_cases": 0}
