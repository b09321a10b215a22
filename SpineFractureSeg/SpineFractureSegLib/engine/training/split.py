"""Which patient trains, validates, tests. A patient is never in two parts, however many cases there are of them."""

from collections.abc import Mapping, Sequence

import numpy as np

from SpineFractureSegLib.engine.case import Case
from SpineFractureSegLib.engine.errors import UserError

PARTS = ("train", "validation", "test")


def split_by_patient(
    cases: Sequence[Case],
    fractions: tuple[float, float, float] = (0.70, 0.10, 0.20),
    seed: int = 0,
    assignment: Mapping[str, str] | None = None,
) -> dict[str, list[Case]]:
    """Divides cases by patient.

    Args:
        cases: anything with a ``patient``; their order within a part is kept.
        fractions: shares of patients for train, validation and test, summing to 1. A part with a positive share gets
            at least one patient while there are enough of them, train first.
        seed: of the shuffle; the same patients and seed give the same split whatever the order of the cases.
        assignment: patient -> "train", "validation" or "test", instead of chance. It must name every patient.

    Returns:
        The cases of each part, under "train", "validation" and "test".

    Raises:
        UserError: a patient is missing from ``assignment`` or assigned to a part that does not exist.
    """
    patients = sorted({case.patient for case in cases})
    part_of = dict(assignment) if assignment is not None else _assign_at_random(patients, fractions, seed)
    for patient in patients:
        if part_of.get(patient) not in PARTS:
            raise UserError(
                f"Patient {patient!r} is assigned to {part_of.get(patient)!r}; expected one of {', '.join(PARTS)}."
            )
    return {part: [case for case in cases if part_of[case.patient] == part] for part in PARTS}


def _assign_at_random(patients: list[str], fractions: tuple[float, float, float], seed: int) -> dict[str, str]:
    shuffled = np.random.default_rng(seed).permutation(patients).tolist()
    counts = [round(fraction * len(shuffled)) for fraction in fractions]
    wanted = [part for part in range(3) if fractions[part] > 0]
    for part in wanted[: len(shuffled)]:
        counts[part] = max(counts[part], 1)
    while sum(counts) != len(shuffled):  # rounding: the largest part gives or takes
        counts[int(np.argmax(counts))] += 1 if sum(counts) < len(shuffled) else -1
    parts = [part for part, count in zip(PARTS, counts, strict=True) for _ in range(count)]
    return dict(zip(shuffled, parts, strict=True))
