"""How one training sample varies: where and how the window lies on the slice, and what the scanner did to it.

Every number is drawn from the sample's own generator, so that a sample is the same whenever and wherever it is made.
Positions and lengths are in pixels of the working grid; points are (row, column).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from SpineFractureSegLib.engine.intensity import normalize_hu
from SpineFractureSegLib.engine.preprocessing import AIR_HU


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the variation. ``chance`` fields are probabilities; pairs are the lowest and highest value.

    Raises: ValueError, when a chance lies outside [0, 1] or a pair is not ascending.
    """

    rotation_sd_degrees: float = 7.0
    log_scale: float = 0.16  # natural logarithm: magnification by exp(-0.16..0.16)
    log_aspect_sd: float = 0.03  # natural logarithm of rows' over columns' magnification
    shear_sd: float = 0.0  # rows shift by this share of the columns' distance from the center: slanted endplates
    bend_sd_pixels: float = 0.0  # smooth displacement, from points 48 pixels apart: another curve of the spine
    mirror_context_chance: float = 0.5  # the context from right to left instead of left to right
    bone_density_chance: float = 0.0
    bone_density: tuple[float, float] = (0.25, 1.8)  # factor on what spongy bone has above soft tissue
    gain: tuple[float, float] = (0.85, 1.2)  # factor on HU
    offset_hu: tuple[float, float] = (-30.0, 30.0)
    low_resolution_chance: float = 0.3
    low_resolution: tuple[float, float] = (0.2, 0.9)  # share of the resolution that is left; 0.2 is 5 mm slices
    sharpen_chance: float = 0.2
    sharpen: tuple[float, float] = (0.3, 1.5)  # share of the local detail that is added again, as by a bone kernel
    noise_chance: float = 0.6
    noise_sd_hu: tuple[float, float] = (2.0, 100.0)
    weak_noise_chance: float = 0.6  # of the noisy samples: their noise is at most 30 % of the range
    correlated_noise_chance: float = 0.4  # of the noisy samples: blotches of 1.5 to 3 pixels instead of single pixels
    gamma_chance: float = 0.2
    log_gamma_sd: float = 0.15  # natural logarithm of the exponent on [0, 1]

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name.endswith("chance") and not 0 <= value <= 1:
                raise ValueError(f"{name} must be a probability, not {value}")
            if isinstance(value, tuple) and not value[0] <= value[1]:
                raise ValueError(f"{name} must be (lowest, highest), not {value}")


NO_AUGMENTATION = Augmentation(
    rotation_sd_degrees=0.0,
    log_scale=0.0,
    log_aspect_sd=0.0,
    shear_sd=0.0,
    bend_sd_pixels=0.0,
    bone_density_chance=0.0,
    mirror_context_chance=0.0,
    gain=(1.0, 1.0),
    offset_hu=(0.0, 0.0),
    low_resolution_chance=0.0,
    sharpen_chance=0.0,
    noise_chance=0.0,
    gamma_chance=0.0,
)


SOFT_TISSUE_HU = 60  # what is denser may be bone
SPONGY_RANGE_HU = 240  # above soft tissue; what is denser still is cortex, which changes by as much as this range does
BEND_POINTS_PIXELS = 48  # about the distance of two vertebrae: a body's own form changes by few percent


def random_affine(rng: np.random.Generator, ranges: Augmentation) -> np.ndarray:
    """float64 (2, 2): takes a (row, column) step in the window to the step in the slice."""
    angle = math.radians(rng.normal(0, ranges.rotation_sd_degrees))
    scale = math.exp(rng.uniform(-ranges.log_scale, ranges.log_scale))
    aspect = math.exp(rng.normal(0, ranges.log_aspect_sd) / 2)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    shear = np.array([[1.0, rng.normal(0, ranges.shear_sd)], [0.0, 1.0]])
    return rotation @ shear @ np.diag([aspect, 1 / aspect]) / scale


