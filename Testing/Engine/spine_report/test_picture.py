"""The picture of the spine: what is flagged and named lies where it should, and pixels know their place."""

import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk

from SpineFractureSegLib.engine.drawing import INK, RESULT_COLOR
from SpineFractureSegLib.engine.preview import render_preview
from SpineFractureSegLib.engine.spine_report.picture import render_spine


def ct_with_bodies(spine) -> tuple[sitk.Image, sitk.Image]:
    """A CT with a bright body of 24 mm at each vertebra, and a mask of the flagged ones."""
    hu, mask = np.full((160, 90, 70), 20, np.int16), np.zeros((160, 90, 70), np.uint8)
    image = sitk.GetImageFromArray(hu)
    origin = (-35.0, -25.0, 170.0)  # LPS; the centers lie at y = 20
    for vertebra in spine:
        r, a, s = vertebra.centroid_ras_mm
        x, y, z = (round(p - o) for p, o in zip((-r, -a, s), origin, strict=True))
        box = np.s_[z - 10 : z + 11, y - 12 : y + 13, x - 15 : x + 16]
        hu[box] = 600
        mask[box] = vertebra.flagged
    images = [sitk.GetImageFromArray(array) for array in (hu, mask)]
    for image in images:
        image.SetOrigin(origin)
    return images


def pixels_of(color, picture) -> np.ndarray:
    """(row, column) of the pixels of this color."""
    return np.argwhere(np.abs(np.asarray(picture, dtype=float) - color).sum(axis=2) < 60)


@pytest.fixture
def picture(spine):
    return render_spine(*ct_with_bodies(spine), spine, height=400)


def test_the_flagged_body_is_outlined_and_marked_at_its_row(spine, picture):
    orange = pixels_of(RESULT_COLOR, picture.image)
    row = picture.curve.place(spine[1].centroid_ras_mm)[0] * 0.5 * picture.pixels_per_mm
    right = picture.image.width - 112
    outline = orange[(orange[:, 1] > picture.left) & (orange[:, 1] < right)]
    marks = orange[orange[:, 1] > right]
    for found, height_mm in ((outline, 21), (marks, 4)):
        assert len(found) > 20
        assert (found[:, 0].min() + found[:, 0].max()) / 2 == pytest.approx(row, abs=4)
        assert np.ptp(found[:, 0]) == pytest.approx(height_mm * picture.pixels_per_mm, rel=0.35)
    names = pixels_of(INK, picture.image.crop((0, 0, picture.left, picture.image.height)))
    rows = [picture.curve.place(spine[k].centroid_ras_mm)[0] * 0.5 * picture.pixels_per_mm for k in (0, 2)]
    assert {min(range(2), key=lambda k: abs(rows[k] - y)) for y in names[:, 0]} == {0, 1}


def test_without_a_flag_nothing_is_orange(spine):
    intact = [dataclasses.replace(vertebra, flagged=False) for vertebra in spine]
    picture = render_spine(*ct_with_bodies(intact), intact, height=400)
    assert len(pixels_of(RESULT_COLOR, picture.image)) == 0


def test_a_pixel_leads_to_its_place_in_the_patient(spine, picture):
    for vertebra in spine:
        row, column = picture.curve.place(vertebra.centroid_ras_mm)
        scale = 0.5 * picture.pixels_per_mm
        x, y = picture.left + column * scale, row * scale
        assert picture.position(x, y) == pytest.approx(vertebra.centroid_ras_mm, abs=1.5)
        assert picture.position(2, y) == pytest.approx(vertebra.centroid_ras_mm, abs=1.5)  # its name


def test_the_picture_keeps_to_its_height_and_a_short_spine_is_not_enlarged_without_end(spine):
    ct, mask = ct_with_bodies(spine)
    assert render_spine(ct, mask, spine, height=150).image.height == 150
    short = render_spine(ct, mask, spine[:1], height=4000)
    assert short.pixels_per_mm == 3.0


def test_without_a_vertebra_there_is_none(spine):
    assert render_spine(*ct_with_bodies(spine), [], height=400) is None


def test_the_preview_shows_the_spine_beside_its_three_panels(spine):
    ct, mask = ct_with_bodies(spine)
    without, with_spine = render_preview(ct, mask), render_preview(ct, mask, spine=spine)
    strip = render_spine(ct, mask, spine, height=420).image
    assert with_spine.width == without.width + 8 + strip.width
    x = with_spine.width - 12 - strip.width
    assert np.array_equal(np.asarray(with_spine)[42 : 42 + strip.height, x : x + strip.width], np.asarray(strip))
    panels = np.s_[42:462, 12 : without.width - 12]
    assert np.array_equal(np.asarray(with_spine)[panels], np.asarray(without)[panels])
