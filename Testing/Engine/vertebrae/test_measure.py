"""Heights, walls, grades and density of bodies whose shape is known, whole and cut, turned and thick-sliced."""

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.special import logit

from SpineFractureSegLib.engine.vertebrae.field_of_view import FieldOfView
from SpineFractureSegLib.engine.vertebrae.heights import genant_grade, genant_of_losses
from SpineFractureSegLib.engine.vertebrae.instances import find_bodies
from SpineFractureSegLib.engine.vertebrae.measure import SpineVolume, believable, measure_vertebrae, with_flags
from SpineFractureSegLib.engine.vertebrae.vertebra import PLACES, Vertebra

WEDGE = {"anterior_mm": 15.0}
CRUSH = {"anterior_mm": 13.0, "posterior_mm": 14.0}
BICONCAVE = {"hollow_mm": 8.0}


def measured(probability, spacing_mm=1.0, hu=None, fracture=None, field_of_view=None, surface=0.5, by_body=False):
    hu = np.full(probability.shape, 150, np.int16) if hu is None else hu
    fracture = np.zeros_like(probability) if fracture is None else fracture
    volume = SpineVolume(fracture, probability, hu, spacing_mm, (0.0, 0.0, 0.0), surface, by_body)
    field_of_view = field_of_view or FieldOfView.of_array(probability.shape, spacing_mm)
    return measure_vertebrae(find_bodies(probability, spacing_mm), volume, field_of_view)


def true_heights(body):
    middle = (body.anterior_mm + body.posterior_mm) / 2 - body.hollow_mm
    return body.anterior_mm, middle, body.posterior_mm


# the axis of a wedge leans by half its angle, so that its walls are met aslant
@pytest.mark.parametrize(("changed", "error_mm"), [({}, 0.6), (WEDGE, 1.6), (CRUSH, 0.7), (BICONCAVE, 1.0)])
@pytest.mark.parametrize("spacing_mm", [1.0, 1.5])
def test_heights_are_those_of_the_shape(make_column, changed, error_mm, spacing_mm):
    bodies, probability = make_column(body_3=changed, spacing_mm=spacing_mm)
    for vertebra, body in zip(measured(probability, spacing_mm), bodies, strict=True):
        found = [getattr(vertebra, f"{place}_mm") for place in PLACES]
        assert found == pytest.approx(true_heights(body), abs=error_mm)
        assert (vertebra.width_mm, vertebra.depth_mm) == pytest.approx((body.width_mm, body.depth_mm), abs=2.0)


def test_heights_end_where_the_probability_is_that_of_the_surface(make_column):
    _, probability = make_column(3, spacing_mm=0.5, shape_mm=(130, 130, 90))
    outer, inner = (measured(probability, 0.5, surface=surface) for surface in (0.3, 0.7))
    between = 2 * 0.4 * (logit(0.7) - logit(0.3))  # the probability is the logistic function of the distance / 0.4 mm
    for large, small in zip(outer, inner, strict=True):
        for place in PLACES:
            assert getattr(large, f"{place}_mm") - getattr(small, f"{place}_mm") == pytest.approx(between, abs=0.2)


def test_a_spur_in_front_is_no_part_of_the_body(make_column):
    bodies, probability = make_column(body_3=WEDGE)
    z, y, x = (round(center) for center in bodies[2].centre_mm)
    front = y - round(bodies[2].depth_mm / 2)
    probability[z - 11 : z - 5, front - 9 : front + 3, x - 8 : x + 9] = 0.95
    third = measured(probability)[2]
    assert [third.anterior_mm, third.middle_mm, third.posterior_mm] == pytest.approx(true_heights(bodies[2]), abs=1.6)
    assert third.depth_mm == pytest.approx(bodies[2].depth_mm, abs=2.5)


def test_a_body_far_higher_than_its_neighbors_has_no_heights(make_column):
    _, probability = make_column(
        pitch_mm=36.0, shape_mm=(220, 130, 90), body_3={"anterior_mm": 30.0, "posterior_mm": 30.0}
    )
    spine = measured(probability)
    assert [vertebra.anterior_mm is None for vertebra in spine] == [False, False, True, False, False]
    assert spine[2].genant is None
    assert spine[2].height_loss is None
    assert "Its shape could not be measured." in spine[2].notes
    assert [vertebra.genant for vertebra in spine if vertebra.number != 3] == [0, 0, 0, 0]


def test_an_intact_body_beside_crushed_ones_keeps_its_heights(make_column):
    _, probability = make_column(body_2=CRUSH, body_4=CRUSH)
    assert [vertebra.anterior_mm is None for vertebra in measured(probability)] == [False] * 5


