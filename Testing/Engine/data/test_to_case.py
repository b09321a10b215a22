import dataclasses
import json

import numpy as np
import pytest
import SimpleITK as sitk

from SpineFractureSegLib.engine.case import MAP_FRACTURE, MAP_UNKNOWN
from SpineFractureSegLib.engine.data.scan import Centroids, FractureMask, Scan, VertebraLabels
from SpineFractureSegLib.engine.data.to_case import case_of, summary
from SpineFractureSegLib.engine.errors import UserError

FLIPPED = np.array([[0.0, 0.0, -2.0], [2.0, 0.0, 0.0], [0.0, -1.5, 0.0]])  # stored along P, I, R
FLIPPED_GRID = {"matrix": FLIPPED, "origin": (49.3, -40.2, 90.1), "size": (50, 73, 50)}
SHEARED = np.array([[2.0, 0.1, 0.3], [0.0, 2.0, 0.5], [0.0, -0.1, 2.0]])
SHEARED_GRID = {"matrix": SHEARED, "origin": (-60.3, -60.2, -18.4), "size": (55, 60, 54)}
ALL_INTACT = {20: 0, 21: 0, 22: 0, 23: 0}


@pytest.fixture(scope="module")
def files(phantom, tmp_path_factory):
    """Paths of the patient's CT and labels on the plain grid."""
    folder = tmp_path_factory.mktemp("patient")
    return phantom.write_ct(folder / "ct.nii.gz"), phantom.write_vertebrae(folder / "vertebrae.nii.gz")


def scan_of(files, **fields):
    return Scan("patient", "scan", files[0], **{"vertebrae": VertebraLabels(files[1]), **fields})


@pytest.fixture(scope="module")
def graded(files):
    return case_of(scan_of(files, grades={**ALL_INTACT, 21: 3})).case


def body_of(phantom, case, vertebra):
    """The true body on the case's grid, found by the center of its bodies: the case does not keep its origin."""
    z, y, x = (np.arange(n) for n in case.hu.shape)
    center = [indices.mean() for indices in np.nonzero(case.bodies == vertebra)]
    grid = np.stack(np.meshgrid(z - center[0], y - center[1], x - center[2], indexing="ij"), -1)[..., ::-1]
    return phantom.body_at(grid + (0, 0, phantom.CENTER_Z[vertebra])) == vertebra


def dice(first, second):
    return 2 * (first & second).sum() / (first.sum() + second.sum())


def test_a_graded_scan_becomes_a_case_with_the_body_as_fracture(phantom, graded):
    assert graded.fractured == (21,)
    assert graded.uncertain == ()
    assert graded.has_bodies
    assert graded.hu.dtype == np.int16
    assert dice(graded.bodies == 21, body_of(phantom, graded, 21)) > 0.9
    np.testing.assert_array_equal(graded.fracture_mask, graded.bodies == 21)
    assert graded.hu[graded.bodies > 0].mean() > 250
    assert graded.truth["vertebrae"]["21"] == {"type": "real fracture", "genant": 3}
    assert graded.truth["as_scanned"]
    json.dumps(graded.truth)


@pytest.mark.parametrize("kind", ["flipped", "sheared", "float", "sheared float"])
def test_labels_on_another_grid_give_the_same_bodies(phantom, files, graded, tmp_path, kind):
    """A label map is brought to its CT by affine matrices, whatever its axes, their angles and its type."""
    grid = {"flipped": FLIPPED_GRID, "sheared": SHEARED_GRID}.get(kind.split()[0], {})
    numbers = np.float64 if "float" in kind else np.uint8
    labels = phantom.write_vertebrae(tmp_path / "vertebrae.nii.gz", numbers, **grid)
    case = case_of(scan_of((files[0], labels), grades={**ALL_INTACT, 21: 3})).case
    assert case.fractured == (21,)
    box = tuple(slice(0, min(a, b)) for a, b in zip(case.hu.shape, graded.hu.shape, strict=True))
    for vertebra in ALL_INTACT:
        assert dice((case.bodies == vertebra)[box], (graded.bodies == vertebra)[box]) > 0.9


