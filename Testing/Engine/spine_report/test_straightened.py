"""The curve through the bodies: lengths, places and gray values where they belong, whatever the CT's grid."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial import cKDTree

from SpineFractureSegLib.engine.spine_report.straightened import BACK_MM, FRONT_MM, STEP_MM, spine_curve

AIR = -1024.0
IDENTITY = np.eye(3)
# an S in both planes, as a scoliosis with lordosis: RAS, from the top down
BENT = [(12 * np.sin(k), 10 * np.cos(0.8 * k), 200.0 - 32 * k) for k in range(6)]


def ct_of(value, direction=IDENTITY, spacing=(1.0, 1.0, 1.0), size=(90, 100, 110), center_ras=(0.0, 0.0, 120.0)):
    """float32 CT around a point; ``value`` maps RAS positions (..., 3) to Hounsfield units."""
    axes = np.asarray(direction) * spacing  # LPS
    origin = np.array(center_ras) * (-1, -1, 1) - axes @ ((np.array(size) - 1) / 2)
    indices = np.stack(np.meshgrid(*[np.arange(n) for n in size], indexing="ij"), axis=-1)
    positions = (indices @ axes.T + origin) * (-1, -1, 1)
    image = sitk.GetImageFromArray(value(positions).transpose(2, 1, 0).astype(np.float32))
    image.SetOrigin(origin)
    image.SetSpacing(spacing)
    image.SetDirection(np.asarray(direction).ravel())
    return image


def test_the_curve_passes_the_centers_and_its_points_are_evenly_spaced():
    curve = spine_curve(BENT)
    gaps = np.linalg.norm(np.diff(curve.points, axis=0), axis=1)
    assert gaps == pytest.approx(STEP_MM, rel=0.02)
    for center in BENT:
        assert np.linalg.norm(curve.points - center, axis=1).min() < 3.0
    rows = [curve.place(center)[0] for center in BENT]
    assert rows == sorted(rows)
    # what lies above the first center is shown, too: the upper half of its body
    assert rows[0] * STEP_MM == pytest.approx(22.0, abs=2.5)


def test_front_and_right_are_across_the_curve():
    curve = spine_curve(BENT)
    down = np.gradient(curve.points, axis=0)
    for across in (curve.front, curve.right):
        assert np.linalg.norm(across, axis=1) == pytest.approx(1.0)
        assert np.abs((across * down).sum(axis=1)).max() < 1e-9
    assert (curve.front[:, 1] > 0.5).all()  # to the front
    assert (curve.right[:, 0] > 0.5).all()


def test_place_and_position_are_each_others_inverse():
    curve = spine_curve(BENT)
    for row, column in ((0, 10.0), (len(curve.points) // 2, 70.0), (len(curve.points) - 1, 120.5)):
        assert curve.place(curve.position(row, column)) == pytest.approx((row, column), abs=1.0)
    assert curve.position(row, curve.center_column) == pytest.approx(tuple(curve.points[row]))


def test_the_rows_of_the_picture_follow_the_spine():
    # a column of bone of 20 mm along the bent curve becomes a straight band
    curve = spine_curve(BENT)

    tree = cKDTree(curve.points)

    def bone(positions):
        return np.where(tree.query(positions)[0] < 10.0, 700.0, 0.0)

    hu = curve.straighten(ct_of(bone, size=(50, 60, 230)), outside=AIR)
    middle = hu[60:-60]
    columns_mm = FRONT_MM - np.arange(hu.shape[1]) * STEP_MM
    assert middle[:, np.abs(columns_mm) < 7].min() > 500
    assert middle[:, (np.abs(columns_mm) > 13) & (np.abs(columns_mm) < 18)].max() < 200
    assert columns_mm[-1] == pytest.approx(-BACK_MM)


@pytest.mark.parametrize(
    ("direction", "spacing"),
    [
        (IDENTITY, (1.0, 1.0, 1.0)),
        (np.diag([-1.0, 1.0, -1.0]), (0.8, 1.0, 2.0)),  # flipped, anisotropic
        (np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]), (1.0, 1.0, 1.5)),  # permuted
        (np.array([[0.9848, -0.1736, 0], [0.1736, 0.9848, 0], [0, 0, 1.0]]), (1.0, 1.0, 1.0)),  # oblique
    ],
)
def test_every_grid_gives_the_hounsfield_units_of_the_place(direction, spacing):
    ramp = np.array([1.0, 2.0, 3.0])  # HU says the position: linear interpolation is exact
    curve = spine_curve([(2.0, 5.0, 130.0 - 20 * k) for k in range(2)])
    hu = curve.straighten(ct_of(lambda ras: ras @ ramp, direction, spacing, size=(70, 90, 110)), outside=AIR)
    for row, column in ((10, 40), (60, 70), (100, 110)):
        assert hu[row, column] == pytest.approx(np.array(curve.position(row, column)) @ ramp, abs=0.05)


def test_outside_of_the_ct_and_where_it_is_no_number_there_is_air():
    curve = spine_curve([(0.0, 0.0, 10.0), (0.0, 0.0, -20.0)])
    hu = curve.straighten(ct_of(lambda ras: np.zeros(ras.shape[:-1]), size=(9, 9, 9), center_ras=(0, 0, 0)), AIR)
    assert hu[0, 0] == AIR
    assert hu.max() == 0
    nowhere = curve.straighten(ct_of(lambda ras: ras[..., 0] * np.nan, size=(9, 9, 9), center_ras=(0, 0, 0)), AIR)
    assert np.unique(nowhere).tolist() == [AIR]


@pytest.mark.parametrize("centers", [[(1.0, 2.0, 3.0)], [(1.0, 2.0, 3.0)] * 3])
def test_one_body_gives_a_vertical_line(centers):
    curve = spine_curve(centers)
    assert np.ptp(curve.points[:, :2], axis=0) == pytest.approx(0)
    assert curve.points[0, 2] > 3 > curve.points[-1, 2]


def test_no_body_gives_none():
    assert spine_curve([]) is None
