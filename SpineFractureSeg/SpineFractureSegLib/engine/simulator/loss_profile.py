"""How much height is lost over each point of an endplate, and how the column above follows.

Words: *loss* is the share of a body's height that is gone over a point of its endplate. The *descent* is what the
column above does: it comes down and leans as one piece, towards the side that lost most. Where the endplate lost more
than the column came down, the disc stretches to fill; where less, the disc is squeezed.
"""

from dataclasses import dataclass

import numpy as np

from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame

_STEP_MM = 0.5  # resolution of the loss table
_REACH_MM = 20.0  # how far the table reaches beyond the body; the edge value holds further out
_SQUEEZED_DISC = 0.07  # share of the body's height that a disc gives way by where the endplate stays
STEEPEST = 0.27  # tangent of the largest lean: 15 degrees for one vertebra
_LARGEST_LOSS = 0.72
# share of the loss that the rim has, too: the rest is a dent
_RIM = {"wedge": (0.4, 0.95), "flat wedge": (0.9, 1.0), "biconcave": (0.0, 0.35)}
# exponent of the loss from the far wall to the side that gives way
_STEEPNESS = {"flat wedge": (1.5, 3.5)}


@dataclass(frozen=True)
class Descent:
    """Movement of the column above: mm it comes down at the body's centre, and its lean as slopes."""

    centre_mm: float = 0.0
    forward: float = 0.0  # mm per mm of depth
    sideward: float = 0.0  # mm per mm of width

    def at(self, depth: np.ndarray, width: np.ndarray) -> np.ndarray:
        """mm by which a point of the endplate follows; soft tissue far from the spine follows no further."""
        return (
            np.float32(self.centre_mm)
            + np.float32(self.forward) * np.clip(depth, -55, 40)
            + np.float32(self.sideward) * np.clip(width, -45, 45)
        )


@dataclass(frozen=True)
class LossProfile:
    """Loss over the endplate, the layer of the body that gives way, and the descent of the column above."""

    loss: np.ndarray  # (depth, width) every 0.5 mm
    descent: Descent
    origin_mm: tuple[float, float]  # depth and width of the first entry
    layer: tuple[float, float]  # (low, high) share of the height that is compressed; (0, 1) is the whole body

    def at(self, depth: np.ndarray, width: np.ndarray) -> np.ndarray:
        """Loss over points of the endplate."""
        row = np.clip((depth - self.origin_mm[0]) / _STEP_MM + 0.5, 0, self.loss.shape[0] - 1).astype(np.int32)
        column = np.clip((width - self.origin_mm[1]) / _STEP_MM + 0.5, 0, self.loss.shape[1] - 1).astype(np.int32)
        return self.loss.ravel()[row * self.loss.shape[1] + column]


def draw_profile(
    rng: np.random.Generator,
    frame: VertebraFrame,
    kind: str,
    loss: float,
    lateral_tilt: float,
    whole_body: bool,
    rough: float = 1.0,
) -> LossProfile:
    """A random loss over the endplate of the given kind.

    Args:
        kind: "wedge" (the front gives way, and the middle mostly with it), "flat wedge" (the front alone, as in most of
            the real wedges of the data), "lateral" (one side), "biconcave" (the middle), "crush" (all of it).
        loss: about the largest share of the height that is lost; negative makes the body taller.
        lateral_tilt: standard deviation of the slope from left to right.
        whole_body: compress all of the body evenly, as a naturally lower body is, not one broken layer.
        rough: unevenness of the endplate; 0 as healed as can be, 1 freshly broken.
    """
    (back, front), (right, left) = frame.depth_range, frame.width_range
    deep, wide = front - back, left - right
    depth, width = np.meshgrid(
        np.arange(back - _REACH_MM, front + _REACH_MM, _STEP_MM),
        np.arange(right - _REACH_MM, left + _REACH_MM, _STEP_MM),
        indexing="ij",
    )
    slope = _slope(rng, kind, 2 * depth / deep, 2 * width / wide, lateral_tilt)
    rim = rng.uniform(*_RIM.get(kind, _RIM["wedge"]))
    follow = loss * rim * slope
    dent = _dent(rng, depth / deep, width / wide)
    pressed_in = loss * (1 - rim) * (dent if kind == "biconcave" else 0.2 + 0.9 * dent)
    pressed_in = pressed_in + loss * rough * _unevenness(rng, depth, width)
    beyond = np.maximum(np.abs(width) - wide / 2, 0), np.maximum(back - depth, 0), np.maximum(depth - front, 0)
    on_plate = np.prod([np.clip(1 - distance / 6, 0, 1) for distance in beyond], axis=0)
    total = np.clip(follow + pressed_in * on_plate, -0.15, _LARGEST_LOSS)
    low, high = (0.0, 1.0) if whole_body else _broken_layer(rng, loss)
    total = np.minimum(total, 0.86 * (high - low))
    descent = _descent(rng, frame, total, depth, width, on_plate > 0.99)
    outside = descent.at(depth, width) / frame.height_mm  # behind and beside the body all follows the column
    total = on_plate * total + (1 - on_plate) * np.clip(outside, -0.5, min(0.6, 0.86 * (high - low)))
    return LossProfile(total.astype(np.float32), descent, (float(depth[0, 0]), float(width[0, 0])), (low, high))


