"""How well vertebrae are told apart, measured and graded: on simulated cases, real shapes, and labelled real CTs.

Words: a *reference body* is one of the label map, whole and large enough. It is *matched* by the instance with which
its intersection over union is more than one half. Left out of the count of false instances are those that lie above or
below all labelled bodies, or mostly in a body that is no reference: cut by the border, or the sacrum's. Reference
heights are measured on the label map itself, at 1 mm, along the same lines.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from SpineFractureSegLib.engine.benchmark.vertebra_summary import MATCHED_ABOVE, BodyScore, SpineScore
from SpineFractureSegLib.engine.case import Case
from SpineFractureSegLib.engine.case_spacing import at_spacing
from SpineFractureSegLib.engine.data.vertebra_ids import NOT_MOBILE
from SpineFractureSegLib.engine.model_file import Model
from SpineFractureSegLib.engine.orientation import to_working_grid
from SpineFractureSegLib.engine.pipeline import segment_array
from SpineFractureSegLib.engine.simulator.bodies import vertebral_bodies
from SpineFractureSegLib.engine.simulator.config import HELD_OUT
from SpineFractureSegLib.engine.simulator.generate import generate_cases
from SpineFractureSegLib.engine.vertebrae.field_of_view import FieldOfView
from SpineFractureSegLib.engine.vertebrae.instances import Bodies
from SpineFractureSegLib.engine.vertebrae.levels import read_level_map, table_of
from SpineFractureSegLib.engine.vertebrae.measure import SpineVolume, measure_vertebrae
from SpineFractureSegLib.engine.vertebrae.spine_curve import find_spine_curve
from SpineFractureSegLib.engine.vertebrae.vertebra import PLACES, Vertebra
from SpineFractureSegLib.engine.volume import read_ct

SMALLEST_MM3 = 2000.0
_SOFT_MM = 0.6  # standard deviation that makes a label map's surface as soft as a network's
_INSIDE = 0.1  # share of an instance in a labelled body from which it belongs to it
GRID_MM = 1.0  # on which reference and answer are compared


def simulate_at(
    slice_mm: float, library: str | Path, split: str, count: int, folder: str | Path, seed: int
) -> list[Path]:
    """Held-out cases whose scanner's slices are this thick; those that are there already are kept."""
    thick = {"thick_slices": 0.0} if slice_mm <= GRID_MM else {"thick_slices": 1.0, "slice_thickness_mm": (slice_mm,)}
    config = replace(HELD_OUT, as_scanned=0.0, small_field=0.0, **thick)
    return generate_cases(library, split, count, Path(folder) / f"{slice_mm:g} mm", seed=seed, config=config).simulated


def score_simulated(case: Case, model: Model, group: str, device: str = "auto") -> SpineScore:
    """Segments a simulated case and compares with its bodies and grades.

    Raises: ValueError, when the case is not stored at 1 mm.
    """
    if case.spacing_mm != GRID_MM:
        raise ValueError(f"the case must be at {GRID_MM} mm, not {case.spacing_mm}")
    at_model = at_spacing(case, model.preprocessing.spacing_mm)
    view = FieldOfView.of_array(case.hu.shape, GRID_MM)
    found = _found(at_model.hu, model, (0.0, 0.0, 0.0), view, device)
    about = case.truth.get("vertebrae", {})
    genant = {
        int(i): about.get(str(i), {}).get("genant", 0) for i in np.unique(case.bodies) if i and i not in case.uncertain
    }
    return compare(case.name, group, case.bodies, (0.0, 0.0, 0.0), view, *found, genant)


def score_shape(case: Case, grades: Mapping[int, int], model: Model, device: str = "auto") -> SpineScore:
    """The same for a case of ``real_shape_cases``, of the real shapes alone.

    Args: grades: of the shape's vertebrae, by VerSe id.
    """
    score = score_simulated(case, model, "real shapes", device)
    asked_for = [replace(body, true_genant=grades[body.vertebra]) for body in score.bodies if body.vertebra in grades]
    return replace(score, bodies=asked_for, false_instances=0)


