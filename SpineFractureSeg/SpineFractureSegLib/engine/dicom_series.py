"""The images of a DICOM series to one volume.

*Position* is where a slice's first voxel lies, *depth* the part of it along the normal of the slices. Slices are
ordered by depth, never by file name or instance number. The volume has one slice distance, the median of the series:
where slices are missing or unevenly spaced, it is interpolated at the true depths and the user is told. The slices of a
tilted gantry are shifted sideways to their true positions, so that the volume's axes are at right angles.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from SpineFractureSegLib.engine.dicom_files import DicomSeries, DicomSlice
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.preprocessing import AIR_HU
from SpineFractureSegLib.engine.quiet_itk import quiet_itk

_SAME_DEPTH = 0.02  # of the slice distance
_UNEVEN = 0.1  # of the slice distance
_TILT_DEGREES = 0.1
_SIDEWAYS_MM = 1.0  # that a slice may lie beside the line through the others


def read_series(series: DicomSeries) -> tuple[sitk.Image, list[str]]:
    """Reads the slices into one volume of Hounsfield units with axes at right angles; and warnings.

    Raises: UserError, when the images are no stack of CT slices.
    """
    first = series.slices[0]
    if first.modality not in ("CT", ""):
        raise UserError(f"Series {series.name} is {first.modality}, a CT is needed: choose a CT series.")
    if first.values_per_pixel > 1:
        raise UserError(f"Series {series.name} holds color pictures, a CT is needed: choose the CT series itself.")
    if len(series.slices) == 1 and first.size[2] > 1:
        return _read_images(first.path), []
    _refuse_mixture(series)

    rows, columns = np.reshape(first.orientation, (2, 3))
    normal = np.cross(rows, columns)
    slices, warnings = _without_duplicates(_by_depth(series), normal, series)
    positions = np.array([s.position_mm for s in slices])
    depths = (positions - positions[0]) @ normal
    distance = float(np.median(np.diff(depths))) if len(slices) > 1 else first.spacing_mm[2]
    drift = _sideways_drift(positions, depths, normal, series)

    volume = _read_images([s.path for s in slices])
    if len(slices) > 1:
        volume, distance, told = _evenly_spaced(volume, depths, distance)
        warnings += told
    volume.SetOrigin(slices[0].position_mm)
    volume.SetSpacing((*first.spacing_mm[:2], distance))
    volume.SetDirection(np.stack([rows, columns, normal], axis=1).ravel())
    degrees = float(np.degrees(np.arctan(np.linalg.norm(drift))))
    if degrees > _TILT_DEGREES:
        volume = _straightened(volume, drift)
        warnings.append(f"The slices are tilted by {degrees:.1f} degrees (gantry tilt); they were moved into place.")
    return volume, warnings


def slices_in_order(series: DicomSeries) -> list[DicomSlice]:
    """The slices of a series that ``read_series`` accepts, in the order of its volume; of duplicates the first."""
    rows, columns = np.reshape(series.slices[0].orientation, (2, 3))
    return _without_duplicates(_by_depth(series), np.cross(rows, columns), series)[0]


def _read_images(paths: str | list[str]) -> sitk.Image:
    try:
        with quiet_itk():
            return sitk.ReadImage(paths, imageIO="GDCMImageIO")
    except RuntimeError as error:
        name = paths if isinstance(paths, str) else str(Path(paths[0]).parent)
        raise UserError(
            f"The DICOM images of '{name}' cannot be decoded: they are damaged or compressed in an unknown way, "
            "export the series again."
        ) from error


def _refuse_mixture(series: DicomSeries) -> None:
    """One orientation, size and pixel spacing, and a position for every slice."""
    if any(s.position_mm is None or s.orientation is None for s in series.slices):
        raise UserError(
            f"Series {series.name} has images without a position in the patient, a stack of CT slices is needed: "
            "choose another series."
        )
    kinds = {
        "orientations": Counter(tuple(np.round(s.orientation, 2) + 0.0) for s in series.slices),
        "sizes": Counter(s.size for s in series.slices),
        "pixel spacings": Counter(tuple(np.round(s.spacing_mm[:2], 4)) for s in series.slices),
    }
    for kind, counts in kinds.items():
        if len(counts) > 1:
            numbers = " + ".join(str(n) for n in sorted(counts.values(), reverse=True))
            raise UserError(
                f"Series {series.name} mixes images of {len(counts)} {kind} ({numbers} slices), parallel slices of one "
                "kind are needed: choose another series, or put the slices of one kind into a folder of their own."
            )


def _by_depth(series: DicomSeries) -> list[DicomSlice]:
    rows, columns = np.reshape(series.slices[0].orientation, (2, 3))
    normal = np.cross(rows, columns)
    return sorted(series.slices, key=lambda s: (float(np.dot(s.position_mm, normal)), s.instance))


def _without_duplicates(
    slices: Sequence[DicomSlice], normal: np.ndarray, series: DicomSeries
) -> tuple[list[DicomSlice], list[str]]:
    """The first slice, by instance number, of each depth."""
    depths = np.array([np.dot(s.position_mm, normal) for s in slices])
    steps = np.diff(depths)
    tolerance = _SAME_DEPTH * float(np.median(steps[steps > 1e-3])) if (steps > 1e-3).any() else 1e-3
    kept = [s for s, step in zip(slices, [np.inf, *steps], strict=True) if step > tolerance]
    dropped = len(slices) - len(kept)
    if dropped >= len(kept) > 1:
        raise UserError(
            f"Series {series.name} has {len(slices) / len(kept):.3g} slices at each position (several phases or "
            "reconstructions), one is needed: put the slices of one phase into a folder of their own."
        )
    told = f"{dropped} slices lie where another one lies already; the one with the lower instance number was used."
    return kept, [told] if dropped else []


def _sideways_drift(positions: np.ndarray, depths: np.ndarray, normal: np.ndarray, series: DicomSeries) -> np.ndarray:
    """How far the slices move sideways per mm of depth, as a vector; zero without gantry tilt."""
    if len(positions) < 2:
        return np.zeros(3)
    sideways = positions - positions[0] - np.outer(depths, normal)
    drift = sideways[-1] / depths[-1]
    off = float(np.linalg.norm(sideways - np.outer(depths, drift), axis=1).max())
    if off > _SIDEWAYS_MM:
        raise UserError(
            f"The slices of series {series.name} do not lie behind one another (off by {off:.1f} mm), "
            "one stack of CT slices is needed: choose another series."
        )
    return drift


def _evenly_spaced(volume: sitk.Image, depths: np.ndarray, distance: float) -> tuple[sitk.Image, float, list[str]]:
    """The volume at multiples of the slice distance; interpolated along depth only where slices are not there."""
    steps = np.diff(depths) / distance
    if np.abs(steps - 1).max() < _UNEVEN:
        return volume, float(depths[-1] / (len(depths) - 1)), []
    wanted = np.arange(round(depths[-1] / distance) + 1) * distance
    below = np.clip(np.searchsorted(depths, wanted + 1e-6) - 1, 0, len(depths) - 2)
    weight = np.clip((wanted - depths[below]) / (depths[below + 1] - depths[below]), 0, 1)
    source = sitk.GetArrayViewFromImage(volume)
    result = np.empty((len(wanted), *source.shape[1:]), np.int16)
    for k, (i, w) in enumerate(zip(below, weight, strict=True)):
        result[k] = np.rint((1 - w) * source[i] + w * source[i + 1])
    gaps = [(i, round(step) - 1) for i, step in enumerate(steps) if step > 1.5]
    missing = sum(count for _, count in gaps)
    if missing:
        where = ", ".join(f"{count} after slice {i + 1}" for i, count in gaps[:3]) + (", ..." if len(gaps) > 3 else "")
        told = f"{missing} slices are missing ({where}); they were interpolated from their neighbors."
    else:
        told = (
            f"The slices are {distance * steps.min():.3g} to {distance * steps.max():.3g} mm apart; "
            f"they were interpolated to an even {distance:.3g} mm."
        )
    return sitk.GetImageFromArray(result), distance, [told]


def _straightened(volume: sitk.Image, drift: np.ndarray) -> sitk.Image:
    """Moves each slice sideways by its depth times ``drift`` (a vector per mm), on a grid wide enough for all."""
    axes = np.reshape(volume.GetDirection(), (3, 3))
    along = axes[:, 2] + drift
    stretch = float(np.linalg.norm(along))
    sheared = sitk.Image(volume)
    sheared.SetDirection(np.stack([axes[:, 0], axes[:, 1], along / stretch], axis=1).ravel())
    sheared.SetSpacing((*volume.GetSpacing()[:2], volume.GetSpacing()[2] * stretch))

    depth = (volume.GetSize()[2] - 1) * volume.GetSpacing()[2]
    shift = (axes[:, :2].T @ drift) * depth / volume.GetSpacing()[:2]  # columns and rows, of the last slice
    size = [int(n + np.ceil(abs(s))) for n, s in zip(volume.GetSize(), shift, strict=False)]
    before = [float(np.floor(min(s, 0.0))) for s in shift]
    origin = volume.TransformContinuousIndexToPhysicalPoint((*before, 0.0))
    return sitk.Resample(
        sheared,
        (*size, volume.GetSize()[2]),
        sitk.Transform(),
        sitk.sitkLinear,
        origin,
        volume.GetSpacing(),
        volume.GetDirection(),
        AIR_HU,
    )
