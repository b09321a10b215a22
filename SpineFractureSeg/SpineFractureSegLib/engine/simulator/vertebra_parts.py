"""Parts of a vertebra that break alone, found in its label: dens, spinous and transverse process, arch, sacral wing.

Words: *posterior* is what of the label is no body. A part's *axis* runs from its root to its tip. All that is found is
a mask of the bone that may break off, on the box of the label, and where a fracture plane lies in it.
"""

from dataclasses import dataclass

import numpy as np

from SpineFractureSegLib.engine.postprocess import label_components
from SpineFractureSegLib.engine.simulator.shapes import Spine, crop_box
from SpineFractureSegLib.engine.simulator.vertebra_frame import VertebraFrame

AXIS = 2  # the vertebra C2
_SHORTEST_MM = 10.0  # a process that is shorter in the label is not broken
_FEWEST = 120  # voxels of a part
_DENS_WIDTH_MM, _DENS_RADIUS_MM = 19.0, 9.5  # where C2 is wider than this is its body


@dataclass(frozen=True)
class Part:
    """Bone that may break: its mask on a box of the spine's grid, and its axis."""

    corner: tuple[int, int, int]  # of the box, z, y, x
    mask: np.ndarray  # bool, the bone on both sides of any plane across the part
    root: np.ndarray  # (3,) z, y, x
    axis: np.ndarray  # (3,) unit vector from the root to the tip
    length_mm: float
    slice_step_mm: float  # of the scan that it is in


@dataclass(frozen=True)
class _Bone:
    """The voxels of one vertebra's label in its frame's coordinates."""

    corner: tuple[int, int, int]
    shape: tuple[int, int, int]
    index: np.ndarray  # (3, N), in the box
    points: np.ndarray  # float32 (3, N)
    posterior: np.ndarray  # bool (N,)
    height: np.ndarray
    depth: np.ndarray
    width: np.ndarray
    slice_step_mm: float

    def part(self, chosen: np.ndarray, root: np.ndarray, tip: np.ndarray) -> Part | None:
        """The chosen voxels; None where they are too few or too short."""
        length = float(np.linalg.norm(tip - root))
        if np.count_nonzero(chosen) < _FEWEST or length < 1e-3:
            return None
        mask = np.zeros(self.shape, bool)
        mask[tuple(self.index[:, chosen])] = True
        return Part(self.corner, mask, root, (tip - root) / length, length, self.slice_step_mm)

    def largest_piece(self, chosen: np.ndarray) -> np.ndarray:
        """Of the chosen voxels those of the largest 26-connected piece; bool (N,).

        A region cut out by coordinates has crumbs of its neighbors in it: of a facet, or of the back of the body.
        """
        mask = np.zeros(self.shape, bool)
        mask[tuple(self.index[:, chosen])] = True
        pieces, count = label_components(mask)
        if count < 2:
            return chosen
        return (pieces == np.bincount(pieces.ravel())[1:].argmax() + 1)[tuple(self.index)]

    def middle_of(self, chosen: np.ndarray) -> np.ndarray:
        return self.points[:, chosen].mean(axis=1)


def _bone(spine: Spine, vertebra: int, frame: VertebraFrame) -> _Bone:
    # the label reaches no further than this from its body
    start = np.maximum(np.floor(frame.centre - 75), 0).astype(int)
    near = tuple(slice(low, int(np.ceil(middle + 75))) for low, middle in zip(start, frame.centre, strict=True))
    label = spine.vertebrae[near] == vertebra
    box = crop_box(label, (1, 1, 1))
    index = np.array(np.nonzero(label[box]))
    corner = tuple(int(a + edge.start) for a, edge in zip(start, box, strict=True))
    points = (index + np.array(corner)[:, None]).astype(np.float32)
    posterior = ~spine.bodies[near][box][tuple(index)]
    return _Bone(corner, label[box].shape, index, points, posterior, *frame.coordinates(points), spine.slice_step_mm)


def spinous_process(spine: Spine, frame: VertebraFrame) -> Part | None:
    """From the back of the arch to the tip; None where the label has none that is long enough."""
    bone = _bone(spine, frame.vertebra, frame)
    middle = bone.largest_piece(bone.posterior & (np.abs(bone.width) < 8))
    behind = middle & (np.abs(bone.width) < 3)
    if np.count_nonzero(behind) < _FEWEST:
        return None
    arch, tip = np.percentile(bone.depth[behind], (98, 1))  # depth falls towards the back
    if arch - tip < _SHORTEST_MM:
        return None
    root = bone.middle_of(behind & (bone.depth > arch - 5))
    return bone.part(middle & (bone.depth < arch), root, bone.middle_of(behind & (bone.depth < tip + 4)))