def score_real(ct_path: str, map_path: str, model: Model, device: str = "auto") -> SpineScore:
    """Segments a real CT and compares with the label map of its vertebrae. Grades are not known.

    Raises: UserError, when a file cannot be read or used.
    """
    ct = read_ct(ct_path).image
    working = to_working_grid(ct, model.preprocessing.spacing_mm)
    view = FieldOfView.of_image(ct)
    found = _found(working.hu, model, working.origin_mm, view, device)
    grid = to_working_grid(ct, GRID_MM)
    bodies = _labelled_bodies(map_path, found, grid.origin_mm, grid.hu.shape)
    return compare(str(ct_path).rsplit("/", 1)[-1], "real", bodies, grid.origin_mm, view, *found, {})


def compare(
    name: str,
    group: str,
    reference: np.ndarray,
    origin_mm: tuple[float, float, float],
    view: FieldOfView,
    labels: sitk.Image,
    spine: Sequence[Vertebra],
    genant: dict[int, int],
) -> SpineScore:
    """Scores instances against the bodies of a label map.

    Args:
        name, group: of the case.
        reference: uint8 (Z, Y, X) at 1 mm on world axes, VerSe ids of bodies.
        origin_mm: LPS position of its first voxel.
        view: of the CT.
        labels: numbers of the instances, on any grid in the same space.
        spine: what was measured of them.
        genant: true grade by id, where it is known.
    """
    true = measured_reference(reference, origin_mm, view)
    matches = BodyMatches(reference, origin_mm, labels)
    judged = matches.judged(true)
    scores = []
    for i in judged:
        best, iou = matches.best(i)
        matched = spine[best - 1] if iou > MATCHED_ABOVE else None
        graded = (genant.get(i), matched.genant if matched else None, true[i].genant)
        scores.append(BodyScore(i, iou, height_error_mm(matched, true[i]), *graded))
    levels = [np.flatnonzero((reference == i).any(axis=(1, 2))).mean() for i in true]
    false = 0
    for vertebra in spine:
        inside = matches.overlap[1:, vertebra.number]
        owner = int(inside.argmax()) + 1
        if inside[owner - 1] >= _INSIDE * matches.size[vertebra.number]:
            union = matches.true_size[owner] + matches.size[vertebra.number] - inside[owner - 1]
            false += owner in judged and inside[owner - 1] <= MATCHED_ABOVE * union
        else:
            height = (vertebra.centroid_ras_mm[2] - origin_mm[2]) / GRID_MM
            false += bool(levels) and min(levels) < height < max(levels)
    return SpineScore(name, group, scores, int(false))


class BodyMatches:
    """How far the bodies of a label map and the instances of an answer are the same.

    Args: as ``compare``.

    Attributes:
        overlap: int64 (256, 256), voxels that body (row) and instance (column) share.
        true_size, size: int64 (256,), voxels of each body, of each instance.
    """

    def __init__(self, reference: np.ndarray, origin_mm: tuple[float, float, float], labels: sitk.Image) -> None:
        grid = image_at(reference, origin_mm, GRID_MM)
        instances = sitk.GetArrayFromImage(sitk.Resample(labels, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0))
        self.overlap = np.zeros((256, 256), np.int64)
        np.add.at(self.overlap, (reference.ravel(), instances.ravel()), 1)
        self.true_size, self.size = self.overlap.sum(axis=1), self.overlap.sum(axis=0)

    def judged(self, true: Mapping[int, Vertebra]) -> list[int]:
        """The ids of ``measured_reference`` that are scored: whole, large enough, and not the sacrum's."""
        return [
            i
            for i, vertebra in true.items()
            if vertebra.complete and i not in NOT_MOBILE and self.true_size[i] * GRID_MM**3 >= SMALLEST_MM3
        ]

    def best(self, body: int) -> tuple[int, float]:
        """The number of the instance that fits this body best, and their intersection over union."""
        shared = self.overlap[body, 1:]
        iou = shared / np.maximum(self.true_size[body] + self.size[1:] - shared, 1)
        number = int(iou.argmax()) + 1
        return number, float(iou[number - 1])


