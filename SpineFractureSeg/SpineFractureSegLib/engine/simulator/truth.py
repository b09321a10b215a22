"""What is true of a case: which bodies are fractured, which are not to be judged, and the numbers of each vertebra."""

import numpy as np

from SpineFractureSegLib.engine.case import MAP_FRACTURE, MAP_UNKNOWN
from SpineFractureSegLib.engine.simulator.deformation import Deformation
from SpineFractureSegLib.engine.simulator.shapes import Spine
from SpineFractureSegLib.engine.vertebrae.heights import genant_grade

_SMALLEST_VISIBLE = 0.4  # a body with less of its intact volume inside the case is left out of loss and score


def drawn_map(plan: dict[int, Deformation], points: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray | None:
    """The fracture map (Z, Y, X) of fractured parts; None where there is none.

    Unknown is a part that the border cuts off, and the arch of a vertebra whose body is the fracture.

    Args: points: float32 (3, Z*Y*X), where each voxel comes from.
    """
    drawn = np.zeros(shape, np.uint8)
    for deformation in plan.values():
        for region in deformation.label:
            near = region.near(points, margin=1)
            inside = near[region.at(points[:, near]) > 0.5]
            whole = len(inside) > _SMALLEST_VISIBLE * np.count_nonzero(region.volume)
            drawn.ravel()[inside] = MAP_UNKNOWN if deformation.of_body or not whole else MAP_FRACTURE
    return drawn if drawn.any() else None


def truth_of(spine: Spine, plan: dict[int, Deformation], body_ids: np.ndarray) -> dict:
    """``fractured``, ``uncertain`` and ``truth`` of a ``Case``.

    Per vertebra that was deformed or is truly fractured: ``type``, ``part`` ("body", "none" of intact ones, or what
    of the vertebra is fractured beside an intact body), ``age``, ``height_loss`` (share lost in front, in
    the middle, behind), ``height_ratio`` (front and middle over back, lowest over highest) and ``genant``.
    """
    seen = np.bincount(body_ids.ravel(), minlength=256)
    visible = set((np.flatnonzero(seen[1:]) + 1).tolist())
    cut = {int(i) for i in visible if seen[i] < _SMALLEST_VISIBLE * spine.body_sizes[i]}
    new = {i for i, deformation in plan.items() if deformation.of_body and i in visible}
    real = set(spine.genant) & visible
    uncertain = (set(spine.uncertain) & visible) | (cut - new - real)
    about = {
        str(i): {
            "type": deformation.kind,
            "part": deformation.part if deformation.fractured else "none",
            "age": deformation.age,
            "height_loss": deformation.height_loss,
            "height_ratio": deformation.height_ratio,
            "genant": genant_grade(max(deformation.height_loss.values())) if deformation.fractured else 0,
        }
        for i, deformation in plan.items()
        if i in visible
    }
    about |= {str(i): {"type": "real fracture", "part": "body", "genant": spine.genant[i]} for i in sorted(real)}
    return {
        "fractured": tuple(sorted((new | real) - uncertain)),
        "uncertain": tuple(sorted(uncertain)),
        "truth": {"vertebrae": about, "spine": spine.name, "real_ct": spine.hu is not None},
    }
