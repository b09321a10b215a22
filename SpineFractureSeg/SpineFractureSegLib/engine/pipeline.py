"""A CT in, its fractures out: the path a voxel takes, one line per step. Read this file first.

The *working grid* has LPS axes and isotropic voxels; arrays on it are (slice z up, row y to the back, column x to the
left). The *CT's grid* is whatever the CT came with; every result lies on it exactly. The *region* is the box around the
spine on the working grid; outside of it every probability is 0.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk

from SpineFractureSegLib.engine.ct_check import check_ct, voxel_volume_mm3
from SpineFractureSegLib.engine.device import Placement, choose_placement
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.findings import Finding, find_lesions
from SpineFractureSegLib.engine.inference import SlicePredictor, choose_planes, predict_planes
from SpineFractureSegLib.engine.model_file import Model, ModelCard
from SpineFractureSegLib.engine.orientation import WorkingVolume, to_ct_grid, to_working_grid
from SpineFractureSegLib.engine.postprocess import remove_small_components, threshold_mask
from SpineFractureSegLib.engine.progress import (
    ProgressCallback,
    StopQuery,
    never_stop,
    no_progress,
    raise_if_stopped,
)
from SpineFractureSegLib.engine.spine_region import SpineRegion, find_spine_region, occupied_region, shows_spine
from SpineFractureSegLib.engine.vertebrae.by_body import fracture_by_body
from SpineFractureSegLib.engine.vertebrae.field_of_view import FieldOfView
from SpineFractureSegLib.engine.vertebrae.instances import Bodies, find_bodies
from SpineFractureSegLib.engine.vertebrae.measure import SpineVolume, measure_vertebrae, with_flags
from SpineFractureSegLib.engine.vertebrae.vertebra import Vertebra


@dataclass(frozen=True)
class SegmentationResult:
    """What is known of a CT after the run. The images lie exactly on the CT's grid."""

    mask: sitk.Image  # uint8, 1 where fractured
    probability: sitk.Image  # float32, of a fracture
    vertebrae: sitk.Image | None  # float32, probability of a vertebral body; None where the model does not say
    findings: list[Finding]  # the mask's connected parts, largest first
    labels: sitk.Image  # uint8, number of the vertebral body, 0 elsewhere
    spine: list[Vertebra]  # the bodies from the top down; empty where the model does not say
    region: SpineRegion | None  # on the working grid; None: no spine was found
    device: str  # on which the last batch ran
    precision: str  # of the network's arithmetic, for example "bfloat16"
    batch_size: int
    seconds: float
    warnings: list[str]  # one sentence each
    model: ModelCard


@dataclass(frozen=True)
class RegionPrediction:
    """The network's answer on the working grid."""

    region: SpineRegion | None  # None: no spine was found
    probabilities: dict[str, np.ndarray]  # by output, float32 (z, y, x) of the region; empty without one
    bodies: Bodies | None  # in the region; None without one, or where the model does not say
    placement: Placement  # at the end of the run
    warnings: list[str]


