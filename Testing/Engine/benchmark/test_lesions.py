from dataclasses import replace

import numpy as np

from SpineFractureSegLib.engine.benchmark.lesions import Lesion, lesions_of


def test_a_fractured_body_is_one_lesion(case):
    numbers, lesions = lesions_of(case)
    assert lesions == [Lesion(19, "wedge", 3)]
    assert lesions[0].region == "thoracic"
    assert np.array_equal(numbers == 1, case.bodies == 19)


def test_the_pieces_of_one_broken_part_are_one_lesion(case_with_drawn):
    numbers, lesions = lesions_of(case_with_drawn)
    assert lesions[1:] == [Lesion(20, "spinous", None)]
    assert np.count_nonzero(numbers == 2) == 27 + 64


def test_a_broken_process_is_named_after_its_vertebra_though_another_body_is_nearer(case_with_drawn):
    about = case_with_drawn.truth["vertebrae"] | {"20": {"type": "intact", "part": "none", "genant": 0}}
    of_the_next = about | {"21": {"type": "spinous", "part": "spinous process", "genant": 0}}
    moved = replace(case_with_drawn, truth={"vertebrae": of_the_next})
    assert lesions_of(moved)[1][1:] == [Lesion(21, "spinous", None)]


def test_each_piece_is_a_lesion_of_the_nearest_body_where_the_truth_knows_of_no_broken_part(case_with_drawn):
    about = {"20": {"type": "wedge", "genant": 2}}  # says nothing of a part
    numbers, lesions = lesions_of(replace(case_with_drawn, truth={"vertebrae": about}))
    assert lesions[1:] == [Lesion(20, "drawn", None)] * 2
    assert sorted(np.bincount(numbers.ravel())[2:].tolist()) == [27, 64]


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