def random_bend(rng: np.random.Generator, ranges: Augmentation, window_size: tuple[int, int]) -> Tensor | None:
    """float32 (h, w, 2): by how many pixels of the window (rows, columns) each of its points is displaced; or None."""
    if not ranges.bend_sd_pixels:
        return None
    points = [max(math.ceil(size / BEND_POINTS_PIXELS) + 1, 2) for size in window_size]
    coarse = torch.from_numpy(rng.standard_normal((1, 2, *points), np.float32)).clamp(-2, 2) * ranges.bend_sd_pixels
    return F.interpolate(coarse, size=window_size, mode="bicubic", align_corners=True)[0].permute(1, 2, 0)


def random_center(
    rng: np.random.Generator, anchor: tuple[int, int], affine: np.ndarray, slice_shape: tuple, window_size: tuple
) -> np.ndarray:
    """Where in the slice the window's center lies, so that ``anchor`` falls anywhere in the window.

    Anywhere but a margin, so that most of a vertebra around the anchor stays inside. Neither the window nor its border
    then tells where to look (a network that sees coordinates would learn it). The window overhangs the slice by little.
    """
    margin, overhang = 16, 8  # pixels: half a lumbar body; what may be padding
    size, shape = np.asarray(window_size, float), np.asarray(slice_shape, float)
    reach = np.maximum(size / 2 - margin, 0)
    center = np.asarray(anchor, float) - affine @ rng.uniform(-reach, reach)
    ends = np.stack([size / 2 - overhang, shape - size / 2 + overhang])
    return np.clip(center, ends.min(0), ends.max(0))


def random_field(
    rng: np.random.Generator, pixel: tuple[int, int], slice_shape: tuple[int, int], window_size: tuple[int, int]
) -> tuple[slice, slice]:
    """A part of a large slice around ``pixel``, little larger than a window; or the whole slice, every other time.

    Simulated cases are small and real CTs are large: without this the image's border would tell them apart.
    """
    if rng.random() < 0.5:
        return slice(None), slice(None)
    field = []
    for position, length, size in zip(pixel, slice_shape, window_size, strict=True):
        extent = min(round(size * rng.uniform(1.1, 1.6)), length)
        start = rng.integers(max(position - extent + 1, 0), min(position, length - extent) + 1)
        field.append(slice(int(start), int(start) + extent))
    return field[0], field[1]