def _found(
    hu: np.ndarray, model: Model, origin_mm: tuple[float, float, float], view: FieldOfView, device: str
) -> tuple[sitk.Image, list[Vertebra]]:
    volumes, predicted = segment_array(hu, model, device=device)
    spacing_mm = model.preprocessing.spacing_mm
    if predicted.bodies is None:
        return image_at(np.zeros(hu.shape, np.uint8), origin_mm, spacing_mm), []
    box = predicted.region.slices
    corner = tuple(o + spacing_mm * axis[0] for o, axis in zip(origin_mm, reversed(predicted.region), strict=True))
    volume = SpineVolume(
        volumes["fracture"][box],
        volumes["vertebra"][box],
        hu[box],
        spacing_mm,
        corner,
        model.card.body_surface,
        model.card.by_body,
    )
    return image_at(predicted.bodies.labels, corner, spacing_mm), measure_vertebrae(predicted.bodies, volume, view)


def measured_reference(
    reference: np.ndarray, origin_mm: tuple[float, float, float], view: FieldOfView
) -> dict[int, Vertebra]:
    """What is measured of each body on the label map itself, by id. Arguments as ``compare``."""
    ids = [int(i) for i in np.unique(reference[reference > 0])]
    centers = ndimage.center_of_mass(reference > 0, reference, ids) if ids else []
    ids = [i for _, i in sorted(zip((-center[0] for center in centers), ids, strict=True))]
    number = np.zeros(256, np.uint8)
    number[ids] = np.arange(1, len(ids) + 1)
    soft = ndimage.gaussian_filter((reference > 0).astype(np.float32), _SOFT_MM / GRID_MM)
    bodies = Bodies(number[reference], len(ids), find_spine_curve(soft, GRID_MM))
    if bodies.curve is None:
        return {}
    nothing = np.zeros(reference.shape, np.int16)
    measured = measure_vertebrae(bodies, SpineVolume(nothing, soft, nothing, GRID_MM, origin_mm), view)
    return dict(zip(ids, measured, strict=True))


def height_error_mm(found: Vertebra | None, true: Vertebra) -> dict[str, float] | None:
    """Found less true height by place; None where one of the two has none."""
    if found is None or found.anterior_mm is None or true.anterior_mm is None:
        return None
    return {place: getattr(found, f"{place}_mm") - getattr(true, f"{place}_mm") for place in PLACES}


def _labelled_bodies(
    path: str,
    found: tuple[sitk.Image, list[Vertebra]],
    origin_mm: tuple[float, float, float],
    shape: tuple[int, ...],
) -> np.ndarray:
    """uint8 VerSe ids of the bodies of a label map of whole vertebrae, on the 1 mm grid."""
    image, table = read_level_map(path)
    table = table or table_of(found[0], image, len(found[1]))
    grid = image_at(np.zeros(shape, np.uint8), origin_mm, GRID_MM)
    values = sitk.GetArrayFromImage(sitk.Resample(image, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0.0))
    values = np.rint(values).astype(np.int64)
    ids = np.zeros(int(values.max()) + 1, np.uint8)
    for value in np.unique(values):
        ids[value] = table.get(int(value), 0)
    vertebrae = ids[values]
    bodies = np.where(vertebral_bodies(vertebrae), vertebrae, 0).astype(np.uint8)
    sacrum = np.isin(vertebrae, NOT_MOBILE)  # has no body to compare with; what is found in it is left out
    return np.where(sacrum, vertebrae, bodies)


def image_at(array: np.ndarray, origin_mm: tuple[float, float, float], spacing_mm: float) -> sitk.Image:
    """The array (Z, Y, X) as an image whose first voxel lies at this LPS position."""
    image = sitk.GetImageFromArray(array)
    image.SetOrigin(origin_mm)
    image.SetSpacing([spacing_mm] * 3)
    return image
