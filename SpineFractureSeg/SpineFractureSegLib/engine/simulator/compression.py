"""Compression of a vertebral body: where each voxel of the fractured image comes from in the intact one.

A squeeze is a backward map: it takes points of the fractured image, in the frame of the intact body, to points of the
intact image. The lower endplate stays; everything above the body comes down and leans as one piece, so neighbours keep
their shape (to first order: 3 % at the steepest lean).
"""

from dataclasses import dataclass

import numpy as np

from SpineFractureSegLib.engine.simulator.heights import measure_height_loss
from SpineFractureSegLib.engine.simulator.loss_profile import Descent, LossProfile, draw_profile
from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame

THINNEST_DISC_MM = 0.8
SOFT_DISC = 0.8  # share of the gap that stretches: endplates are concave, their rims come closer than their planes
_TILT_MM = 12.0  # endplates are tilted: how far they may lie beyond half the height
_DISC_REACH_MM = 30.0  # above the endplate a disc, however stretched, ends before this


@dataclass(frozen=True)
class Squeeze:
    """One endplate of one vertebra pressed in. ``from_below`` presses the lower endplate up and moves nothing else."""

    frame: VertebraFrame
    profile: LossProfile
    from_below: bool = False

    def backward(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the points come from.

        Args: points: float32 (3, N), z, y, x of the fractured image.
        Returns: points of the intact image, and the local compression (1 where nothing happened, 2 where two
            millimetres became one, less than 1 where a disc was stretched), (N,).
        """
        frame, sign = self.frame, np.float32(-1 if self.from_below else 1)
        density = np.ones(points.shape[1], np.float32)
        height = sign * (frame.up @ points - frame.up @ frame.centre)
        reach = np.float32(0.5 * frame.height_mm + _TILT_MM)
        if height.max() <= -reach or (self.from_below and height.min() >= reach + _DISC_REACH_MM):
            return points, density
        result = points.copy()
        if height.min() >= reach + _DISC_REACH_MM:
            self._carry(result, slice(None), height)
            return result, density
        near = np.flatnonzero((height > -reach) & (height < reach + _DISC_REACH_MM))
        if near.size:
            result[:, near], density[near] = self._near(points[:, near], height[near], sign)
        far = np.flatnonzero(height >= reach + _DISC_REACH_MM)
        if far.size and not self.from_below:
            self._carry(result, far, height[far])
        return result, density

    def _carry(self, points: np.ndarray, chosen: np.ndarray | slice, height: np.ndarray) -> None:
        """Moves points high above the body with the column, in place."""
        depth, width = self._depth_and_width(points[:, chosen])
        down = self.profile.descent.at(depth, width)
        points[:, chosen] += self.frame.up[:, None] * down
        self._lean(points, chosen, height + down)

    def _depth_and_width(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        axes = np.stack([self.frame.front, self.frame.side])
        return tuple(axes @ points - (axes @ self.frame.centre)[:, None])

    def _near(self, points: np.ndarray, height: np.ndarray, sign: np.float32) -> tuple[np.ndarray, np.ndarray]:
        """Points at the height of the body and its disc."""
        depth, width = self._depth_and_width(points)
        lower, upper = self.frame.endplates(depth, width)
        disc_mm, descent = SOFT_DISC * self.frame.disc_above_mm, self.profile.descent
        if self.from_below:
            lower, upper, disc_mm, descent = -upper, -lower, SOFT_DISC * self.frame.disc_below_mm, Descent()
        source, density, above = _squeeze_column(
            height,
            lower,
            upper,
            self.profile.at(depth, width),
            descent.at(depth, width),
            self.profile.layer,
            disc_mm,
        )
        points = points + self.frame.up[:, None] * (sign * (source - height)).astype(np.float32)
        if not self.from_below:
            self._lean(points, slice(None), source, above)
        return points, density

    def _lean(
        self, points: np.ndarray, chosen: np.ndarray | slice, source: np.ndarray, above: np.ndarray | float = 1.0
    ) -> None:
        """Turns points above the endplate about it, in place; ``source`` is their height in the intact image."""
        descent = self.profile.descent
        if not (descent.forward or descent.sideward):
            return
        lever = (above * np.maximum(source - self.frame.upper_plane[0], 0)).astype(np.float32)
        turn = self.frame.front * np.float32(descent.forward) + self.frame.side * np.float32(descent.sideward)
        points[:, chosen] -= turn[:, None] * lever


def _squeeze_column(
    height: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    loss: np.ndarray,
    down_mm: np.ndarray,
    layer: tuple[float, float],
    disc_mm: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The map along columns (N,): below the body nothing, in it compression of the layer, above it a shift.

    Returns: height in the intact image; compression; 0 at the endplate to 1 above the disc, which stretches to fill.
    """
    intact = upper - lower
    share = (height - lower) / intact  # 0 at the lower endplate, 1 - loss at the upper one
    low, high = layer
    compression = 1 / (1 - loss / (high - low))
    in_layer = (share > low) & (share <= high - loss)
    origin = np.where(share <= low, share, np.where(in_layer, low + (share - low) * compression, share + loss))
    in_body = (share > 0) & (share <= 1 - loss)
    beyond = height - (lower + (1 - loss) * intact)  # mm above the pressed endplate
    stretched = np.maximum(disc_mm + intact * loss - down_mm, THINNEST_DISC_MM)
    in_disc = (beyond > 0) & (beyond < stretched)
    source = np.where(
        share <= 0,
        height,
        np.where(
            in_body,
            lower + origin * intact,
            np.where(in_disc, upper + beyond * disc_mm / stretched, height + down_mm),
        ),
    )
    density = np.where(in_body & in_layer, compression, np.where(in_disc, disc_mm / stretched, 1.0))
    return source, density, np.clip(beyond / stretched, 0, 1)


def draw_squeezes(
    rng: np.random.Generator,
    frame: VertebraFrame,
    kind: str,
    loss_range: tuple[float, float],
    lateral_tilt: float,
    intact: bool,
    rough: float = 1.0,
) -> tuple[list[Squeeze], dict[str, float]] | None:
    """Squeezes of one vertebra whose measured largest loss falls into the range; None when eight draws do not."""
    for _ in range(8):
        wanted = rng.uniform(*loss_range)
        both = kind == "biconcave" and not intact and rng.random() < 0.6
        profile = draw_profile(rng, frame, kind, wanted * (0.65 if both else 1), lateral_tilt, intact, rough)
        squeezes = [Squeeze(frame, profile)]
        if both:
            profile = draw_profile(rng, frame, kind, wanted * 0.45, lateral_tilt, True, rough)
            local = LossProfile(np.clip(profile.loss, 0, 0.4), Descent(), profile.origin_mm, (0.0, 0.6))
            squeezes.append(Squeeze(frame, local, from_below=True))
        losses = measure_height_loss(frame, squeezes)
        if loss_range[0] <= max(losses.values(), key=abs) <= loss_range[1]:
            return squeezes, losses
    return None
