"""Real fractured vertebrae, known by their label maps alone, in synthesized surroundings: is each of them found?

Every shape is put into several surroundings and scans; nothing else in these cases is fractured. The outline is a
patient's, the Hounsfield units are not: it is asked whether the network reads real collapse, not whether it reads real
CT.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from SpineFractureSegLib.engine.benchmark.case_score import CaseScore
from SpineFractureSegLib.engine.benchmark.summary import defined, mean
from SpineFractureSegLib.engine.case import Case
from SpineFractureSegLib.engine.data.vertebra_ids import NAMES
from SpineFractureSegLib.engine.simulator.config import HELD_OUT
from SpineFractureSegLib.engine.simulator.shapes import Spine
from SpineFractureSegLib.engine.simulator.simulate import simulate_case

_NO_NEW_FRACTURES = replace(HELD_OUT, fracture_count=(1.0,))


@dataclass(frozen=True)
class RealShape:
    """A spine, and which of its vertebrae are asked for."""

    spine: Spine
    grades: dict[int, int]  # VerSe id -> Genant grade; 0 is an intact one that was placed the same way, as a control
    origin: str  # "train", "validation" or "test" part of the library, or "mesh"


def shapes_of_library(spines: Sequence[Spine]) -> list[RealShape]:
    """The known fractures of these spines; spines without one are passed over."""
    return [RealShape(spine, dict(spine.genant), spine.split) for spine in spines if spine.genant]


def real_shape_cases(shapes: Sequence[RealShape], surroundings: int, seed: int) -> Iterator[Case]:
    """Cases with these shapes, in order of shape and surrounding.

    Args:
        shapes: their CTs, where they have one, are not used.
        surroundings: cases per shape; other soft tissue, bone density, pose and scan each.
        seed: of the first.
    """
    for shape in shapes:
        asked_for = {vertebra: max(grade, 1) for vertebra, grade in shape.grades.items()}  # is shown and left as it is
        alone = replace(shape.spine, hu=None, slice_step_mm=1.0, genant=asked_for)
        for number in range(surroundings):
            case = simulate_case(alone, seed + number, _NO_NEW_FRACTURES, fractured=False)
            case = _with_intact(case, {vertebra for vertebra, grade in shape.grades.items() if grade == 0})
            yield replace(case, name=f"shape-{shape.spine.name}-{seed + number}")


def _with_intact(case: Case, controls: set[int]) -> Case:
    """The case whose truth says of these vertebrae that they are intact."""
    known = {i: about for i, about in case.truth["vertebrae"].items() if int(i) not in controls}
    fractured = tuple(vertebra for vertebra in case.fractured if vertebra not in controls)
    return replace(case, fractured=fractured, truth={**case.truth, "vertebrae": known})


def shape_rows(shapes: Sequence[RealShape], scores: Sequence[CaseScore], threshold: float) -> list[dict]:
    """One row per vertebra that is asked for, over its surroundings.

    Args: scores: of ``real_shape_cases``, in its order.

    Returns: shape, origin, vertebra, genant, cases in which enough of the body is visible, in how many of these it was
        found (10 % covered; None of controls) and called (mean probability over the threshold), mean probability.
    """
    rows = []
    each = len(scores) // max(len(shapes), 1)
    for number, shape in enumerate(shapes):
        own = scores[number * each : (number + 1) * each]
        for vertebra, grade in sorted(shape.grades.items()):
            bodies = [v for score in own for v in score.vertebrae if v.vertebra == vertebra]
            lesions = [one for score in own for one in score.lesions if one.lesion.vertebra == vertebra]
            rows.append(
                {
                    "shape": shape.spine.name,
                    "origin": shape.origin,
                    "vertebra": NAMES[vertebra],
                    "genant": grade,
                    "cases": len(lesions) if grade else len(bodies),
                    "found": sum(lesion.found for lesion in lesions) if grade else None,
                    "called": sum(body.probability >= threshold for body in bodies),
                    "probability": defined(mean([body.probability for body in bodies])),
                }
            )
    return rows


def shapes_found(rows: Sequence[dict]) -> dict[str, dict[str, int]]:
    """Genant 2 and 3 together and 1 apart: vertebrae seen, found in most of their cases, and found in all of them.

    Of the controls, genant 0: vertebrae seen, and called in most or all of their cases, which is wrong.
    """
    result = {}
    for name, grades in (("genant_2_3", (2, 3)), ("genant_1", (1,))):
        seen = [row for row in rows if row["genant"] in grades and row["cases"]]
        result[name] = {
            "vertebrae": len(seen),
            "found_in_most_cases": sum(2 * row["found"] > row["cases"] for row in seen),
            "found_in_all_cases": sum(row["found"] == row["cases"] for row in seen),
        }
    controls = [row for row in rows if row["genant"] == 0 and row["cases"]]
    result["controls"] = {
        "vertebrae": len(controls),
        "called_in_most_cases": sum(2 * row["called"] > row["cases"] for row in controls),
        "called_in_all_cases": sum(row["called"] == row["cases"] for row in controls),
    }
    return result