def transverse_process(spine: Spine, frame: VertebraFrame, side: int) -> Part | None:
    """From beside the body to the tip, on the side of positive (1) or negative (-1) width."""
    bone = _bone(spine, frame.vertebra, frame)
    lateral = side * bone.width
    beside = frame.width_range[1] if side > 0 else -frame.width_range[0]
    chosen = bone.largest_piece(bone.posterior & (lateral > beside))
    if np.count_nonzero(chosen) < _FEWEST:
        return None
    base, tip = chosen & (lateral < beside + 3), np.percentile(lateral[chosen], 99)
    if not base.any() or tip - beside < _SHORTEST_MM:
        return None
    return bone.part(chosen, bone.middle_of(base), bone.middle_of(chosen & (lateral > tip - 3)))


def pars(spine: Spine, frame: VertebraFrame, side: int) -> Part | None:
    """The arch between pedicle and lower articular process of one side; its axis runs down and back."""
    bone = _bone(spine, frame.vertebra, frame)
    back, lateral = frame.depth_range[0], side * bone.width
    near = bone.posterior & (lateral > 3) & (lateral < 0.85 * frame.width_range[1]) & (bone.depth < back - 7)
    near = bone.largest_piece(near & (bone.depth > back - 26))
    if np.count_nonzero(near) < _FEWEST:
        return None
    root = bone.middle_of(near)
    return bone.part(near, root, root - 8 * frame.up - 5 * frame.front)


def lamina(spine: Spine, frame: VertebraFrame, side: int) -> Part | None:
    """The plate behind the canal on one side; its axis runs sideways."""
    bone = _bone(spine, frame.vertebra, frame)
    lateral = side * bone.width
    behind = bone.posterior & (bone.depth < frame.depth_range[0] - 12) & (lateral > 1) & (lateral < 15)
    behind = bone.largest_piece(behind & (bone.depth > frame.depth_range[0] - 34))
    if np.count_nonzero(behind) < _FEWEST:
        return None
    root = bone.middle_of(behind & (lateral < 6)) if (behind & (lateral < 6)).any() else bone.middle_of(behind)
    return bone.part(behind, root, root + 8 * side * frame.side - 3 * frame.front)


def dens(spine: Spine, frames: dict[int, VertebraFrame]) -> Part | None:
    """The peg of C2 above its body and 8 mm of that body; the root is where the peg begins."""
    if AXIS not in frames or AXIS + 2 not in frames:
        return None
    # C1 has no body, so that the frame of C2 leans; the column below it says where up is
    frame = _upright(frames[AXIS], frames[AXIS].centre - frames[AXIS + 2].centre)
    bone = _bone(spine, AXIS, frame)
    front = ~bone.posterior
    level = np.floor(bone.height[front]).astype(int)
    levels = np.unique(level)
    wide = np.array([np.ptp(np.percentile(bone.width[front][level == z], (3, 97))) for z in levels])
    narrow_from = levels[wide > _DENS_WIDTH_MM]
    if not len(narrow_from):
        return None
    base, top = float(narrow_from.max() + 1), float(levels.max())
    peg = front & (bone.height > base)
    if top - base < 8 or np.count_nonzero(peg) < _FEWEST:
        return None
    tip = bone.middle_of(peg & (bone.height > top - 4))
    root = bone.middle_of(peg & (bone.height < base + 3))
    axis = (tip - root) / np.linalg.norm(tip - root)
    offset = bone.points - root[:, None]
    beside = np.linalg.norm(offset - axis[:, None] * (axis @ offset), axis=0)
    return bone.part(front & (axis @ offset > -8) & (beside < _DENS_RADIUS_MM), root, tip)


def sacral_wing(spine: Spine, frame: VertebraFrame, side: int) -> Part | None:
    """The wing beside the bodies of S1 and S2; its axis runs sideways, along which its fractures open."""
    bone = _bone(spine, frame.vertebra, frame)
    lateral = side * bone.width
    beside = (frame.width_range[1] if side > 0 else -frame.width_range[0]) + 2
    chosen = bone.posterior & (lateral > beside) & (bone.height > frame.lower_plane[0] - 22)
    chosen = bone.largest_piece(chosen & (bone.depth > frame.depth_range[0] - 12))
    base = chosen & (lateral < beside + 4)
    if np.count_nonzero(chosen) < 10 * _FEWEST or not base.any() or np.percentile(lateral[chosen], 98) < beside + 14:
        return None
    root = bone.middle_of(base)
    return bone.part(chosen, root, root + 30 * side * frame.side)


def _upright(frame: VertebraFrame, up: np.ndarray) -> VertebraFrame:
    """The frame with its axes turned so that ``up`` is up and the front is in the sagittal plane."""
    up = up * (1, 1, 0.3)
    up = up / np.linalg.norm(up)
    front = np.array([0, -1.0, 0]) - up * -up[1]
    front /= np.linalg.norm(front)
    axes = {"up": up, "front": front, "side": np.cross(up, front)}
    return VertebraFrame(**vars(frame) | {name: axis.astype(np.float32) for name, axis in axes.items()})