@pytest.mark.parametrize("kind", ["flipped", "sheared"])
def test_a_ct_on_another_grid_gives_the_same_case(phantom, graded, tmp_path, kind):
    grid = {"flipped": FLIPPED_GRID, "sheared": SHEARED_GRID}[kind]
    ct = phantom.write_ct(tmp_path / "ct.nii.gz", **grid)
    labels = phantom.write_vertebrae(tmp_path / "vertebrae.nii.gz", **grid)
    case = case_of(scan_of((ct, labels), grades={**ALL_INTACT, 21: 3})).case
    assert case.fractured == (21,)
    for vertebra in ALL_INTACT:
        volumes = [(one.bodies == vertebra).sum() for one in (case, graded)]
        assert volumes[0] == pytest.approx(volumes[1], rel=0.12)  # a slice has 10 %
        assert case.hu[case.bodies == vertebra].mean() > 260


def test_partial_vertebrae_are_left_out_of_loss_and_counting(phantom, tmp_path):
    """The CT ends within L1: labelled or not, and graded all the same, nothing is claimed of it."""
    grid = {"size": (50, 50, 45)}  # up to z = 68
    ct = phantom.write_ct(tmp_path / "ct.nii.gz", **grid)
    labels = phantom.write_vertebrae(tmp_path / "labels.nii.gz", **grid)
    made = case_of(scan_of((ct, labels), grades={**ALL_INTACT, 20: 3}))
    assert made.case.fractured == ()
    assert made.case.uncertain == (20,)
    assert made.case.uncertain_mask[made.case.bodies == 20].all()
    assert any("L1 cut by the border" in told for told in made.warnings)

    values = phantom.vertebra_at(phantom.positions(**grid))
    unlabelled = phantom.write(tmp_path / "unlabelled.nii.gz", np.where(values == 20, 0, values).astype(np.uint8))
    case = case_of(scan_of((ct, unlabelled), grades=ALL_INTACT)).case
    assert 20 not in case.bodies
    top = np.nonzero((case.bodies == 21).any((1, 2)))[0].max()
    assert (case.fracture_map[top + 1 :] == MAP_UNKNOWN).mean() > 0.99
    assert not case.uncertain_mask[case.bodies > 0].any()


def test_a_scan_without_grades_has_vertebrae_and_claims_nothing_of_them(files):
    case = case_of(scan_of(files)).case
    assert case.has_bodies
    assert case.uncertain == (20, 21, 22, 23)
    assert case.uncertain_mask[case.bodies > 0].all()
    assert not case.has_fracture


def paint_mask(phantom, path, **grid):
    """A drawn fracture: the lower half of L2's body."""
    points = phantom.positions(**grid)
    drawn = (phantom.body_at(points) == 21) & (points[..., 2] < 48)
    return phantom.write(path, drawn.astype(np.uint8), **{k: v for k, v in grid.items() if k != "size"})


@pytest.mark.parametrize("grid", [{}, FLIPPED_GRID, SHEARED_GRID])
def test_a_mask_without_vertebra_labels_becomes_a_case_without_bodies(phantom, files, tmp_path, grid):
    mask = paint_mask(phantom, tmp_path / "fracture.nii.gz", **grid)
    case = case_of(Scan("patient", "scan", files[0], fracture=FractureMask(mask))).case
    assert not case.has_bodies
    assert not case.bodies.any()
    assert case.has_fracture
    assert not case.uncertain_mask.any()
    true_ml = np.pi * 20 * 14 * 9.5 / 1000
    assert case.fracture_mask.sum() / 1000 == pytest.approx(true_ml, rel=0.15)  # a slice has 10 %
    assert case.hu[case.fracture_mask].mean() > 260  # it lies on bone
    assert case.hu.shape[0] > 100  # the whole height of the CT


def test_a_mask_beside_vertebra_labels_keeps_both(phantom, files, tmp_path):
    mask = paint_mask(phantom, tmp_path / "fracture.nii.gz")
    case = case_of(scan_of(files, fracture=FractureMask(mask))).case
    assert case.has_bodies
    assert (case.fractured, case.uncertain) == ((), ())
    share = case.fracture_mask[case.bodies == 21].mean()
    assert share == pytest.approx(0.5, abs=0.1)
    assert not case.fracture_mask[np.isin(case.bodies, (20, 22, 23))].any()


