"""What ITK's NIfTI reader does not tell: a file that ends too early, and axes that are not at right angles.

ITK reads a truncated NIfTI file without complaint and leaves the rest as it is, and it refuses an affine matrix (the
header's "sform") with shear. Both are read from the header here. Words of the NIfTI-1 and NIfTI-2 standards.
"""

import gzip
import math
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from SpineFractureSegLib.engine.errors import UserError

_PERMISSIVE = "ITK_NIFTI_SFORM_PERMISSIVE"
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])
_LAYOUTS = {  # by the size of the header in bytes: struct format and offset of each field
    348: {  # NIfTI-1
        "dim": ("8h", 40),
        "bits": ("h", 72),
        "start": ("f", 108),
        "units": ("B", 123),
        "codes": ("2h", 252),
        "rows": ("12f", 280),
    },
    540: {  # NIfTI-2
        "bits": ("h", 14),
        "dim": ("8q", 16),
        "start": ("q", 168),
        "codes": ("2i", 344),
        "rows": ("12d", 400),
        "units": ("i", 500),
    },
}
_MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}  # meter, millimeter, micrometer


@dataclass(frozen=True)
class NiftiHeader:
    """The fields of the header that are needed here."""

    file_bytes: int  # of the uncompressed file, when it is complete
    qform_code: int
    sform_code: int
    sform_mm: np.ndarray  # (3, 4), voxel index to RAS


def read_header(path: Path) -> NiftiHeader:
    """Reads the header of a .nii or .nii.gz file.

    Raises: UserError, when it is not one.
    """
    try:
        with gzip.open(path) if _is_gzip(path) else path.open("rb") as file:
            raw = file.read(540)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"'{path}' is damaged or incomplete ({error}): copy or export it again.") from error
    for order in "<>":
        for size, layout in _LAYOUTS.items():
            if len(raw) >= size and struct.unpack_from(order + "i", raw)[0] == size:
                return _parse(raw, {name: (order + kind, at) for name, (kind, at) in layout.items()})
    raise UserError(f"'{path}' is not a NIfTI image though its name says so: choose a CT.")


def refuse_incomplete(path: Path, header: NiftiHeader) -> None:
    """Raises: UserError, when the file holds less than its header announces."""
    if not _is_gzip(path):
        found = path.stat().st_size
    else:
        with path.open("rb") as file:
            file.seek(-4, os.SEEK_END)
            announced = struct.unpack("<I", file.read(4))[0]  # of the last gzip member, modulo 2^32
        complete = announced == header.file_bytes % 2**32
        found = header.file_bytes if complete else _unpacked_bytes(path)
    if found < header.file_bytes:
        raise UserError(
            f"'{path}' is incomplete: it holds {found} bytes of the {header.file_bytes} that its header announces, "
            "copy or export it again."
        )


def read_with_shear(path: Path, header: NiftiHeader) -> sitk.Image:
    """Reads a file whose affine matrix ITK refuses, and gives the image the matrix's true axes.

    Raises: RuntimeError, as ITK does, when it cannot be read even so.
    """
    before = os.environ.get(_PERMISSIVE)
    os.environ[_PERMISSIVE] = "ON"
    try:
        image = sitk.ReadImage(str(path))
    finally:
        os.environ.pop(_PERMISSIVE)
        if before is not None:
            os.environ[_PERMISSIVE] = before
    matrix = _RAS_TO_LPS @ header.sform_mm
    spacing = np.linalg.norm(matrix[:, :3], axis=0)
    if image.GetDimension() == 3 and header.sform_code > 0 and abs(np.linalg.det(matrix[:, :3])) > 1e-9:
        image.SetSpacing(spacing)
        image.SetDirection((matrix[:, :3] / spacing).ravel())
        image.SetOrigin(matrix[:, 3])
    return image


def _parse(raw: bytes, layout: dict[str, tuple[str, int]]) -> NiftiHeader:
    fields = {name: struct.unpack_from(kind, raw, at) for name, (kind, at) in layout.items()}
    used, *sizes = fields["dim"]
    voxels = math.prod(max(size, 1) for size in sizes[: max(used, 0)])
    rows = np.reshape(fields["rows"], (3, 4)) * _MM_PER_UNIT.get(fields["units"][0] & 7, 1.0)
    return NiftiHeader(int(fields["start"][0]) + voxels * fields["bits"][0] // 8, *fields["codes"], rows)


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _unpacked_bytes(path: Path) -> int:
    """Counts what can be unpacked; stops where the file is damaged."""
    count = 0
    try:
        with gzip.open(path) as file:
            while block := file.read(1 << 20):
                count += len(block)
    except (OSError, EOFError, zlib.error):
        pass
    return count