def test_heights_survive_slices_of_3_mm(make_column):
    bodies, probability = make_column(body_3=WEDGE)
    kept = np.arange(1, probability.shape[0], 3)
    slices = ndimage.uniform_filter1d(probability, 3, axis=0)[kept]
    places = np.clip((np.arange(probability.shape[0]) - 1) / 3, 0, len(kept) - 1)
    thick = ndimage.map_coordinates(
        slices, np.stack(np.meshgrid(places, *map(np.arange, probability.shape[1:]), indexing="ij")), order=1
    )
    errors = [
        getattr(vertebra, f"{place}_mm") - true
        for vertebra, body in zip(measured(thick), bodies, strict=True)
        for place, true in zip(PLACES, true_heights(body), strict=True)
    ]
    assert np.abs(errors).mean() < 1.0


def test_the_whole_spine_turned_sideways_has_the_same_heights(make_column):
    bodies, probability = make_column(body_3=WEDGE)
    turned = ndimage.rotate(probability, 20.0, axes=(0, 2), reshape=False, order=1)  # scoliosis: about front-back
    for vertebra, body in zip(measured(turned), bodies, strict=True):
        found = [getattr(vertebra, f"{place}_mm") for place in PLACES]
        if vertebra.complete:
            assert found == pytest.approx(true_heights(body), abs=1.5)


def test_a_patient_lying_askew_has_the_same_walls(make_column):
    bodies, probability = make_column(body_3=WEDGE)
    turned = ndimage.rotate(probability, 20.0, axes=(1, 2), reshape=False, order=1)  # about the long axis
    third = measured(turned)[2]
    assert [third.anterior_mm, third.middle_mm, third.posterior_mm] == pytest.approx(true_heights(bodies[2]), abs=1.5)
    assert (third.width_mm, third.depth_mm) == pytest.approx((bodies[2].width_mm, bodies[2].depth_mm), abs=2.0)


@pytest.mark.parametrize("seed", range(6))
def test_nonsense_is_measured_without_an_error(seed):
    rng = np.random.default_rng(seed)
    blobs = ndimage.gaussian_filter(rng.normal(size=(90, 50, 50)), rng.uniform(2, 6))
    probability = np.clip(0.5 + 0.6 * blobs / blobs.std(), 0, 1).astype(np.float32)
    for vertebra in measured(probability, fracture=probability):
        assert 0 <= vertebra.fracture_probability <= 1
        assert vertebra.middle_mm is None or vertebra.middle_mm > 0


@pytest.mark.parametrize(
    ("changed", "genant"),
    [({}, 0), ({"anterior_mm": 22.0}, 0), (WEDGE, 2), (BICONCAVE, 2), (CRUSH, 3), ({"anterior_mm": 18.5}, 1)],
)
def test_the_grade_is_that_of_the_height_lost(make_column, changed, genant):
    _, probability = make_column(body_3=changed)
    spine = measured(probability)
    assert spine[2].genant == genant
    assert [vertebra.genant for vertebra in spine if vertebra.number != 3] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("probability_of_fracture", "by_body", "genant"),
    [(0.02, True, 0), (0.5, True, 1), (0.98, True, 2), (0.02, False, 1), (0.98, False, 1)],
)
def test_the_fracture_probability_of_whole_bodies_is_a_second_witness(
    make_column, probability_of_fracture, by_body, genant
):
    bodies, probability = make_column(body_3={"anterior_mm": 18.0})
    fracture = np.zeros_like(probability)
    z = round(bodies[2].centre_mm[0])
    fracture[z - 14 : z + 14] = probability_of_fracture
    third = measured(probability, fracture=fracture, by_body=by_body)[2]
    assert third.genant == genant
    assert third.height_loss["anterior"] == pytest.approx(0.22, abs=0.02)  # what was measured stays as it is
    assert any("By its heights alone the grade is 1;" in note for note in third.notes) == (genant != 1)


def test_two_crushed_neighbors_are_judged_by_the_intact_ones(make_column):
    _, probability = make_column(body_2=CRUSH, body_3=CRUSH)
    assert [vertebra.genant for vertebra in measured(probability)] == [0, 3, 3, 0, 0]


def test_a_single_body_is_judged_by_its_posterior_wall_and_says_so(make_column):
    _, probability = make_column(1, shape_mm=(70, 130, 90), body_1={**WEDGE})
    centred = np.roll(probability, -13, axis=0)
    (only,) = measured(centred)
    assert only.genant in (2, 3)
    assert any("own posterior wall" in note for note in only.notes)


def test_a_short_posterior_wall_alone_is_anatomy():
    assert genant_of_losses({"anterior": 0.02, "middle": 0.05, "posterior": 0.3}) == 0
    assert genant_of_losses({"anterior": 0.38, "middle": 0.3, "posterior": 0.45}) == genant_grade(0.43)


