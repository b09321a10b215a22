"""What is true of a case: which bodies are fractured, which are not to be judged, and the numbers of each vertebra."""

import numpy as np

from SpineFractureSegLib.engine.simulator.deformation import Deformation
from SpineFractureSegLib.engine.simulator.heights import genant_grade
from SpineFractureSegLib.engine.simulator.shapes import Spine

_SMALLEST_VISIBLE = 0.4  # a body with less of its intact volume inside the case is left out of loss and score


def truth_of(spine: Spine, plan: dict[int, Deformation], body_ids: np.ndarray) -> dict:
    """``fractured``, ``uncertain`` and ``truth`` of a ``Case``.

    Per vertebra that was deformed or is truly fractured: ``type``, ``age``, ``height_loss`` (share lost in front, in
    the middle, behind), ``height_ratio`` (front and middle over back, lowest over highest) and ``genant``.
    """
    whole = np.bincount(spine.vertebrae[spine.bodies], minlength=256)
    seen = np.bincount(body_ids.ravel(), minlength=256)
    visible = set(np.flatnonzero(seen[1:]) + 1)
    cut = {int(i) for i in visible if seen[i] < _SMALLEST_VISIBLE * whole[i]}
    new = {i for i, deformation in plan.items() if deformation.fractured and i in visible}
    real = set(spine.genant) & visible
    uncertain = (set(spine.uncertain) & visible) | (cut - new - real)
    about = {
        str(i): {
            "type": deformation.kind,
            "age": deformation.age,
            "height_loss": deformation.height_loss,
            "height_ratio": deformation.height_ratio,
            "genant": genant_grade(max(deformation.height_loss.values())) if deformation.fractured else 0,
        }
        for i, deformation in plan.items()
        if i in visible
    }
    about |= {str(i): {"type": "real fracture", "genant": spine.genant[i]} for i in sorted(real)}
    return {
        "fractured": tuple(sorted((new | real) - uncertain)),
        "uncertain": tuple(sorted(uncertain)),
        "truth": {"vertebrae": about, "spine": spine.name, "real_ct": spine.hu is not None},
    }