def cut_window(
    slices_hu: list[np.ndarray],
    labels: list[np.ndarray],
    center: np.ndarray,
    affine: np.ndarray,
    window_size: tuple[int, int],
    bend: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Resamples one window, linearly, images and labels alike; only the part of the slices that it needs is touched.

    Args:
        slices_hu: C arrays (H, W), HU.
        labels: L arrays (H, W), bool.
        center: (row, column) of the window's center in the slices, pixels.
        affine: (2, 2), a step in the window to a step in the slice.
        window_size: (h, w).
        bend: float32 (h, w, 2), displacement of the window's points (rows, columns) in its pixels.

    Returns:
        float32 (C, h, w) in HU, air outside the slice, and bool (L, h, w), False outside the slice.
    """
    reach = 0.0 if bend is None else float(bend.abs().max())
    half = np.abs(affine) @ (np.asarray(window_size) / 2 + reach) + 2
    shape = np.array(slices_hu[0].shape)
    low = np.clip(np.floor(center - half), 0, shape - 1).astype(int)
    high = np.clip(np.ceil(center + half) + 1, low + 1, shape).astype(int)
    part = (slice(low[0], high[0]), slice(low[1], high[1]))
    source = np.empty((len(slices_hu) + len(labels), *(high - low)), np.float32)
    for target, image in zip(source, [*slices_hu, *labels], strict=True):
        target[...] = image[part]
    source[: len(slices_hu)] -= AIR_HU  # padding with zeros is then padding with air

    # affine_grid counts (x, y) from -1 to 1 over the window and over the part
    extent = high - low
    to_part = affine * (np.asarray(window_size)[None, :] / extent[:, None])
    shift = (2 * (center - low) + 1) / extent - 1
    theta = np.array([[to_part[1, 1], to_part[1, 0], shift[1]], [to_part[0, 1], to_part[0, 0], shift[0]]])
    grid = F.affine_grid(torch.from_numpy(theta).float()[None], (1, 1, *window_size), align_corners=False)
    if bend is not None:
        in_part = bend @ torch.from_numpy(affine.T * (2 / extent)).float()
        grid = grid + in_part.flip(-1)[None]
    window = F.grid_sample(torch.from_numpy(source)[None], grid, align_corners=False)[0]
    images, masks = window[: len(slices_hu)], window[len(slices_hu) :]
    return images + AIR_HU, masks > 0.5


def vary_intensity(
    image_hu: Tensor, rng: np.random.Generator, ranges: Augmentation, window_hu: tuple[float, float]
) -> Tensor:
    """Gives the window another patient's bone and another scanner: (C, h, w) in HU -> (C, h, w) in [0, 1]."""
    if rng.random() < ranges.bone_density_chance:
        image_hu = _change_bone_density(image_hu, rng, ranges)
    image = image_hu * rng.uniform(*ranges.gain) + rng.uniform(*ranges.offset_hu)
    if rng.random() < ranges.low_resolution_chance:
        image = _lower_resolution(image, rng, ranges)
    if rng.random() < ranges.sharpen_chance:
        smooth = F.avg_pool2d(image[None], 3, stride=1, padding=1, count_include_pad=False)[0]
        image = image + rng.uniform(*ranges.sharpen) * (image - smooth)
    if rng.random() < ranges.noise_chance:
        image = image + _noise(tuple(image.shape), rng, ranges)
    image = normalize_hu(image, window_hu)
    if rng.random() < ranges.gamma_chance:
        image = image ** math.exp(rng.normal(0, ranges.log_gamma_sd))
    return image


def _change_bone_density(image_hu: Tensor, rng: np.random.Generator, ranges: Augmentation) -> Tensor:
    """Thinner or denser spongy bone, with smooth differences over the window; noise and grain stay as they are."""
    height, width = image_hu.shape[1:]
    uneven = torch.from_numpy(rng.normal(0, 0.2, (1, 1, 5, 4)).astype(np.float32))
    uneven = F.interpolate(uneven, size=(height, width), mode="bicubic", align_corners=True)[0]
    factor = torch.exp(uneven + rng.uniform(*np.log(ranges.bone_density)))
    smooth = F.avg_pool2d(image_hu[None], 3, stride=1, padding=1, count_include_pad=False)[0]
    return image_hu + (factor - 1) * (smooth - SOFT_TISSUE_HU).clamp(0, SPONGY_RANGE_HU)


def _lower_resolution(image: Tensor, rng: np.random.Generator, ranges: Augmentation) -> Tensor:
    """Thick slices (one axis) or a smooth kernel (both)."""
    size = image.shape[1:]
    left = math.exp(rng.uniform(*np.log(ranges.low_resolution)))
    axes = [(0,), (1,), (0, 1)][rng.choice(3, p=[0.4, 0.15, 0.45])]
    smaller = [max(round(size[axis] * left), 8) if axis in axes else size[axis] for axis in (0, 1)]
    image = F.interpolate(image[None], size=smaller, mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(image, size=size, mode="bilinear", align_corners=False)[0]


def _noise(shape: tuple[int, int, int], rng: np.random.Generator, ranges: Augmentation) -> Tensor:
    lowest, highest = ranges.noise_sd_hu
    weak_end = lowest + 0.3 * (highest - lowest)
    weak = rng.random() < ranges.weak_noise_chance
    deviation = rng.uniform(lowest, weak_end) if weak else rng.uniform(weak_end, highest)
    if rng.random() >= ranges.correlated_noise_chance:
        return torch.from_numpy(rng.standard_normal(shape, np.float32)) * deviation
    grain = rng.uniform(1.5, 3.0)
    coarse = (shape[0], max(round(shape[1] / grain), 2), max(round(shape[2] / grain), 2))
    noise = torch.from_numpy(rng.standard_normal(coarse, np.float32))[None]
    noise = F.interpolate(noise, size=shape[1:], mode="bilinear", align_corners=False)[0]
    return noise * (deviation / noise.std().clamp(min=1e-6))