def segment_ct(
    ct: sitk.Image,
    model: Model,
    *,
    device: str = "auto",
    planes: Sequence[str] | None = None,
    threshold: float | None = None,
    min_volume_mm3: float | None = None,
    batch_size: int | None = None,
    on_progress: ProgressCallback = no_progress,
    should_stop: StopQuery = never_stop,
) -> SegmentationResult:
    """Finds and outlines the fractures of the spine. On a CPU the same input gives the same output, bit for bit.

    Args:
        ct: 3D, HU; any orientation, spacing and size. Unchanged.
        model: from ``load_model``. Unchanged.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        planes: some of the model's planes; None: all.
        threshold: probability in (0, 1) from which a voxel is fractured; None: the model's.
        min_volume_mm3: smaller connected parts are dropped; None: the model's.
        batch_size: windows at once; None: what suits the device.
        on_progress, should_stop: see ``progress.py``.

    Raises: UserError, when this CT cannot be segmented as asked; Cancelled.
    """
    start = time.perf_counter()
    threshold = _checked_threshold(model.card.threshold if threshold is None else threshold)
    min_volume_mm3 = _checked_volume(model.card.min_volume_mm3 if min_volume_mm3 is None else min_volume_mm3)

    warnings = check_ct(ct)
    working = to_working_grid(ct, model.preprocessing.spacing_mm)
    predicted = predict_region(
        working.hu,
        model,
        device=device,
        planes=planes,
        batch_size=batch_size,
        on_progress=on_progress,
        should_stop=should_stop,
    )
    spine, labels = _vertebrae(predicted, working, ct, model.card)
    working = replace(working, hu=None)  # gives back the largest array of the run
    raise_if_stopped(should_stop)
    probability = _on_ct_grid("fracture", predicted, working, ct)
    raise_if_stopped(should_stop)
    mask, dropped = _mask(probability, threshold, min_volume_mm3)
    findings = find_lesions(mask, probability)
    raise_if_stopped(should_stop)
    vertebrae = _on_ct_grid("vertebra", predicted, working, ct) if "vertebra" in model.network_config.outputs else None

    return SegmentationResult(
        mask=mask,
        probability=probability,
        vertebrae=vertebrae,
        findings=findings,
        labels=labels,
        spine=with_flags(spine, labels, mask, threshold),
        region=predicted.region,
        device=str(predicted.placement.device),
        precision=predicted.placement.precision_name,
        batch_size=predicted.placement.batch_size,
        seconds=time.perf_counter() - start,
        warnings=warnings + predicted.warnings + dropped,
        model=model.card,
    )


def predict_region(
    hu: np.ndarray,
    model: Model,
    *,
    device: str = "auto",
    planes: Sequence[str] | None = None,
    batch_size: int | None = None,
    on_progress: ProgressCallback = no_progress,
    should_stop: StopQuery = never_stop,
) -> RegionPrediction:
    """Finds the spine and lets the network answer there. Arguments as ``segment_ct``; ``hu`` as ``segment_array``."""
    outputs, preprocessing = model.network_config.outputs, model.preprocessing
    vertebra = outputs.index("vertebra") if "vertebra" in outputs else None
    weights = choose_planes(preprocessing, planes)
    placement, warnings = choose_placement(device, batch_size)
    predictor = SlicePredictor(model.network, len(outputs), preprocessing, placement, on_progress, should_stop)

    # without the air around it a padded copy is the same volume, with the same windows
    body = occupied_region(hu, preprocessing.window_hu[0])
    region = None if body is None else find_spine_region(hu[body.slices], predictor, vertebra)
    probabilities = {}
    if region is not None:
        fused = predict_planes(predictor, hu[body.slices], region, weights)
        if vertebra is None or shows_spine(fused[vertebra], preprocessing.spacing_mm):
            probabilities = dict(zip(outputs, fused, strict=True))
    bodies = None
    if probabilities and vertebra is not None:
        raise_if_stopped(should_stop)
        bodies = find_bodies(probabilities["vertebra"], preprocessing.spacing_mm)
        if below := model.card.averaged_below:
            probabilities["fracture"] = fracture_by_body(
                probabilities["fracture"], probabilities["vertebra"], bodies, preprocessing.spacing_mm, below
            )
    warnings += predictor.warnings
    if not probabilities:
        warnings.append("No spine was found in this CT: the segmentation is empty.")
        return RegionPrediction(None, {}, None, predictor.placement, warnings)
    return RegionPrediction(region.shifted(body), probabilities, bodies, predictor.placement, warnings)


