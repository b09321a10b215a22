"""Heights of a vertebral body at its front, middle and back, and Genant's grade.

The simulator, its truth and the measurements of a run share these places and edges.
"""

import numpy as np

from SpineFractureSegLib.engine.vertebrae.body_frame import BodyFrame, BodyVolume
from SpineFractureSegLib.engine.vertebrae.vertebra import PLACES

DEPTH_SHARES = dict(zip(PLACES, (0.87, 0.5, 0.13), strict=True))  # of the places, from the back wall to the front
GENANT_FROM = (0.2, 0.25, 0.4)  # height loss from which the grade is 1, 2, 3
_POSTERIOR_ALONE = 0.05  # by which the posterior loss may exceed the others in grading
_WITNESS = 0.25  # what the fracture probability moves the height loss by, from 0 to 1
_DEPTH_OFFSETS_MM = (-2.0, 0.0, 2.0)  # lines beside the place itself
_WIDTH_SHARES = (-0.6, -0.3, 0.0, 0.3, 0.6)  # of half the width
_ROUND_FRONT = 0.5  # of these shares in front, where the cross-section is round
_FEWEST_LINES = 5  # of the 15 at a place that must meet the body


def genant_grade(height_loss: float) -> int:
    """Genant's grade of the largest of the three height losses.

    Source: Genant and others, Vertebral fracture assessment using a semiquantitative technique, J Bone Miner Res 1993.

    >>> [genant_grade(loss) for loss in (0.1, 0.2, 0.3, 0.5)]
    [0, 1, 2, 3]
    """
    return sum(height_loss >= edge for edge in GENANT_FROM)


def genant_of_losses(height_loss: dict[str, float], fracture_probability: float | None = None) -> int:
    """The grade of a measured body. A short posterior wall alone is anatomy, as at L5, and counts little.

    Readers grade by eye what they hold for fractured; likewise the fracture probability moves the loss up, where it is
    more than one half, or down. It is a second witness where the outline, or the neighbors that the body is compared
    with, are wrong. How much it counts was chosen on simulated fractures of four people that the network had never
    seen, see Resources/Docs/vertebrae.md.

    Args:
        height_loss: share by place of ``PLACES``.
        fracture_probability: of the body; None, where nothing but heights is known.

    >>> genant_of_losses({"anterior": 0.0, "middle": 0.0, "posterior": 0.3})
    0
    >>> genant_of_losses({"anterior": 0.3, "middle": 0.3, "posterior": 0.3})
    2
    >>> [genant_of_losses({"anterior": 0.22, "middle": 0.1, "posterior": 0.0}, p) for p in (0.1, 0.5, 0.9)]
    [0, 1, 2]
    """
    front = max(height_loss["anterior"], height_loss["middle"])
    loss = max(front, min(height_loss["posterior"], front + _POSTERIOR_ALONE))
    if fracture_probability is not None:
        loss += _WITNESS * (fracture_probability - 0.5)
    return genant_grade(loss)


def height_ratios(heights_mm: dict[str, float]) -> dict[str, float]:
    """Front and middle over back, and the lowest over the highest of the three.

    >>> height_ratios({"anterior": 12.0, "middle": 18.0, "posterior": 24.0})
    {'anterior_posterior': 0.5, 'middle_posterior': 0.75, 'lowest_highest': 0.5}
    """
    anterior, middle, posterior = (heights_mm[name] for name in PLACES)
    return {
        "anterior_posterior": round(anterior / max(posterior, 1e-6), 3),
        "middle_posterior": round(middle / max(posterior, 1e-6), 3),
        "lowest_highest": round(min(anterior, middle, posterior) / max(anterior, middle, posterior, 1e-6), 3),
    }


def body_heights_mm(volume: BodyVolume, frame: BodyFrame) -> dict[str, float] | None:
    """Median height at each place, over 15 lines along the body's axis; None where too few lines meet the body."""
    middle, half = np.mean(frame.width_range), frame.width_mm / 2
    heights = {}
    for name, share in DEPTH_SHARES.items():
        spread = _ROUND_FRONT if name == "anterior" else 1.0
        depth, width = np.meshgrid(
            frame.depth_range[0] + share * frame.depth_mm + np.array(_DEPTH_OFFSETS_MM),
            middle + spread * half * np.array(_WIDTH_SHARES),
        )
        reach_mm = 1.2 * max(frame.depth_mm, frame.width_mm)
        ends = volume.extent_along(frame, depth.ravel(), width.ravel(), reach_mm)
        rows = np.diff(ends[~np.isnan(ends[:, 0])], axis=1)
        if len(rows) < _FEWEST_LINES:
            return None
        heights[name] = float(np.median(rows))
    return heights
