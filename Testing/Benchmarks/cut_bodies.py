"""What the border of a CT costs: the same bodies, whole and cut so that a part of them is left.

    python Testing/Benchmarks/cut_bodies.py --output /tmp/cut-bodies

Simulates cases on the spines of a split, takes every fractured body that is whole and as many intact ones, and crops
the case so that the new border cuts the body, from above and from below. A body's probability is the mean over its
voxels, as in `benchmark accuracy`; it is called fractured from the model's threshold on. Writes cut_bodies.json and
prints a table.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from SpineFractureSegLib.engine.case import Case, load_case
from SpineFractureSegLib.engine.case_spacing import at_spacing
from SpineFractureSegLib.engine.model_file import Model, load_model
from SpineFractureSegLib.engine.pipeline import segment_array
from SpineFractureSegLib.engine.report import write_json
from SpineFractureSegLib.engine.simulator.config import HELD_OUT
from SpineFractureSegLib.engine.simulator.generate import generate_cases
from SpineFractureSegLib.engine.simulator.shapes import shape_library

SEED = 970_000
LEFT = (0.7, 0.5, 0.3)  # shares of a body that the border leaves
HIGHEST_ID = 24  # L5: below it is the sacrum


def whole_bodies(case: Case) -> list[int]:
    """Bodies of known state that neither end of the volume touches."""
    present = set(np.unique(case.bodies).tolist()) - {0, *np.unique(case.bodies[[0, -1]]).tolist()}
    return sorted(body for body in present if body <= HIGHEST_ID and body not in case.uncertain)


def chosen_bodies(case: Case, random: np.random.Generator) -> list[int]:
    """The fractured bodies and as many intact ones, at least one."""
    bodies = whole_bodies(case)
    fractured = [body for body in bodies if body in case.fractured]
    intact = [body for body in bodies if body not in case.fractured]
    return fractured + random.permutation(intact)[: max(len(fractured), 1)].tolist()


def crops(case: Case, body: int, left: float) -> Iterator[slice]:
    """Slices along the spine that keep a share of the body: without what is above it, without what is below it."""
    filled = (case.bodies == body).sum(axis=(1, 2)).cumsum() / (case.bodies == body).sum()
    yield slice(0, int(np.searchsorted(filled, left)) + 1)
    yield slice(int(np.searchsorted(filled, 1 - left)), len(filled))


def probability_of(body: int, case: Case, model: Model, device: str, part: slice = slice(None)) -> float:
    """Mean probability of a fracture over the body in a part of the case."""
    answer, _ = segment_array(case.hu[part], model, device=device)
    return float(answer["fracture"][case.bodies[part] == body].mean())


def scored(case: Case, model: Model, device: str, least_mm: float, random: np.random.Generator) -> Iterator[dict]:
    """One row per body and crop; crops shorter than ``least_mm`` are left out."""
    for body in chosen_bodies(case, random):
        row = {"case": case.name, "body": body, "fractured": body in case.fractured}
        yield {**row, "left": 1.0, "probability": probability_of(body, case, model, device)}
        left = float(random.choice(LEFT))
        for part in crops(case, body, left):
            if (part.stop - part.start) * case.spacing_mm >= least_mm:
                yield {**row, "left": left, "probability": probability_of(body, case, model, device, part)}


def table(rows: list[dict], threshold: float) -> str:
    """How many are called fractured, by what the border leaves of them."""
    lines = [
        "| left of the body | fractured: called | mean probability | intact: called | mean probability |",
        "|---" * 5 + "|",
    ]
    for left in (1.0, *LEFT):
        cells = []
        for fractured in (True, False):
            found = [row["probability"] for row in rows if (row["left"], row["fractured"]) == (left, fractured)]
            called = sum(probability >= threshold for probability in found)
            cells += [f"{called} of {len(found)}", f"{np.mean(found):.2f}" if found else "-"]
        lines.append(f"| {left:.0%} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, type=Path, metavar="FOLDER")
    parser.add_argument("--model", help="name or file; default: the bundled one")
    parser.add_argument("--library", type=Path, help="spines to simulate on; default: the shape library of the clone")
    parser.add_argument("--split", default="validation", choices=("train", "validation", "test"))
    parser.add_argument("--count", type=int, default=16, help="simulated cases")
    parser.add_argument("--least-mm", type=float, default=80.0, help="length of a crop from which it is scored")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()

    model = load_model(arguments.model)
    made = generate_cases(
        arguments.library or shape_library(),
        arguments.split,
        arguments.count,
        arguments.output / "cases",
        seed=SEED,
        config=HELD_OUT,
        processes=arguments.processes,
    )
    rows = []
    for number, path in enumerate(made.simulated):
        case = at_spacing(load_case(path), model.preprocessing.spacing_mm)
        rows += scored(case, model, arguments.device, arguments.least_mm, np.random.default_rng((SEED, number)))
        print(f"{number + 1} of {len(made.simulated)} cases", flush=True)
    write_json(arguments.output / "cut_bodies.json", {"model": model.card.name, "bodies": rows})
    print(table(rows, model.card.threshold))


if __name__ == "__main__":
    main()
