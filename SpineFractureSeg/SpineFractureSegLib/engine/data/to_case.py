"""A described scan on the working grid, as a case that the trainer takes. Geometry comes from affine matrices alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from SpineFractureSegLib.engine.case import MAP_FRACTURE, MAP_UNKNOWN, Case
from SpineFractureSegLib.engine.common_lattice import fields_touch
from SpineFractureSegLib.engine.ct_check import check_ct
from SpineFractureSegLib.engine.data.carved import restore_carved
from SpineFractureSegLib.engine.data.centroids import read_centroids
from SpineFractureSegLib.engine.data.fracture_truth import (
    FractureTruth,
    LabelPolicy,
    truth_of_grades,
    truth_of_levels,
    truth_of_mask,
)
from SpineFractureSegLib.engine.data.label_map import read_fracture, read_vertebrae
from SpineFractureSegLib.engine.data.rsna_boxes import boxes_on_grid
from SpineFractureSegLib.engine.data.scan import Scan
from SpineFractureSegLib.engine.data.vertebra_ids import NAMES, NOT_MOBILE, shown
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.orientation import WorkingVolume, to_working_grid
from SpineFractureSegLib.engine.simulator.bodies import vertebral_bodies
from SpineFractureSegLib.engine.simulator.shape_builder import labels_on_grid
from SpineFractureSegLib.engine.simulator.shapes import crop_box
from SpineFractureSegLib.engine.volume import VolumeRead, read_ct

SPACING_MM = 1.0  # of cases
MARGIN_MM = (40, 70, 50)  # z, y, x kept around vertebrae and fractures; a CT without vertebra labels is kept whole
_CUT_MM = 1.5  # from the border of the CT: the layer in which a body that the border cuts has voxels
_CUT_SHARE = 0.01  # of the body's voxels; a cut endplate has 4 % and more, the tip of a process that is in it less
_TISSUE_HU = -500
_CENTROID_MM = 20.0  # that a centroid may lie outside its vertebra


@dataclass(frozen=True)
class ScanCase:
    """A case, and what the user should know of how it came about."""

    case: Case
    warnings: tuple[str, ...]


def case_of(
    scan: Scan,
    policy: LabelPolicy = LabelPolicy(),  # noqa: B008
    about: dict | None = None,
) -> ScanCase:
    """Reads a scan and its labels.

    Args:
        scan: from a reader of this package.
        policy: how grades and levels become labels.
        about: goes into the case's ``truth`` (JSON types), for example where the data come from.

    Raises: UserError, when the scan lacks what is needed, or a file cannot be used.
    """
    if not scan.usable:
        raise UserError(f"Scan {scan.name} lacks {', '.join(scan.missing)}: nothing can be learned from it.")
    read = read_ct(scan.image)
    warnings = [*scan.problems, *read.warnings, *check_ct(read.image)]
    grid = to_working_grid(read.image, SPACING_MM)
    vertebrae, bodies = np.zeros(grid.hu.shape, np.uint8), np.zeros(grid.hu.shape, np.uint8)
    if scan.vertebrae is not None:
        labels = read_vertebrae(scan.vertebrae)
        _refuse_apart(read.image, labels, scan.vertebrae.path)
        _check_centroids(scan, read.image, labels)
        vertebrae = _on_grid(labels, grid)
        if scan.fracture is not None and scan.fracture.path == scan.vertebrae.path:
            vertebrae = restore_carved(vertebrae, _on_grid(read_fracture(scan.fracture), grid) == MAP_FRACTURE)
        bodies = vertebrae if scan.vertebrae.bodies_only else np.where(vertebral_bodies(vertebrae), vertebrae, 0)
        bodies = np.where(np.isin(bodies, NOT_MOBILE), 0, bodies).astype(np.uint8)
    cut = _cut_by_border(bodies, grid, read.image)
    truth = _truth(scan, read, grid, vertebrae, bodies, cut, policy, warnings)
    if cut:
        warnings.append(f"{shown(cut)} cut by the border of the CT")
    box = _kept_box(grid.hu, vertebrae, truth)
    hu, bodies = (np.ascontiguousarray(volume[box]) for volume in (grid.hu, bodies))
    fracture_map = None if truth.fracture_map is None else np.ascontiguousarray(truth.fracture_map[box])
    if fracture_map is not None and not fracture_map.any() and scan.fracture is None:
        fracture_map = None
    case = Case(
        name=scan.name,
        patient=scan.patient,
        hu=np.rint(hu).astype(np.int16),
        bodies=bodies,
        fractured=truth.fractured,
        uncertain=truth.uncertain,
        has_bodies=bool(bodies.any()),
        spacing_mm=SPACING_MM,
        truth={**(about or {}), "real_ct": True, "as_scanned": True, "vertebrae": _about_vertebrae(scan, truth)},
        fracture_map=fracture_map,
    )
    return ScanCase(case, tuple(warnings))


def _truth(
    scan: Scan,
    read: VolumeRead,
    grid: WorkingVolume,
    vertebrae: np.ndarray,
    bodies: np.ndarray,
    cut: set[int],
    policy: LabelPolicy,
    warnings: list[str],
) -> FractureTruth:
    if scan.fracture is not None:
        mask = read_fracture(scan.fracture)
        if sitk.GetArrayViewFromImage(mask).any():
            _refuse_apart(read.image, mask, scan.fracture.path)
        return truth_of_mask(_on_grid(mask, grid), cut)
    if scan.levels is None:
        return truth_of_grades(vertebrae, bodies, scan.grades, cut, policy, SPACING_MM)
    boxes = None
    if scan.boxes and read.series is None:
        warnings.append("boxes are left out, as the image is not DICOM")
    elif scan.boxes:
        boxes, lost = boxes_on_grid(scan.boxes, read.series, grid.origin_mm, grid.hu.shape, SPACING_MM)
        if lost:
            warnings.append(f"{lost} boxes name slices that are not there")
    return truth_of_levels(vertebrae, bodies, scan.levels, boxes, cut, policy, SPACING_MM)


def _on_grid(labels: sitk.Image, grid: WorkingVolume) -> np.ndarray:
    """uint8 (Z, Y, X): label values on the working grid."""
    values = {int(value): int(value) for value in np.unique(sitk.GetArrayViewFromImage(labels)) if value}
    return labels_on_grid(labels, grid.origin_mm, grid.hu.shape, values)


def _refuse_apart(ct: sitk.Image, labels: sitk.Image, path: object) -> None:
    if not (fields_touch(ct, labels) or fields_touch(labels, ct)):
        raise UserError(f"'{path}' lies beside its CT in space, both must show the same place: check the pair.")


def _check_centroids(scan: Scan, ct: sitk.Image, labels: sitk.Image) -> None:
    """Refuses labels that do not lie where the centroids lie: an orientation in a header is wrong."""
    if scan.centroids is None:
        return
    points = read_centroids(scan.centroids.path, ct, scan.centroids.isotropic)
    values = sitk.GetArrayViewFromImage(labels)
    for vertebra, point in points.items():
        voxels = np.argwhere(values == vertebra)[:, ::-1]  # (N, 3), x, y, z
        if not len(voxels):
            continue
        distance = float(np.linalg.norm(_positions(labels, voxels) - point, axis=1).min())
        if distance > _CENTROID_MM:
            raise UserError(
                f"The centroid of {NAMES.get(vertebra, vertebra)} in '{scan.centroids.path}' lies {distance:.0f} mm "
                "outside its label, at most some mm are expected: the orientation in one of the headers is wrong."
            )


def _cut_by_border(bodies: np.ndarray, grid: WorkingVolume, ct: sitk.Image) -> set[int]:
    """Ids of the bodies of which a face of the CT's field of view cuts off more than a tip."""
    origin = np.array(grid.origin_mm)
    to_index = np.linalg.inv(_matrix(ct))
    spacing, last = np.array(ct.GetSpacing()), np.array(ct.GetSize()) - 1
    cut = set()
    for vertebra in (int(v) for v in np.unique(bodies) if v):
        points = origin + np.argwhere(bodies == vertebra)[:, ::-1] * grid.spacing_mm
        index = (points - ct.GetOrigin()) @ to_index.T
        to_border = (np.minimum(index, last - index) * spacing).min(axis=1)  # mm
        if (to_border < _CUT_MM).mean() > _CUT_SHARE:
            cut.add(vertebra)
    return cut