def segment_array(
    hu: np.ndarray,
    model: Model,
    *,
    device: str = "auto",
    planes: Sequence[str] | None = None,
    batch_size: int | None = None,
    on_progress: ProgressCallback = no_progress,
    should_stop: StopQuery = never_stop,
) -> tuple[dict[str, np.ndarray], RegionPrediction]:
    """The same up to the probabilities, without SimpleITK's images: for benchmark and trainer.

    Args:
        hu: (Z, Y, X) on the working grid, HU, any number type.
        The others as ``segment_ct``.

    Returns: probability by output, float32 (Z, Y, X), 0 outside of the region; how it was made.
    """
    predicted = predict_region(
        hu,
        model,
        device=device,
        planes=planes,
        batch_size=batch_size,
        on_progress=on_progress,
        should_stop=should_stop,
    )
    volumes = {name: np.zeros(hu.shape, np.float32) for name in model.network_config.outputs}
    for name, values in predicted.probabilities.items():
        volumes[name][predicted.region.slices] = values
    return volumes, predicted


def _on_ct_grid(name: str, predicted: RegionPrediction, working: WorkingVolume, ct: sitk.Image) -> sitk.Image:
    """One output on the CT's grid, 0 outside of the region. Its array is taken from the prediction: memory is dear."""
    if predicted.region is None:
        image = sitk.Image(ct.GetSize(), sitk.sitkFloat32)
        image.CopyInformation(ct)
        return image
    values = predicted.probabilities.pop(name)
    return to_ct_grid(
        values, WorkingVolume(values, _region_origin_mm(predicted.region, working), working.spacing_mm), ct
    )


def _vertebrae(
    predicted: RegionPrediction, working: WorkingVolume, ct: sitk.Image, card: ModelCard
) -> tuple[list[Vertebra], sitk.Image]:
    """The bodies measured, and their numbers on the CT's grid."""
    if predicted.bodies is None:
        labels = sitk.Image(ct.GetSize(), sitk.sitkUInt8)
        labels.CopyInformation(ct)
        return [], labels
    volume = SpineVolume(
        predicted.probabilities["fracture"],
        predicted.probabilities["vertebra"],
        working.hu[predicted.region.slices],
        working.spacing_mm,
        _region_origin_mm(predicted.region, working),
        card.body_surface,
        card.by_body,
    )
    labels = sitk.GetImageFromArray(predicted.bodies.labels)
    labels.SetOrigin(volume.origin_mm)
    labels.SetSpacing([volume.spacing_mm] * 3)
    return (
        measure_vertebrae(predicted.bodies, volume, FieldOfView.of_image(ct)),
        sitk.Resample(labels, ct, sitk.Transform(), sitk.sitkNearestNeighbor, 0),
    )


def _region_origin_mm(region: SpineRegion, working: WorkingVolume) -> tuple[float, float, float]:
    """LPS position (x, y, z) of the region's first voxel."""
    corner = [axis[0] * working.spacing_mm for axis in reversed(region)]
    return tuple(o + c for o, c in zip(working.origin_mm, corner, strict=True))


def _mask(probability: sitk.Image, threshold: float, min_volume_mm3: float) -> tuple[sitk.Image, list[str]]:
    """uint8 image of what reaches the threshold and is large enough, and a warning where nothing was large enough."""
    found = threshold_mask(sitk.GetArrayViewFromImage(probability), threshold)
    kept = remove_small_components(found, min_volume_mm3, voxel_volume_mm3(probability))
    mask = sitk.GetImageFromArray(kept.view(np.uint8))
    mask.CopyInformation(probability)
    if found.any() and not kept.any():
        return mask, [f"Everything found was smaller than {min_volume_mm3:g} mm3 and was dropped."]
    return mask, []


def _checked_threshold(threshold: float) -> float:
    if not 0 < threshold < 1:
        raise UserError(f"The threshold must lie between 0 and 1, not {threshold}.")
    return threshold


def _checked_volume(volume_mm3: float) -> float:
    if not 0 <= volume_mm3 < np.inf:
        raise UserError(f"The smallest volume must be 0 mm3 or more, not {volume_mm3}.")
    return volume_mm3