def test_a_fracture_cut_out_of_its_vertebra_is_put_back(phantom, files, graded, tmp_path):
    """One label map with vertebrae and a fracture has no vertebra where the fracture is."""
    points = phantom.positions()
    values = np.where(phantom.body_at(points) == 21, 99, phantom.vertebra_at(points)).astype(np.uint8)
    path = phantom.write(tmp_path / "both.nii.gz", values)
    case = case_of(scan_of((files[0], path), fracture=FractureMask(path, values=(99,)))).case
    assert dice(case.bodies == 21, graded.bodies == 21) > 0.95
    assert case.fracture_mask[case.bodies == 21].mean() > 0.95
    assert not case.fracture_mask[np.isin(case.bodies, (20, 22, 23))].any()


def test_an_empty_mask_says_that_there_is_no_fracture(phantom, files, tmp_path):
    mask = phantom.write(tmp_path / "fracture.nii.gz", np.zeros((56, 50, 50), np.uint8))
    case = case_of(Scan("patient", "scan", files[0], fracture=FractureMask(mask))).case
    assert not case.has_fracture
    assert not case.uncertain_mask.any()


def test_centroids_that_lie_elsewhere_reveal_a_wrong_orientation(files, tmp_path):
    ct = sitk.ReadImage(str(files[0]))

    def points(center_z):
        index = ct.TransformPhysicalPointToContinuousIndex((0.0, 0.0, center_z))
        size = ct.GetSize()
        entries = [{"direction": ["P", "I", "R"]}]  # counted from the other end along z and x
        entries.append({"label": 21, "X": index[1], "Y": size[2] - 1 - index[2], "Z": size[0] - 1 - index[0]})
        path = tmp_path / f"{center_z}.json"
        path.write_text(json.dumps(entries))
        return Centroids(path)

    assert case_of(scan_of(files, centroids=points(48.0))).case.has_bodies
    with pytest.raises(UserError, match="centroid of L2"):
        case_of(scan_of(files, centroids=points(0.0)))


def test_labels_beside_their_ct_are_refused(phantom, files, tmp_path):
    labels = phantom.write_vertebrae(tmp_path / "far.nii.gz")
    image = sitk.ReadImage(str(labels))
    image.SetOrigin((500.0, 0.0, 0.0))
    sitk.WriteImage(image, str(labels))
    with pytest.raises(UserError, match="lies beside its CT"):
        case_of(scan_of((files[0], labels)))


def test_what_is_no_ct_or_lacks_labels_is_said(phantom, files, tmp_path):
    normalized = np.linspace(0, 1, 56 * 50 * 50, dtype=np.float32).reshape(56, 50, 50)
    picture = phantom.write(tmp_path / "mr.nii.gz", normalized)
    with pytest.raises(UserError, match="no CT"):
        case_of(scan_of((picture, files[1])))
    with pytest.raises(UserError, match="lacks vertebra labels"):
        case_of(scan_of(files, vertebrae=None))


def test_bodies_alone_may_be_labelled(phantom, files, tmp_path, graded):
    bodies = phantom.write_vertebrae(tmp_path / "bodies.nii.gz", at=phantom.body_at)
    labels = VertebraLabels(bodies, bodies_only=True)
    case = case_of(scan_of(files, vertebrae=labels, grades={**ALL_INTACT, 21: 3})).case
    assert (case.bodies == 21).sum() == pytest.approx(np.pi * 20 * 14 * 19, rel=0.1)
    assert case.fractured == graded.fractured


def test_the_summary_says_what_is_claimed(graded):
    assert "4 vertebrae judged, 0 not, fractured: L2" in summary(graded)
    drawn = dataclasses.replace(
        graded, fractured=(), has_bodies=False, fracture_map=np.full(graded.hu.shape, MAP_FRACTURE, np.uint8)
    )
    assert "no vertebra labels" in summary(drawn)
    assert "mL drawn" in summary(drawn)
