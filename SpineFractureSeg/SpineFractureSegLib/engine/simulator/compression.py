"""Compression of a vertebral body: where each voxel of the fractured image comes from in the intact one.

Words: *loss* is the share of a body's height that is gone over a point of its endplate, *transmitted* is the part of
it by which the column above comes down; the rest is filled by the disc, which stretches. A squeeze is a backward map:
it takes points of the fractured image, in the frame of the intact body, to points of the intact image. The lower
endplate stays, everything above the body moves by a smooth amount, so neighbours keep their shape.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame

_STEP_MM = 0.5  # resolution of the loss tables
_REACH_MM = 20.0  # how far the tables reach beyond the body; the edge value holds further out


@dataclass(frozen=True)
class LossProfile:
    """Tables of loss and transmitted loss over the endplate, with the layer of the body that gives way."""

    loss: np.ndarray  # (depth, width) every 0.5 mm
    transmitted: np.ndarray
    origin_mm: tuple[float, float]  # depth and width of the first entry
    layer: tuple[float, float]  # (low, high) share of the height that is compressed; (0, 1) is the whole body

    def at(self, depth: np.ndarray, width: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Loss and transmitted loss over points of the endplate."""
        row = np.clip((depth - self.origin_mm[0]) / _STEP_MM + 0.5, 0, self.loss.shape[0] - 1).astype(np.int32)
        column = np.clip((width - self.origin_mm[1]) / _STEP_MM + 0.5, 0, self.loss.shape[1] - 1).astype(np.int32)
        index = row * self.loss.shape[1] + column
        return self.loss.ravel()[index], self.transmitted.ravel()[index]