def test_a_body_cut_by_the_border_has_no_heights(column):
    _, probability = column
    cut = probability[:184]  # the highest body spans some 166 to 190
    first, *others = measured(cut)
    assert not first.complete
    assert (first.anterior_mm, first.genant, first.height_loss) == (None, None, None)
    assert any("border" in note for note in first.notes)
    assert all(vertebra.complete and vertebra.genant == 0 for vertebra in others)


def test_the_border_of_an_oblique_ct_counts_and_not_that_of_the_array():
    turn = np.deg2rad(30)
    axes = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 2.0]])
    view = FieldOfView(np.array([10.0, 20.0, 30.0]), axes, np.array([50, 60, 20]))
    index = np.array([[25, 30, 10], [0.4, 30, 10], [25, 59.2, 10], [25, 30, 0.4], [25, 30, 18.6], [2.5, 30, 10]])
    assert view.reached_by(index @ axes.T + view.origin_mm, 1.0).tolist() == [False, True, True, True, True, False]


def test_density_is_the_cores_and_not_the_shells(column):
    bodies, probability = column
    z, y, x = np.indices(probability.shape, sparse=True)
    distance = np.max([body.distance_mm(z, y, x) for body in bodies], axis=0)
    hu = np.where(distance > 3, 120, np.where(distance > 0, 600, 0))
    hu = hu + np.random.default_rng(0).normal(0, 60, hu.shape)
    for vertebra in measured(probability, hu=hu):
        assert vertebra.trabecular_hu == pytest.approx(120, abs=8)


@pytest.mark.parametrize(("filling_hu", "word"), [(1500, "cement"), (-700, "gas")])
def test_cement_and_gas_are_no_bone_density(column, filling_hu, word):
    bodies, probability = column
    z, y, x = np.indices(probability.shape, sparse=True)
    depot = np.sqrt(sum((a - c) ** 2 for a, c in zip((z, y - 6, x), bodies[2].centre_mm, strict=True))) < 7
    depot |= np.sqrt(sum((a - c) ** 2 for a, c in zip((z, y + 6, x), bodies[2].centre_mm, strict=True))) < 7
    spine = measured(probability, hu=np.where(depot, filling_hu, 150))
    assert spine[2].trabecular_hu is None
    assert any(word in note for note in spine[2].notes)
    assert spine[1].trabecular_hu == pytest.approx(150)


def test_positions_are_ras(column):
    bodies, probability = column
    for vertebra, body in zip(measured(probability), bodies, strict=True):
        z, y, x = body.centre_mm
        assert vertebra.centroid_ras_mm == pytest.approx((-x, -y, z), abs=1.0)


def test_a_body_is_flagged_by_its_probability_or_by_what_the_mask_covers():
    numbers = np.zeros((4, 10, 10), np.uint8)
    for number in (1, 2, 3):
        numbers[number] = number
    mask = np.zeros_like(numbers)
    mask[2, :1] = 1  # a tenth of the second
    mask[3, 0, :9] = 1
    spine = [made(1, 0.6), made(2, 0.1), made(3, 0.1)]
    flagged = with_flags(spine, sitk.GetImageFromArray(numbers), sitk.GetImageFromArray(mask), threshold=0.5)
    assert [vertebra.flagged for vertebra in flagged] == [True, True, False]


def made(number, fracture_probability=0.0, **fields):
    return replace(
        Vertebra(
            number, None, (0.0, 0.0, -30.0 * number), fracture_probability, *[None] * 5, None, None, None, True, False
        ),
        **fields,
    )


def test_a_vertebra_is_plain_json():
    fields = json.loads(json.dumps(made(1, notes=("cut",), height_loss=dict.fromkeys(PLACES, 0.1)).to_json()))
    assert fields["centroid_ras_mm"] == [0.0, 0.0, -30.0]
    assert fields["height_loss"] == {"anterior": 0.1, "middle": 0.1, "posterior": 0.1}
    assert fields["notes"] == ["cut"]


@pytest.mark.parametrize("wrong", [{"number": 0}, {"genant": 4}, {"fracture_probability": 1.2}, {"height_loss": {}}])
def test_what_no_vertebra_has_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        made(**{"number": 1, **wrong})


@pytest.mark.parametrize(
    ("heights", "kept"),
    [
        ((20.0, 21.0, 22.0), True),
        ((9.4, 27.8, 16.9), False),  # both ends lack a corner
        ((10.3, 21.3, 22.6), False),  # the front lacks one: the first sacral body, badly outlined
        ((22.6, 21.3, 10.3), False),
        ((11.0, 16.0, 21.0), True),  # a severe wedge
        ((13.0, 21.0, 22.0), True),  # one that is flat in its middle
    ],
)
def test_heights_are_withheld_where_a_corner_of_the_outline_is_missing(heights, kept):
    measured = dict(zip(("anterior", "middle", "posterior"), heights, strict=True))
    assert (believable(measured) == measured) is kept
    assert believable(None) is None
