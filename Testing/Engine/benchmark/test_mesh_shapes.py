"""A vertebra of a made spine as a mesh of its voxels' faces, put back into the same spine."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from SpineFractureSegLib.engine.benchmark.mesh_shapes import MeshShape, read_shape_table, shape_in_spine
from SpineFractureSegLib.engine.errors import UserError

L1, T12 = 20, 19


def write_voxels(path, mask):
    """The surface of a mask as a PLY file, two triangles per face; x, y, z in mm."""
    corner = np.array([(0, 0), (0, 1), (1, 1), (1, 0)])
    quads = []
    for axis in range(3):
        others = [k for k in range(3) if k != axis]
        for side in (0, 1):
            hidden = np.roll(mask, 1 if side == 0 else -1, axis)
            faces = np.argwhere(mask & ~hidden)[:, None, :].repeat(4, axis=1).astype(float)
            faces[:, :, axis] += side
            faces[:, :, others] += corner
            quads.append(faces - 0.5)
    quads = np.concatenate(quads)
    points = quads.reshape(-1, 3)[:, ::-1].astype("<f4")
    first = np.arange(0, len(points), 4)[:, None]
    triangles = np.concatenate([first + (0, 1, 2), first + (0, 2, 3)])
    faces = np.zeros(len(triangles), [("n", "u1"), ("i", "<i4", 3)])
    faces["n"], faces["i"] = 3, triangles
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\n"
    head += "".join(f"property float {axis}\n" for axis in "xyz")
    head += f"element face {len(triangles)}\nproperty list uchar int vertex_indices\nend_header\n"
    path.write_bytes(head.encode() + points.tobytes() + faces.tobytes())


def middle(spine, vertebra):
    return np.array(np.nonzero((spine.vertebrae == vertebra) & spine.bodies)).mean(axis=1)


def test_a_vertebra_put_back_in_its_place_changes_nothing(label_spine, tmp_path):
    write_voxels(tmp_path / "same.ply", label_spine.vertebrae == L1)
    shape = shape_in_spine(MeshShape(tmp_path / "same.ply", L1, 0), [label_spine])
    made = shape.spine.vertebrae[: len(label_spine.vertebrae)]
    for vertebra in (21, 20, 19):
        own, before = made == vertebra, label_spine.vertebrae == vertebra
        assert 2 * (own & before).sum() / (own.sum() + before.sum()) > 0.95
    assert (shape.spine.genant, shape.grades, shape.spine.patient) == ({}, {L1: 0}, "same")


def test_the_column_comes_down_on_a_crushed_one_and_the_disc_stays(label_spine, tmp_path):
    crushed = np.delete(label_spine.vertebrae == L1, np.s_[50:60], axis=0)  # 10 of its 24 mm
    write_voxels(tmp_path / "crushed.ply", crushed)
    spine = shape_in_spine(MeshShape(tmp_path / "crushed.ply", L1, 3), [label_spine]).spine
    body = (spine.vertebrae == L1) & spine.bodies
    assert np.ptp(np.nonzero(body)[0]) + 1 == pytest.approx(14, abs=1)
    fallen = middle(label_spine, T12) - middle(spine, T12)
    assert fallen == pytest.approx((10, 0, 0), abs=1)
    gap = np.nonzero((spine.vertebrae == T12) & spine.bodies)[0].min() - np.nonzero(body)[0].max() - 1
    assert gap == pytest.approx(8, abs=1)
    assert np.array_equal(spine.vertebrae[:35] == 21, label_spine.vertebrae[:35] == 21)
    assert spine.genant == {L1: 3}


def test_where_the_mesh_lies_and_how_large_it_is_does_not_matter(label_spine, tmp_path):
    small = ndimage.zoom((label_spine.vertebrae == L1).astype(float), 0.85, order=1) > 0.5
    write_voxels(tmp_path / "small.ply", small[:, 10:, 5:])
    spine = shape_in_spine(MeshShape(tmp_path / "small.ply", L1, 2), [label_spine]).spine
    assert middle(spine, L1) == pytest.approx(middle(label_spine, L1), abs=1)
    body = (spine.vertebrae == L1) & spine.bodies
    before = (label_spine.vertebrae == L1) & label_spine.bodies
    assert body.sum() == pytest.approx(before.sum(), rel=0.1)


def test_what_is_no_vertebra_of_this_level_is_refused(label_spine, tmp_path):
    ball = sum((axis - 40.0) ** 2 for axis in np.ogrid[:80, :80, :80]) < 35**2
    write_voxels(tmp_path / "ball.ply", ball)
    with pytest.raises(UserError, match="does not look like L1"):
        shape_in_spine(MeshShape(tmp_path / "ball.ply", L1, 2), [label_spine])


def test_a_spine_whose_neighbors_are_fractured_is_no_host(label_spine, tmp_path):
    write_voxels(tmp_path / "m.ply", label_spine.vertebrae == L1)
    broken = replace(label_spine, genant={21: 2})
    with pytest.raises(UserError, match="No spine of the library can take a mesh of L1"):
        shape_in_spine(MeshShape(tmp_path / "m.ply", L1, 2), [broken])


def test_the_table_says_which_mesh_is_what(tmp_path):
    (tmp_path / "a.ply").touch()
    table = tmp_path / "shapes.csv"
    table.write_text("file,vertebra,genant\na.ply,L1,3\n")
    assert read_shape_table(tmp_path, table) == [MeshShape(tmp_path / "a.ply", 20, 3)]
    wrong = {"b.ply,L1,3": "existing file", "a.ply,Q1,3": "vertebra such as L1", "a.ply,L1,4": "0 to 3"}
    for row, words in wrong.items():
        table.write_text(f"file,vertebra,genant\n{row}\n")
        with pytest.raises(UserError, match=words):
            read_shape_table(tmp_path, table)
    table.write_text("file,vertebra,genant\n")
    with pytest.raises(UserError, match="no rows"):
        read_shape_table(tmp_path, table)
    with pytest.raises(UserError, match="--shapes-table"):
        read_shape_table(tmp_path, tmp_path / "none.csv")