def _slope(
    rng: np.random.Generator, kind: str, forward: np.ndarray, sideward: np.ndarray, lateral_tilt: float
) -> np.ndarray:
    """Loss relative to the largest, along a direction that is forward for a wedge; -1 to 1 spans the endplate."""
    angle = rng.choice((-1, 1)) * rng.uniform(0.9, 1.6) if kind == "lateral" else rng.normal(0, lateral_tilt)
    along = np.clip((1 + forward * np.cos(angle) + sideward * np.sin(angle)) / 2, 0, 1.1)
    hinge = rng.uniform(0.7, 1) if kind == "crush" else rng.uniform(0, 0.35)  # the loss at the far wall
    if kind == "flat wedge":
        hinge *= 0.3
    return hinge + (1 - hinge) * along ** rng.uniform(*_STEEPNESS.get(kind, (0.8, 1.6)))


def _dent(rng: np.random.Generator, depth: np.ndarray, width: np.ndarray) -> np.ndarray:
    reach = rng.uniform(0.22, 0.38, 2)
    place = rng.uniform(-0.1, 0.25), rng.uniform(-0.15, 0.15)
    return np.exp(-(((depth - place[0]) / reach[0]) ** 2) - ((width - place[1]) / reach[1]) ** 2)


def _unevenness(rng: np.random.Generator, depth: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Waves, and sometimes a break: a line on whose one side the endplate lies deeper."""
    waves = sum(np.cos(a * depth / 6 + b * width / 6 + c) for a, b, c in rng.normal(0, 1, (4, 3)) * (1, 1, 3))
    uneven = waves * rng.uniform(0.01, 0.07)
    if rng.random() < 0.6:
        angle, offset = rng.uniform(0, np.pi), rng.normal(0, 5)
        line = depth * np.cos(angle) + width * np.sin(angle) - offset + waves
        uneven = uneven + rng.uniform(0.05, 0.3) / (1 + np.exp(-np.clip(line / rng.uniform(0.5, 2), -30, 30)))
    return uneven


def _broken_layer(rng: np.random.Generator, loss: float) -> tuple[float, float]:
    """The upper part most often, else the lower part or all of it; high enough to take the loss."""
    low, high = ((rng.uniform(0.1, 0.6), 1.0), (0.0, rng.uniform(0.4, 0.9)), (0.0, 1.0))[
        rng.choice(3, p=(0.55, 0.2, 0.25))
    ]
    low = max(0.0, min(low, high - loss * 1.2 - 0.15))
    return low, min(1.0, max(high, low + loss * 1.2 + 0.15))


def _descent(
    rng: np.random.Generator,
    frame: VertebraFrame,
    total: np.ndarray,
    depth: np.ndarray,
    width: np.ndarray,
    on_plate: np.ndarray,
) -> Descent:
    """The plane that the column comes down to: part of the endplate's lean, as low as the discs allow."""
    lost_mm = (total * frame.height_mm)[on_plate]
    design = np.stack([np.ones(lost_mm.size), depth[on_plate], width[on_plate]], axis=1)
    _, forward, sideward = np.linalg.lstsq(design, lost_mm, rcond=None)[0]
    share = rng.uniform(0.4, 1)  # the discs open to take up the rest
    forward, sideward = (float(np.clip(share * slope, -STEEPEST, STEEPEST)) for slope in (forward, sideward))
    leaning = forward * depth[on_plate] + sideward * width[on_plate]
    lowest = np.percentile(lost_mm - leaning, rng.uniform(2, 25))
    return Descent(float(lowest) + 0.5 * _SQUEEZED_DISC * frame.height_mm * (lowest > 1), forward, sideward)
