"""Names of vertebrae: from label maps of several makers, from one point, and never by guessing."""

import numpy as np
import pytest
import SimpleITK as sitk

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.vertebrae.levels import (
    levels_from_map,
    levels_from_point,
    parse_named_point,
    read_level_map,
    table_of_names,
)
from SpineFractureSegLib.engine.vertebrae.vertebra import Vertebra

VERSE = (19, 20, 21, 22)
TOTALSEGMENTATOR = (32, 31, 30, 29)
NAMES = ["T12", "L1", "L2", "L3"]


def image(array, spacing=(1.0, 1.0, 1.0), origin=(-15.0, -15.0, 0.0)):
    result = sitk.GetImageFromArray(array)
    result.SetSpacing(spacing)
    result.SetOrigin(origin)
    return result


def column(values, dtype=np.uint8, missing=()):
    """Blocks of 20 mm every 30 mm from the top down with these values."""
    array = np.zeros((130, 30, 30), dtype)
    for place, value in enumerate(values):
        if place not in missing:
            top = 125 - 30 * place
            array[top - 20 : top, 5:25, 5:25] = value
    return array


@pytest.fixture
def labels():
    return image(column((1, 2, 3, 4)))


@pytest.fixture
def spine():
    return spine_at(0, 1, 2, 3)


def spine_at(*places):
    return [
        Vertebra(k, None, (0.0, 0.0, 115.0 - 30 * place), 0.0, *[None] * 5, None, None, None, True, False)
        for k, place in enumerate(places, start=1)
    ]


def names(vertebrae):
    return [vertebra.level for vertebra in vertebrae]


@pytest.mark.parametrize("values", [VERSE, TOTALSEGMENTATOR])
def test_the_numbers_tell_whose_they_are(spine, labels, values):
    assert names(levels_from_map(spine, labels, image(column(values)))) == NAMES


def test_organs_endplates_and_discs_beside_the_bodies_do_no_harm(spine, labels):
    totalsegmentator = column(TOTALSEGMENTATOR)
    totalsegmentator[:, :4, :4] = 5  # the liver
    assert names(levels_from_map(spine, labels, image(totalsegmentator))) == NAMES
    spineps = column(VERSE)
    spineps[103:106] = np.where(spineps[103:106] > 0, 0, 119)  # a disc
    spineps[124, 5:25, 5:25] = 219  # an endplate
    assert names(levels_from_map(spine, labels, image(spineps))) == NAMES


def test_a_map_on_another_grid_names_by_position(spine, labels):
    coarse = sitk.Resample(
        image(column(VERSE)), [12, 12, 50], sitk.Transform(), sitk.sitkNearestNeighbor, [-16, -16, -2], [3, 3, 3]
    )
    flipped = sitk.DICOMOrient(coarse, "RAS")
    assert names(levels_from_map(spine, labels, flipped)) == NAMES


def test_a_body_that_the_map_does_not_cover_stays_unnamed(spine, labels):
    assert names(levels_from_map(spine, labels, image(column(VERSE, missing=(1,))))) == ["T12", None, "L2", "L3"]


def test_one_label_over_two_bodies_names_the_one_it_covers_best(spine, labels):
    values = column((19, 20, 20, 22))
    values[45:52, 5:25, 5:25] = 0  # less of the third
    assert names(levels_from_map(spine, labels, image(values))) == ["T12", "L1", None, "L3"]


def test_a_sacrum_is_s1(spine, labels):
    assert names(levels_from_map(spine, labels, image(column((22, 23, 24, 26)))))[-1] == "S1"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((22, 20, 21, 19), "numbers of VerSe, SPINEPS or TotalSegmentator are expected"),
        ((0, 0, 0, 0), "covers no vertebra"),
        ((0, 26, 0, 0), "may be VerSe's or TotalSegmentator's"),
    ],
)
def test_a_map_that_says_nothing_sure_is_refused(spine, labels, values, words):
    with pytest.raises(UserError, match=words):
        levels_from_map(spine, labels, image(column(values)))


def test_names_of_labels_are_recognized():
    known = table_of_names({1: "vertebrae_L1", 2: "T12 body", 3: "S1", 4: "spleen", 5: "L1-L2 disc"})
    assert known == {1: 20, 2: 19, 3: 26}


def test_a_slicer_segmentation_says_by_its_names_what_it_holds(tmp_path, spine, labels):
    segmentation = image(column((4, 3, 2, 1)))
    for number, (value, name) in enumerate(zip((4, 3, 2, 1), NAMES, strict=True)):
        for key, text in (("Name", f"vertebrae_{name}"), ("LabelValue", str(value)), ("Layer", "0")):
            segmentation.SetMetaData(f"Segment{number}_{key}", text)
    path = tmp_path / "levels.seg.nrrd"
    sitk.WriteImage(segmentation, str(path))
    assert names(levels_from_map(spine, labels, *read_level_map(path))) == NAMES


def test_a_label_map_without_names_is_read_as_numbers(tmp_path, spine, labels):
    path = tmp_path / "levels.nii.gz"
    sitk.WriteImage(image(column(TOTALSEGMENTATOR)), str(path))
    assert names(levels_from_map(spine, labels, *read_level_map(path))) == NAMES


def test_levels_are_counted_from_one_that_was_named(spine, labels):
    assert names(levels_from_point(spine, labels, "l2", (2.0, 3.0, 52.0))) == NAMES
    # beside the body, in its arch
    assert names(levels_from_point(spine, labels, "L2", (0.0, -20.0, 55.0))) == NAMES


def test_nothing_is_named_below_s1_and_above_c1(spine, labels):
    assert names(levels_from_point(spine, labels, "L5", (0.0, 0.0, 85.0))) == ["L4", "L5", "S1", None]
    assert names(levels_from_point(spine, labels, "C2", (0.0, 0.0, 55.0))) == [None, "C1", "C2", "C3"]


def test_nothing_is_named_beyond_a_gap():
    spine = spine_at(-2, -1, 1, 2, 3)  # none at 0
    labels = image(column((0, 3, 4, 5)))
    assert names(levels_from_point(spine, labels, "L3", (0.0, 0.0, 25.0))) == [None, None, "L1", "L2", "L3"]


@pytest.mark.parametrize(("level", "point"), [("L3", (0, 80, 50)), ("L7", (0, 0, 55)), ("vertebra", (0, 0, 55))])
def test_a_point_far_from_any_body_or_no_level_is_refused(spine, labels, level, point):
    with pytest.raises(UserError):
        levels_from_point(spine, labels, level, point)


def test_no_vertebrae_have_no_names(labels):
    assert levels_from_map([], labels, image(column(VERSE))) == []
    assert levels_from_point([], labels, "L3", (0, 0, 0)) == []


@pytest.mark.parametrize("text", ["L3", "L3@1,2", "L3@a,b,c", "@1,2,3"])
def test_a_named_point_that_cannot_be_read_is_refused(text):
    with pytest.raises(UserError, match="as in L3@"):
        parse_named_point(text)
