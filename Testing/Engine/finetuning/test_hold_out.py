import pytest
from hypothesis import given
from hypothesis import strategies as st

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.finetuning import TuningCase, assign_roles


def case(name, patient="", role="auto"):
    return TuningCase.of(name, "ct.nrrd", "fracture.nrrd", patient, role)


def roles(cases):
    return {case.name: case.role for case in cases}


@given(st.lists(st.integers(0, 8), min_size=2, max_size=20), st.integers(0, 5))
def test_patients_stay_together_and_some_are_held_out_whatever_the_order(patients, seed):
    cases = [case(f"c{number}", f"p{patient}") for number, patient in enumerate(patients)]
    if len(set(patients)) == 1:
        with pytest.raises(UserError, match="none is left"):
            assign_roles(cases, seed=seed)
        return
    assigned = assign_roles(cases, seed=seed)
    sides = {role: {c.patient for c in assigned if c.role == role} for role in ("train", "validation")}
    assert not sides["train"] & sides["validation"]
    assert sides["train"]
    assert len(sides["validation"]) == max(round(0.2 * len(set(patients))), 1)
    assert [c.name for c in assigned] == [c.name for c in cases]
    assert roles(assign_roles(cases[::-1], seed=seed)) == roles(assigned)


def test_what_the_user_chose_holds_and_draws_the_rest_of_the_patient_along():
    cases = [case("a", "1", "validation"), case("b", "1"), case("c", "2"), case("d", "3", "train")]
    assert roles(assign_roles(cases)) == {"a": "validation", "b": "validation", "c": "train", "d": "train"}
    assert roles(assign_roles([case("a"), case("b"), case("c")], ["b"])) == {
        "a": "train",
        "b": "validation",
        "c": "train",
    }


def test_a_free_patient_is_held_out_where_the_others_must_train():
    assert roles(assign_roles([case("a", role="train"), case("b")])) == {"a": "train", "b": "validation"}


@pytest.mark.parametrize(
    ("cases", "names", "said"),
    [
        ([case("a"), case("b")], ["c"], "no case c to hold out"),
        ([case("a", "1", "train"), case("b", "1", "validation")], [], "Patient 1 has cases to train on and held-out"),
        ([case("a", role="train"), case("b", role="train")], [], "none is left to hold out"),
        ([case("a", role="validation"), case("b", role="validation")], [], "none is left to train on"),
    ],
)
def test_what_leaves_a_side_empty_or_a_patient_on_both_is_refused(cases, names, said):
    with pytest.raises(UserError, match=said):
        assign_roles(cases, names)
