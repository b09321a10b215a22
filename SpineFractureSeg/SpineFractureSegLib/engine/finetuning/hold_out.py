"""Which cases the network trains on and which are held out. A patient is never on both sides."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.finetuning.case_list import TuningCase

_HELD_OUT_SHARE = 0.2  # of the patients, where nobody chose


def assign_roles(cases: Sequence[TuningCase], validation: Collection[str] = (), seed: int = 0) -> list[TuningCase]:
    """The cases in their order, each with the role "train" or "validation".

    Cases that are left to chance go where their patient goes. Where nobody chose a held-out one, about a fifth of the
    patients are, at least one: the same for the same patients and seed.

    Args:
        cases: with roles as the user gave them.
        validation: names of further cases to hold out.
        seed: of the choice.

    Raises: UserError, when a name is no case's, a patient is on both sides, or either side is empty.
    """
    names = [case.name for case in cases]
    if strange := sorted(set(validation) - set(names)):
        raise UserError(f"There is no case {strange[0]} to hold out; the usable cases are: {', '.join(names[:6])}.")
    cases = [replace(case, role="validation") if case.name in validation else case for case in cases]
    role_of: dict[str, str] = {}
    for case in cases:
        if case.role != "auto" and role_of.setdefault(case.patient, case.role) != case.role:
            raise UserError(
                f"Patient {case.patient} has cases to train on and held-out ones, a patient does one: give all of them "
                "the same role."
            )
    if "validation" not in role_of.values():
        role_of |= dict.fromkeys(_chosen(cases, role_of, seed), "validation")
    assigned = [replace(case, role=role_of.get(case.patient, "train")) for case in cases]
    for role, purpose in (("train", "to train on"), ("validation", "to hold out")):
        if all(case.role != role for case in assigned):
            raise UserError(
                f"Of the {len({case.patient for case in cases})} patients none is left {purpose}, at least one is "
                "needed: add cases of another patient or change the roles."
            )
    return assigned


def _chosen(cases: Sequence[TuningCase], role_of: dict[str, str], seed: int) -> list[str]:
    """Patients to hold out among those without a role; one always stays to train on."""
    everyone = {case.patient for case in cases}
    free = sorted(everyone - role_of.keys())
    spare = len(free) if role_of else len(free) - 1
    count = min(max(round(_HELD_OUT_SHARE * len(everyone)), 1), max(spare, 0))
    return np.random.default_rng(seed).permutation(free)[:count].tolist()
