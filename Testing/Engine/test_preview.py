"""The picture: right way round, in proportion, outlines where the masks are."""

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.preview import REFERENCE_COLOR, RESULT_COLOR, render_preview, write_preview

PANEL, GAP, MARGIN, TOP = 420, 8, 12, 42


def image(array: np.ndarray, spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0)) -> sitk.Image:
    made = sitk.GetImageFromArray(array)
    made.SetSpacing(spacing)
    made.SetOrigin(origin)
    return made


def body(shape=(80, 80, 80)) -> np.ndarray:
    """Soft tissue with some fat, so that it can be a CT."""
    hu = np.full(shape, 40, dtype=np.int16)
    hu[:, :, :3] = -100
    return hu


def panels(picture: Image.Image) -> list[np.ndarray]:
    """axial, sagittal, coronal as float (420, 420, 3)."""
    pixels = np.asarray(picture, dtype=float)
    starts = [MARGIN + k * (PANEL + GAP) for k in range(3)]
    return [pixels[TOP : TOP + PANEL, x : x + PANEL] for x in starts]


def center_of(color: tuple[int, int, int], panel: np.ndarray) -> tuple[float, float]:
    """(row, column) of the middle of the pixels of this color, in shares of the panel."""
    rows, columns = np.nonzero(np.abs(panel - color).sum(axis=2) < 90)
    assert len(rows), "no outline of this color"
    return (rows.min() + rows.max()) / 2 / PANEL, (columns.min() + columns.max()) / 2 / PANEL


def cube(center_zyx, half=(6, 6, 6), shape=(80, 80, 80)) -> np.ndarray:
    mask = np.zeros(shape, dtype=np.uint8)
    mask[tuple(slice(c - h, c + h + 1) for c, h in zip(center_zyx, half, strict=True))] = 1
    return mask


def test_the_outline_lies_where_a_radiologist_expects_it():
    # high up, in front, on the patient's left (+x in LPS)
    picture = render_preview(image(body()), image(cube((65, 15, 65))))
    axial, sagittal, coronal = panels(picture)
    row, column = center_of(RESULT_COLOR, axial)
    assert row < 0.35, "anterior is up"
    assert column > 0.65, "the patient's left is on the right"
    row, column = center_of(RESULT_COLOR, sagittal)
    assert row < 0.35, "superior is up"
    assert column < 0.35, "anterior is on the left"
    row, column = center_of(RESULT_COLOR, coronal)
    assert row < 0.35, "superior is up"
    assert column > 0.65, "the patient's left is on the right"


def test_the_ct_itself_is_shown_the_same_way_round():
    hu = body()
    hu[60:70, 10:20, 60:70] = 1500
    axial, sagittal, coronal = panels(render_preview(image(hu), image(cube((65, 15, 65), half=(1, 1, 1)))))
    for panel, rows, columns in ((axial, "top", "right"), (sagittal, "top", "left"), (coronal, "top", "right")):
        gray = panel[60:360, 60:360].mean(axis=2)  # away from the letters
        bright = {"top": gray[:150].mean(), "bottom": gray[150:].mean()}
        assert max(bright, key=bright.get) == rows
        bright = {"left": gray[:, :150].mean(), "right": gray[:, 150:].mean()}
        assert max(bright, key=bright.get) == columns


def test_a_flipped_and_permuted_copy_gives_the_same_picture():
    ct, mask = image(body(), origin=(5.0, -3.0, 10.0)), image(cube((60, 20, 50)), origin=(5.0, -3.0, 10.0))
    turned = [sitk.DICOMOrient(made, "SAR") for made in (ct, mask)]
    np.testing.assert_allclose(np.asarray(render_preview(*turned)), np.asarray(render_preview(ct, mask)), atol=1)


