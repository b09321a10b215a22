"""A network that draws bodies too large all over measures them right from another probability at their surface."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.special import expit

from SpineFractureSegLib.engine.calibration.answers import Answer, Spine
from SpineFractureSegLib.engine.calibration.body_surface import FEWEST_BODIES, SURFACES, choose_body_surface
from SpineFractureSegLib.engine.case import Case
from SpineFractureSegLib.engine.vertebrae.instances import find_bodies

SHAPE = (180, 80, 80)
SOFT_MM = 0.4  # of the logistic function that is the network's answer across a surface


def answer(too_large_mm: float, *, patient: str = "made", has_bodies: bool = True) -> Answer:
    """Four bodies of 24 mm; the network's answer falls through one half so far outside of their surfaces."""
    bodies = np.zeros(SHAPE, np.uint8)
    for place, i in enumerate((20, 21, 22, 23)):
        top = 165 - 36 * place
        bodies[top - 24 : top, 22:54, 19:61] = i
    inside = bodies > 0
    outward = ndimage.distance_transform_edt(~inside) - ndimage.distance_transform_edt(inside)
    outward -= 0.5 * np.sign(outward)
    vertebra = expit((too_large_mm - outward) / SOFT_MM).astype(np.float32)
    box = (slice(0, SHAPE[0]), slice(10, SHAPE[1]), slice(8, SHAPE[2]))
    spine = Spine(box, vertebra[box].astype(np.float16), find_bodies(vertebra[box], 1.0))
    case = Case("made", patient, np.zeros(SHAPE, np.int16), bodies, has_bodies=has_bodies)
    return Answer(case, case, {}, spine)


@pytest.mark.parametrize("too_large_mm", [-0.3, 0.0, 0.3])
def test_the_surface_is_where_the_bodies_truly_end(too_large_mm):
    choice = choose_body_surface([answer(too_large_mm)] * 3, 0.5)
    assert choice.bodies == 12
    assert choice.surface == pytest.approx(expit(too_large_mm / SOFT_MM), abs=0.06)
    assert choice.error_before_mm == pytest.approx(2 * abs(too_large_mm), abs=0.15)
    assert choice.error_after_mm < 0.15


def test_people_count_alike():
    """One person with three volumes, drawn too large, and one with a single volume, drawn too small by as much."""
    choice = choose_body_surface([*[answer(0.3, patient="often")] * 3, answer(-0.3, patient="once")], 0.5)
    assert choice.bodies == 16
    assert choice.surface == 0.5


def test_people_who_disagree_move_it_no_further_than_their_doubt():
    """All draw too large, by 0.1 to 0.5 mm: 0.3 would suit them best together, half of that costs none of them much."""
    agreeing = [answer(0.3, patient=name) for name in "abc"]
    differing = [answer(too_large, patient=name) for name, too_large in zip("abc", (0.1, 0.3, 0.5), strict=True)]
    assert 0.5 < choose_body_surface(differing, 0.5).surface < choose_body_surface(agreeing, 0.5).surface - 0.06


def test_the_given_surface_is_kept_where_little_is_known():
    few = choose_body_surface([answer(0.3)] * (FEWEST_BODIES // 4), 0.45)
    assert (few.surface, few.bodies) == (0.45, 8)
    assert few.error_after_mm == few.error_before_mm > 0.3
    unlabelled = choose_body_surface([answer(0.3, has_bodies=False)] * 3, 0.5)
    assert (unlabelled.surface, unlabelled.bodies) == (0.5, 0)
    assert np.isnan(unlabelled.error_before_mm)


def test_a_surface_beyond_those_that_are_tried_is_among_them_when_it_was_given():
    given = 0.97
    assert given not in SURFACES
    assert choose_body_surface([answer(SOFT_MM * 3.5)] * 3, given).surface == given
