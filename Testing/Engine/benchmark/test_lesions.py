from dataclasses import replace

import numpy as np

from SpineFractureSegLib.engine.benchmark.lesions import Lesion, lesions_of


def test_a_fractured_body_is_one_lesion(case):
    numbers, lesions = lesions_of(case)
    assert lesions == [Lesion(19, "wedge", 3)]
    assert lesions[0].region == "thoracic"
    assert np.array_equal(numbers == 1, case.bodies == 19)


def test_each_drawn_part_is_a_lesion_named_after_the_nearest_body(case_with_drawn):
    numbers, lesions = lesions_of(case_with_drawn)
    assert lesions[1:] == [Lesion(20, "spinous", None)] * 2
    assert sorted(np.bincount(numbers.ravel())[2:].tolist()) == [27, 64]


def test_what_the_truth_says_of_a_body_does_not_name_a_part_that_was_drawn_beside_it(case_with_drawn):
    about = {"20": {"type": "wedge", "genant": 2}}  # says nothing of a part
    unnamed = replace(case_with_drawn, truth={"vertebrae": about})
    assert lesions_of(unnamed)[1][1] == Lesion(20, "drawn", None)


def test_what_is_drawn_within_a_fractured_body_is_that_body(case):
    drawn = np.where(case.bodies == 19, 1, 0).astype(np.uint8)
    assert len(lesions_of(replace(case, fracture_map=drawn))[1]) == 1


def test_a_drawn_body_without_an_id_is_a_lesion(case):
    drawn = np.where(case.bodies == 20, 1, 0).astype(np.uint8)
    numbers, lesions = lesions_of(replace(case, fractured=(), fracture_map=drawn, truth={}))
    assert lesions == [Lesion(20, "drawn", None)]
    assert np.array_equal(numbers > 0, case.bodies == 20)


def test_a_part_far_from_any_body_has_no_vertebra(case):
    drawn = np.zeros(case.bodies.shape, np.uint8)
    drawn[:4, :4, :4] = 1
    alone = replace(case, bodies=np.zeros_like(case.bodies), fractured=(), uncertain=(), fracture_map=drawn)
    lesion = lesions_of(alone)[1][0]
    assert (lesion.vertebra, lesion.region) == (None, "unknown")
