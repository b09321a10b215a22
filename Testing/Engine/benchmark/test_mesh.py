import struct

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from SpineFractureSegLib.engine.benchmark.mesh import read_ply, voxelized
from SpineFractureSegLib.engine.errors import UserError


def write_ply(path, points, triangles):
    head = f"ply\nformat binary_little_endian 1.0\ncomment made\nelement vertex {len(points)}\n"
    head += "property float x\nproperty float y\nproperty float z\nproperty float nx\n"
    head += f"element face {len(triangles)}\nproperty list uchar int vertex_indices\nend_header\n"
    body = b"".join(struct.pack("<4f", *point, 0.5) for point in points)
    body += b"".join(struct.pack("<B3i", 3, *corners) for corners in triangles)
    path.write_bytes(head.encode() + body)


def ellipsoid(half_mm, center_mm, count=3000):
    k = np.arange(count) + 0.5
    polar, around = np.arccos(1 - 2 * k / count), np.pi * (1 + 5**0.5) * k
    sphere = np.stack([np.cos(around) * np.sin(polar), np.sin(around) * np.sin(polar), np.cos(polar)], axis=1)
    points = sphere * half_mm + center_mm
    return points, ConvexHull(points).simplices


def test_a_mesh_is_read_as_it_was_written(tmp_path):
    points, triangles = ellipsoid((4, 5, 6), (1, 2, 3), 50)
    write_ply(tmp_path / "m.ply", points, triangles)
    read_points, read_triangles = read_ply(tmp_path / "m.ply")
    assert np.allclose(read_points, points, atol=1e-6)
    assert np.array_equal(read_triangles, triangles)


def test_the_inside_has_the_volume_and_the_extent_of_the_surface():
    half = np.array((12.0, 20.0, 9.0))  # x, y, z
    mask = voxelized(*ellipsoid(half, (-31.7, 12.3, 250.9)))
    assert mask.sum() == pytest.approx(4 / 3 * np.pi * half.prod(), rel=0.01)
    extent = [np.ptp(np.nonzero(mask)[axis]) + 1 for axis in (2, 1, 0)]
    assert np.abs(extent - 2 * half).max() <= 1.5
    assert not mask[:2].any()
    assert not mask[:, :, -2:].any()


def test_a_cavity_is_not_inside():
    outer, outer_triangles = ellipsoid((12, 12, 12), (0, 0, 0))
    inner, inner_triangles = ellipsoid((6, 6, 6), (0, 0, 0))
    mask = voxelized(np.concatenate([outer, inner]), np.concatenate([outer_triangles, inner_triangles + len(outer)]))
    assert not mask[tuple(size // 2 for size in mask.shape)]
    assert mask.sum() == pytest.approx(4 / 3 * np.pi * (12**3 - 6**3), rel=0.02)


@pytest.mark.parametrize("content", [b"", b"ply\nformat ascii 1.0\nend_header\n0 0 0\n", b"solid stl"])
def test_another_file_is_refused_in_one_sentence(tmp_path, content):
    (tmp_path / "m.ply").write_bytes(content)
    with pytest.raises(UserError, match="no binary little-endian PLY"):
        read_ply(tmp_path / "m.ply")


def test_a_mesh_that_was_cut_off_is_refused(tmp_path):
    points, triangles = ellipsoid((4, 5, 6), (1, 2, 3), 50)
    write_ply(tmp_path / "m.ply", points, triangles)
    whole = (tmp_path / "m.ply").read_bytes()
    (tmp_path / "m.ply").write_bytes(whole[:-40])
    with pytest.raises(UserError, match="no mesh of triangles"):
        read_ply(tmp_path / "m.ply")
