"""Which DICOM images lie in a folder, and which of them form a series. Reads headers, no voxels.

A DICOM file carries the mark ``DICM`` at byte 128; reports, structure sets and damaged images carry it too, and count
as *damaged* here: ITK cannot read an image from them.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.quiet_itk import quiet_itk


@dataclass(frozen=True)
class DicomSlice:
    """What the header of one file says of its image."""

    path: str
    series_uid: str
    description: str
    modality: str
    size: tuple[int, ...]  # columns, rows, frames
    values_per_pixel: int
    spacing_mm: tuple[float, float, float]  # along a row, along a column, thickness
    position_mm: tuple[float, ...] | None  # LPS
    orientation: tuple[float, ...] | None  # directions of a row and of a column
    instance: int


@dataclass(frozen=True)
class DicomSeries:
    """The images of one series, in no order."""

    slices: tuple[DicomSlice, ...]

    @property
    def uid(self) -> str:
        return self.slices[0].series_uid

    @property
    def name(self) -> str:
        """Description, modality and number of images, to tell series apart."""
        first = self.slices[0]
        count = sum(s.size[2] for s in self.slices)
        return f"'{first.description or 'no description'}' ({first.modality or 'no modality'}, {count} slices)"


def is_dicom_file(path: Path) -> bool:
    """Whether the file carries the DICOM mark."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def choose_series(folder: Path, wanted: str | int | None) -> tuple[DicomSeries, list[str]]:
    """The series of a folder and all folders below, and warnings.

    Args:
        folder: is searched to the bottom.
        wanted: a series' UID, or its number from 1 on in the order that the message lists them; None where the folder
            holds only one.

    Raises: UserError, when there is no image or the choice is not clear; the message lists the series.
    """
    slices, damaged = _read_headers(Path(where) / name for where, _, names in os.walk(folder) for name in sorted(names))
    groups: dict[str, list[DicomSlice]] = {}
    for one in slices:
        groups.setdefault(one.series_uid, []).append(one)
    all_series = sorted(
        (DicomSeries(tuple(group)) for group in groups.values()), key=lambda s: (s.slices[0].description, s.uid)
    )
    if not all_series:
        also = f" ({damaged} DICOM files there cannot be read as images)" if damaged else ""
        raise UserError(f"'{folder}' holds no DICOM images{also}: choose the folder with the slices of a CT series.")
    warnings = _warn_of_damaged(damaged)
    if wanted is None and len(all_series) == 1:
        return all_series[0], warnings
    chosen = [s for k, s in enumerate(all_series, 1) if str(wanted).strip() in (s.uid, str(k))]
    if not chosen:
        listing = "; ".join(f"{k}: {s.name}" for k, s in enumerate(all_series, 1))
        missing = "" if wanted is None else f", none of them '{wanted}'"
        raise UserError(
            f"'{folder}' holds {len(all_series)} series{missing}: "
            f"choose one by number or UID with --series ({listing})."
        )
    return chosen[0], warnings


def series_of_file(path: Path) -> tuple[DicomSeries, list[str]]:
    """The whole series that a DICOM file belongs to, from the file's own folder, and warnings.

    Raises: UserError, when the file holds no image.
    """
    own, _ = _read_headers([path])
    if not own:
        raise UserError(f"'{path}' is a DICOM file without a readable image: choose a slice of a CT series.")
    slices, damaged = _read_headers(other for other in sorted(path.parent.iterdir()) if other.is_file())
    return DicomSeries(tuple(s for s in slices if s.series_uid == own[0].series_uid)), _warn_of_damaged(damaged)


def _warn_of_damaged(count: int) -> list[str]:
    return [f"{count} DICOM files cannot be read as images; they were left out."] if count else []


def _read_headers(paths: Iterable[Path]) -> tuple[list[DicomSlice], int]:
    """The readable images, and the number of DICOM files that are not."""
    slices, damaged = [], 0
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    with quiet_itk():
        for path in paths:
            if not is_dicom_file(path):
                continue
            reader.SetFileName(str(path))
            try:
                reader.ReadImageInformation()
                slices.append(_slice_from(reader, str(path)))
            except (RuntimeError, ValueError):
                damaged += path.name.upper() != "DICOMDIR"
    return slices, damaged


def _slice_from(reader: sitk.ImageFileReader, path: str) -> DicomSlice:
    def text(tag: str) -> str:
        if not reader.HasMetaDataKey(tag):
            return ""
        raw = reader.GetMetaData(tag).encode("utf-8", "surrogateescape")  # whatever character set the file is in
        return raw.decode("utf-8" if _is_utf8(raw) else "latin-1").strip(" \0")

    def numbers(tag: str, count: int) -> tuple[float, ...] | None:
        values = [float(part) for part in text(tag).split("\\") if part.strip()]
        return tuple(values) if len(values) == count else None

    size = tuple(reader.GetSize())
    thickness = numbers("0018|0050", 1)
    return DicomSlice(
        path=path,
        series_uid=text("0020|000e"),
        description=text("0008|103e"),
        modality=text("0008|0060"),
        size=size if len(size) > 2 else (*size, 1),
        values_per_pixel=reader.GetNumberOfComponents(),
        spacing_mm=(*reader.GetSpacing()[:2], thickness[0] if thickness and thickness[0] > 0 else 1.0),
        position_mm=numbers("0020|0032", 3),
        orientation=numbers("0020|0037", 6),
        instance=int((numbers("0020|0013", 1) or (0,))[0]),
    )


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
