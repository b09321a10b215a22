"""A made patient who is the same wherever and however the scanner looks: painted from positions, not from indices.

Four lumbar vertebrae (L1 to L4, ids 20 to 23), one above the other every 24 mm, each with a body and an arch, in soft
tissue, fat and air. Positions are LPS in mm: x to the left, y to the back, z up.
"""

import gzip

import numpy as np
import SimpleITK as sitk

CENTER_Z = {23: 0.0, 22: 24.0, 21: 48.0, 20: 72.0}
HALF_HEIGHT = 9.5
AXIAL = np.diag([2.0, 2.0, 2.0])
SIZE, ORIGIN = (50, 50, 56), (-50.3, -40.2, -20.4)  # no surface halfway between voxels


def body_at(points):
    """uint8: id of the body at each position (..., 3)."""
    x, y, z = np.moveaxis(points, -1, 0)
    ids = np.zeros(x.shape, np.uint8)
    for vertebra, center in CENTER_Z.items():
        ids[((x / 20) ** 2 + (y / 14) ** 2 < 1) & (np.abs(z - center) < HALF_HEIGHT)] = vertebra
    return ids


def vertebra_at(points):
    """uint8: id of the vertebra, arch and processes included."""
    x, y, z = np.moveaxis(points, -1, 0)
    ids = body_at(points)
    for vertebra, center in CENTER_Z.items():
        pedicle = (np.abs(np.abs(x) - 13) < 2.5) & (y > 8) & (y < 28) & (np.abs(z - center) < 5)
        lamina = (np.abs(x) < 15) & (y > 26) & (y < 32) & (np.abs(z - center) < 6)
        ids[(pedicle | lamina) & (ids == 0)] = vertebra
    return ids


def hu_at(points):
    """int16: Hounsfield units."""
    x, y, _ = np.moveaxis(points, -1, 0)
    radius = np.hypot(x, y - 8)
    hu = np.select([radius < 34, radius < 44], [40, -100], -1000).astype(np.int16)
    return np.where(vertebra_at(points) > 0, 300, hu).astype(np.int16)


def positions(size=SIZE, matrix=AXIAL, origin=ORIGIN):
    """(Z, Y, X, 3): the position of every voxel of a grid; ``matrix`` takes a step of (i, j, k) to mm."""
    k, j, i = np.meshgrid(*(np.arange(n) for n in size[::-1]), indexing="ij")
    return np.stack([i, j, k], -1) @ np.asarray(matrix).T + origin


def image(array, matrix=AXIAL, origin=ORIGIN):
    """A SimpleITK image with these axes, at right angles or not."""
    result = sitk.GetImageFromArray(array)
    spacing = np.linalg.norm(matrix, axis=0)
    result.SetSpacing(spacing)
    result.SetDirection((np.asarray(matrix) / spacing).ravel())
    result.SetOrigin(origin)
    return result


def write(path, array, matrix=AXIAL, origin=ORIGIN):
    """Writes an array; NIfTI headers get the matrix itself, which ITK would refuse to write when it has shear."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.name.endswith((".nii", ".nii.gz")):
        sitk.WriteImage(image(array, matrix, origin), str(path), useCompression=True)
        return path
    plain = path.with_name("plain.nii")
    sitk.WriteImage(sitk.GetImageFromArray(array), str(plain))
    raw = bytearray(plain.read_bytes())
    plain.unlink()
    raw[252:256] = np.array([0, 1], "<i2").tobytes()  # no qform, sform
    rows = np.diag([-1.0, -1.0, 1.0]) @ np.column_stack([matrix, origin])
    raw[280:328] = rows.astype("<f4").tobytes()
    raw[76:92] = np.array([1, *np.linalg.norm(matrix, axis=0)], "<f4").tobytes()
    path.write_bytes(gzip.compress(bytes(raw), 1) if path.name.endswith(".gz") else bytes(raw))
    return path


def write_ct(path, **grid):
    return write(path, hu_at(positions(**grid)), **{k: v for k, v in grid.items() if k != "size"})


def write_vertebrae(path, kind=np.uint8, at=vertebra_at, **grid):
    return write(path, at(positions(**grid)).astype(kind), **{k: v for k, v in grid.items() if k != "size"})