@dataclass(frozen=True)
class Squeeze:
    """One endplate of one vertebra pressed in. ``from_below`` presses the lower endplate up instead."""

    frame: VertebraFrame
    profile: LossProfile
    from_below: bool = False

    def backward(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the points come from.

        Args: points: float32 (3, N), z, y, x of the fractured image.
        Returns: points of the intact image, and the local compression (1 where nothing happened, 2 where two
            millimetres became one), (N,).
        """
        height, depth, width = self.frame.coordinates(points)
        lower, upper = self.frame.endplates(depth, width)
        loss, transmitted = self.profile.at(depth, width)
        disc = self.frame.disc_above_mm
        if self.from_below:
            height, lower, upper, disc = -height, -upper, -lower, self.frame.disc_below_mm
        source, density = _squeeze_column(height, lower, upper, loss, transmitted, self.profile.layer, disc)
        shift = (height - source) if self.from_below else (source - height)
        return points + self.frame.up[:, None] * shift.astype(np.float32), density.astype(np.float32)


def _squeeze_column(
    height: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    loss: np.ndarray,
    transmitted: np.ndarray,
    layer: tuple[float, float],
    disc_mm: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The map along one column: below the body nothing, in it compression of the layer, above it a shift.

    Where the column above comes down by less than the endplate, the disc (``disc_mm`` high) stretches to fill.
    """
    intact = upper - lower
    share = (height - lower) / intact  # 0 at the lower endplate, 1 - loss at the upper one
    low, high = layer
    compression = 1 / (1 - loss / (high - low))
    pressed_high = high - loss
    in_layer = (share > low) & (share <= pressed_high)
    origin = np.where(share <= low, share, np.where(in_layer, low + (share - low) * compression, share + loss))
    in_body = (share > 0) & (share <= 1 - loss)
    above = height - (lower + (1 - loss) * intact)  # mm above the pressed endplate
    stretched = np.maximum(disc_mm + intact * (loss - transmitted), 0.5)
    in_disc = (above > 0) & (above < stretched)
    source = np.where(
        share <= 0,
        height,
        np.where(
            in_body,
            lower + origin * intact,
            np.where(in_disc, upper + above * disc_mm / stretched, height + intact * transmitted),
        ),
    )
    return source, np.where(in_body & in_layer, compression, 1.0)


def draw_profile(
    rng: np.random.Generator, frame: VertebraFrame, kind: str, loss: float, lateral_tilt: float, whole_body: bool
) -> LossProfile:
    """A random loss over the endplate of the given kind.

    Args:
        kind: "wedge" (the front gives way), "biconcave" (the middle), "crush" (front and back).
        loss: about the largest share of the height that is lost; negative makes the body taller.
        lateral_tilt: standard deviation of the slope from left to right.
        whole_body: compress all of the body evenly, as a naturally lower body is, not one broken layer.
    """
    (back, front), (right, left) = frame.depth_range, frame.width_range
    depth, width = np.meshgrid(
        np.arange(back - _REACH_MM, front + _REACH_MM, _STEP_MM),
        np.arange(right - _REACH_MM, left + _REACH_MM, _STEP_MM),
        indexing="ij",
    )
    deep, wide = front - back, left - right
    forward = np.clip((depth - back) / deep, -0.35, 1.1)
    hinge = rng.uniform(0.7, 1) if kind == "crush" else rng.uniform(0, 0.35)  # the loss at the back wall
    slope = hinge + (1 - hinge) * np.sign(forward) * np.abs(forward) ** rng.uniform(0.8, 1.6)
    slope *= 1 + rng.normal(0, lateral_tilt) * np.clip(2 * width / wide, -1.2, 1.2)
    dent = np.exp(
        -(((depth - rng.uniform(-0.1, 0.25) * deep) / (rng.uniform(0.22, 0.38) * deep)) ** 2)
        - ((width - rng.uniform(-0.15, 0.15) * wide) / (rng.uniform(0.22, 0.38) * wide)) ** 2
    )
    rim = rng.uniform(0, 0.35) if kind == "biconcave" else rng.uniform(0.75, 1)
    waves = sum(
        np.cos(a * depth / 6 + b * width / 6 + c) for a, b, c in rng.normal(0, 1, (4, 3)) * (1, 1, 3)
    ) * rng.uniform(0.005, 0.03)
    beyond = np.maximum(np.abs(width) - wide / 2, 0), np.maximum(back - depth, 0), np.maximum(depth - front, 0)
    on_plate = np.prod([np.clip(1 - distance / 6, 0, 1) for distance in beyond], axis=0)
    transmitted = np.clip(loss * rim * slope, -0.15, 0.7)
    pressed_in = loss * (1 - rim) * (dent if kind == "biconcave" else 0.5 + 0.5 * dent) + waves * loss / 0.3
    total = np.clip(loss * rim * slope + pressed_in * on_plate, -0.15, 0.72)
    low, high = 0.0, 1.0
    if not whole_body:
        low, high = ((rng.uniform(0.1, 0.6), 1.0), (0.0, rng.uniform(0.4, 0.9)), (0.0, 1.0))[
            rng.choice(3, p=(0.55, 0.2, 0.25))
        ]
        low = max(0.0, min(low, high - loss * 1.15 - 0.12))
        high = min(1.0, max(high, low + loss * 1.15 + 0.12))
        total = np.minimum(total, 0.86 * (high - low))
    return LossProfile(
        total.astype(np.float32),
        np.minimum(transmitted, total + 0.1).astype(np.float32),
        (float(depth[0, 0]), float(width[0, 0])),
        (low, high),
    )


def measure_height_loss(frame: VertebraFrame, squeezes: Sequence[Squeeze]) -> dict[str, float]:
    """Height lost at the front, middle and back of the body, as a share of the intact height there.

    Measured on the finished map, along five lines each, not taken from what was asked for.
    """
    heights = np.arange(-1.2 * frame.height_mm, 1.2 * frame.height_mm, 0.1, dtype=np.float32)
    losses = {}
    for name, share in (("anterior", 0.87), ("middle", 0.5), ("posterior", 0.13)):
        depth = frame.depth_range[0] + share * (frame.depth_range[1] - frame.depth_range[0])
        lines = []
        for width in np.linspace(0.6 * frame.width_range[0], 0.6 * frame.width_range[1], 5):
            points = (
                frame.centre[:, None]
                + frame.up[:, None] * heights
                + frame.front[:, None] * np.float32(depth)
                + frame.side[:, None] * np.float32(width)
            )
            for squeeze in squeezes:
                points, _ = squeeze.backward(points)
            height, at_depth, at_width = frame.coordinates(points)
            lower, upper = frame.endplates(at_depth, at_width)
            left = 0.1 * ((height > lower) & (height < upper)).sum()
            lines.append(1 - left / float((upper - lower).mean()))
        losses[name] = float(np.mean(lines))
    return losses


def draw_squeezes(
    rng: np.random.Generator,
    frame: VertebraFrame,
    kind: str,
    loss_range: tuple[float, float],
    lateral_tilt: float,
    intact: bool,
) -> tuple[list[Squeeze], dict[str, float]] | None:
    """Squeezes of one vertebra whose measured largest loss falls into the range; None when eight draws do not."""
    for _ in range(8):
        wanted = rng.uniform(*loss_range)
        both = kind == "biconcave" and not intact and rng.random() < 0.6
        squeezes = [
            Squeeze(frame, draw_profile(rng, frame, kind, wanted * (0.65 if both else 1), lateral_tilt, intact))
        ]
        if both:
            profile = draw_profile(rng, frame, kind, wanted * 0.45, lateral_tilt, whole_body=True)
            local = LossProfile(
                np.clip(profile.loss, 0, 0.4), np.zeros_like(profile.loss), profile.origin_mm, (0.0, 0.6)
            )
            squeezes.append(Squeeze(frame, local, from_below=True))
        losses = measure_height_loss(frame, squeezes)
        if loss_range[0] <= max(losses.values(), key=abs) <= loss_range[1]:
            return squeezes, losses
    return None
