"""A closed surface as voxels: PLY files of triangles, as VTK and most other programs write them."""

import re
from pathlib import Path

import numpy as np

from SpineFractureSegLib.engine.errors import UserError

_TYPES = {"float": "f4", "float32": "f4", "double": "f8", "float64": "f8", "uchar": "u1", "uint8": "u1", "char": "i1"}
_TYPES |= {"int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "short": "i2", "ushort": "u2"}
_BESIDE_MM = (1.3e-4, 2.7e-4)  # voxel columns pass beside the vertices, where a ray would count a triangle twice


def read_ply(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Points float64 (N, 3) and triangles int64 (M, 3) of a binary little-endian PLY file.

    Raises: UserError, when the file is none.
    """
    data = Path(path).read_bytes()
    head, _, body = data.partition(b"end_header\n")
    text = head.decode("ascii", "replace")
    if not text.startswith("ply") or "format binary_little_endian" not in text or not body:
        raise UserError(f"'{path}' is no binary little-endian PLY file: save the mesh as one.")
    try:
        elements = {}
        for part in re.split(r"^element ", text, flags=re.MULTILINE)[1:]:
            name, count = part.splitlines()[0].split()
            elements[name] = int(count), re.findall(r"^property (.+)$", part, flags=re.MULTILINE)
        count, properties = elements["vertex"]
        vertex = np.dtype([(word.split()[1], "<" + _TYPES[word.split()[0]]) for word in properties])
        vertices = np.frombuffer(body, vertex, count)
        _, count_type, index_type, _ = elements["face"][1][0].split()
        face = np.dtype([("count", "<" + _TYPES[count_type]), ("corners", "<" + _TYPES[index_type], 3)])
        faces = np.frombuffer(body, face, elements["face"][0], offset=vertices.nbytes)
        points = np.stack([vertices[axis] for axis in "xyz"], axis=1).astype(np.float64)
        triangles = faces["corners"].astype(np.int64)
        if (faces["count"] != 3).any() or triangles.max() >= len(points) or not np.isfinite(points).all():
            raise ValueError("its faces are not triangles of its points")
    except (KeyError, ValueError, IndexError) as error:
        raise UserError(f"'{path}' holds no mesh of triangles: {error}; save the surface as triangles.") from error
    return points, triangles


def voxelized(points: np.ndarray, triangles: np.ndarray, margin: int = 3) -> np.ndarray:
    """The inside of a closed surface at 1 mm: bool (Z, Y, X), with ``margin`` empty voxels around.

    A voxel is inside when a ray from below to its center crosses the surface an odd number of times.

    Args: points: (N, 3) x, y, z in mm; triangles: (M, 3) indices.
    """
    points = points - np.floor(points.min(axis=0)) + margin
    shape = tuple(int(size) + margin + 1 for size in np.ceil(points.max(axis=0))[::-1])
    points[:, :2] += _BESIDE_MM
    corners = points[triangles]  # (M, corner, axis)
    low = np.ceil(corners[:, :, :2].min(axis=1)).astype(int)
    high = np.floor(corners[:, :, :2].max(axis=1)).astype(int)
    crossings = np.zeros(shape, np.int32)
    for dx, dy in np.ndindex(*(high - low + 1).max(axis=0)):
        column = low + (dx, dy)
        reached = np.flatnonzero((column <= high).all(axis=1))
        a, b, c = corners[reached].transpose(1, 0, 2)
        weights = _barycentric(column[reached], a, b, c)
        hit = (weights >= 0).all(axis=0)
        z = sum(weight * corner[:, 2] for weight, corner in zip(weights, (a, b, c), strict=True))[hit]
        x, y = column[reached][hit].T
        np.add.at(crossings, (np.ceil(z).astype(int), y, x), 1)
    return np.cumsum(crossings, axis=0) % 2 == 1


def _barycentric(place: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """(3, M) weights of the corners at these places (M, 2), seen along z; negative outside, and where it is an edge."""
    a, b, c = (corner[:, :2] - place for corner in (a, b, c))
    doubled = _cross(b - a, c - a)
    flat = np.abs(doubled) < 1e-12
    first, second = _cross(b, c), _cross(c, a)
    weights = np.stack([first, second, doubled - first - second]) / np.where(flat, 1.0, doubled)
    return np.where(flat, -1.0, weights)


def _cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