def test_millimeters_are_in_proportion_whatever_the_spacing():
    # a cube of 24 mm in voxels of 0.5 x 0.5 x 4 mm
    shape = (20, 160, 160)
    mask = np.zeros(shape, dtype=np.uint8)
    mask[7:13, 56:104, 56:104] = 1
    spacing = (0.5, 0.5, 4.0)
    for panel in panels(render_preview(image(body(shape), spacing), image(mask, spacing))):
        rows, columns = np.nonzero(np.abs(panel - RESULT_COLOR).sum(axis=2) < 90)
        height, width = np.ptp(rows), np.ptp(columns)
        assert height == pytest.approx(width, rel=0.06)
        assert height == pytest.approx(24 / 81 * PANEL, rel=0.08)


def test_result_and_reference_have_their_own_color_and_the_outline_is_hollow():
    result, truth = cube((40, 40, 40), half=(8, 8, 8)), cube((40, 40, 40), half=(14, 14, 14))
    for panel in panels(render_preview(image(body()), image(result), reference=image(truth))):
        assert center_of(RESULT_COLOR, panel) == pytest.approx((0.5, 0.5), abs=0.02)
        assert center_of(REFERENCE_COLOR, panel) == pytest.approx((0.5, 0.5), abs=0.02)
        middle = panel[200:220, 200:220]
        assert np.ptp(middle, axis=2).max() < 5, "gray inside"


def test_the_slices_go_through_the_largest_finding():
    mask = cube((20, 20, 20), half=(2, 2, 2)) | cube((55, 60, 60), half=(8, 8, 8))
    row, column = center_of(RESULT_COLOR, panels(render_preview(image(body()), image(mask)))[0])
    assert (row, column) == pytest.approx((60 / 80, 60 / 80), abs=0.03)


def test_a_box_is_cut_through_its_center():
    hu = body()
    hu[40] = 1000  # the axial slice in the middle of the box
    bright = panels(render_preview(image(hu), image(cube((40, 40, 40), half=(20, 20, 20)))))[0]
    assert bright[150:270, 150:270].mean() > 200


def test_a_missed_reference_is_shown():
    picture = render_preview(image(body()), image(cube((0, 0, 0)) * 0), reference=image(cube((60, 60, 60))))
    assert center_of(REFERENCE_COLOR, panels(picture)[0]) == pytest.approx((0.75, 0.75), abs=0.03)


def test_without_a_finding_the_slices_go_through_the_vertebrae():
    hu = body((40, 80, 80))
    hu[10] = 1000  # only this axial slice is bright
    vertebrae = np.zeros(hu.shape, dtype=np.float32)
    vertebrae[8:13, 20:60, 20:60] = 0.9
    empty = image(np.zeros(hu.shape, dtype=np.uint8))
    with_vertebrae = panels(render_preview(image(hu), empty, vertebrae=image(vertebrae)))[0]
    without = panels(render_preview(image(hu), empty))[0]
    assert with_vertebrae[150:270, 150:270].mean() > without[150:270, 150:270].mean() + 50


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 3, 3), (64, 1, 64)])
def test_thin_and_tiny_volumes_have_a_picture_too(shape):
    picture = render_preview(image(body(shape)), image(np.ones(shape, dtype=np.uint8)))
    assert picture.size[0] == 3 * PANEL + 2 * GAP + 2 * MARGIN


def test_each_line_of_the_caption_adds_a_row_and_long_ones_are_cut():
    ct, mask = image(body((20, 20, 20))), image(np.zeros((20, 20, 20), dtype=np.uint8))
    short = render_preview(ct, mask, title="A CT", caption=("one",))
    long = render_preview(ct, mask, title="x" * 5000, caption=("y" * 5000, "two"))
    assert long.size == (short.size[0], short.size[1] + 20)


def test_the_picture_is_written_as_png_and_replaces_an_older_one(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"older")
    write_preview(path, Image.new("RGB", (8, 4)))
    with Image.open(path) as read:
        assert (read.format, read.size) == ("PNG", (8, 4))
    assert [file.name for file in tmp_path.iterdir()] == ["picture.png"]


def test_a_picture_that_cannot_be_written_is_said_in_one_sentence(tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        write_preview(tmp_path / "missing" / "picture.png", Image.new("RGB", (8, 4)))