def _positions(image: sitk.Image, indices: np.ndarray) -> np.ndarray:
    return indices @ _matrix(image).T + image.GetOrigin()


def _matrix(image: sitk.Image) -> np.ndarray:
    """(3, 3): a step of index (x, y, z) to a step in mm."""
    return np.reshape(image.GetDirection(), (3, 3)) * np.array(image.GetSpacing())


def _kept_box(hu: np.ndarray, vertebrae: np.ndarray, truth: FractureTruth) -> tuple[slice, ...]:
    """Around vertebrae and fractures; without vertebra labels all but the air around the patient."""
    if not vertebrae.any():
        tissue = hu > _TISSUE_HU
        return crop_box(tissue, (0, 0, 0)) if tissue.any() else (slice(None),) * 3
    wanted = (vertebrae > 0) & ~np.isin(vertebrae, NOT_MOBILE)
    if truth.fracture_map is not None:
        wanted |= truth.fracture_map == MAP_FRACTURE
    return crop_box(wanted if wanted.any() else vertebrae > 0, MARGIN_MM)


def _about_vertebrae(scan: Scan, truth: FractureTruth) -> dict[str, dict]:
    about = {}
    for vertebra, grade in (scan.grades or {}).items():
        kind = "real fracture" if vertebra in truth.fractured else "not judged" if grade else "intact"
        about[str(vertebra)] = {"type": kind, "genant": int(grade)}
    for vertebra, broken in (scan.levels or {}).items():
        about[str(vertebra)] = {"type": "real fracture" if broken else "intact"}
    return about


def summary(case: Case) -> str:
    """What a case claims, in a few words."""
    judged = {int(v) for v in np.unique(case.bodies) if v} - set(case.uncertain)
    words: Sequence[str] = [
        f"{'x'.join(map(str, case.hu.shape[::-1]))} mm",
        f"{len(judged)} vertebrae judged, {len(case.uncertain)} not" if case.has_bodies else "no vertebra labels",
        f"fractured: {shown(case.fractured)}" if case.fractured else "",
    ]
    if case.fracture_map is not None:
        drawn, unknown = (np.count_nonzero(case.fracture_map == v) / 1000 for v in (MAP_FRACTURE, MAP_UNKNOWN))
        words = [*words, f"{drawn:.1f} mL drawn" if drawn else "", f"{unknown:.0f} mL unknown" if unknown else ""]
    return ", ".join(word for word in words if word)
