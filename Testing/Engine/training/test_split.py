from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.training.split import PARTS, split_by_patient


def cases_of(patients, each=3):
    return [SimpleNamespace(patient=patient, name=f"{patient}-{i}") for i in range(each) for patient in patients]


@given(st.integers(1, 60), st.integers(0, 5))
def test_no_patient_is_in_two_parts_and_no_case_is_lost(patient_count, seed):
    cases = cases_of([f"p{i}" for i in range(patient_count)])
    parts = split_by_patient(cases, seed=seed)
    patients = {part: {case.patient for case in found} for part, found in parts.items()}
    assert not patients["train"] & patients["validation"]
    assert not patients["train"] & patients["test"]
    assert not patients["validation"] & patients["test"]
    assert sorted(case.name for found in parts.values() for case in found) == sorted(case.name for case in cases)


def test_shares_are_kept_and_small_parts_get_one_patient():
    sizes = {part: len(found) for part, found in split_by_patient(cases_of(range(100), each=1)).items()}
    assert sizes == {"train": 70, "validation": 10, "test": 20}
    sizes = [len(found) for found in split_by_patient(cases_of("abc", each=1)).values()]
    assert sizes == [1, 1, 1]


def test_the_order_of_cases_does_not_matter_and_the_seed_does():
    cases = cases_of([f"p{i}" for i in range(20)])
    patients_of = lambda parts: [{case.patient for case in parts[part]} for part in PARTS]  # noqa: E731
    assert patients_of(split_by_patient(cases, seed=1)) == patients_of(split_by_patient(cases[::-1], seed=1))
    assert patients_of(split_by_patient(cases, seed=1)) != patients_of(split_by_patient(cases, seed=2))


def test_a_fixed_assignment_is_followed_and_must_name_every_patient():
    assignment = {"a": "test", "b": "train", "c": "validation"}
    parts = split_by_patient(cases_of("abc"), assignment=assignment)
    assert {case.patient for case in parts["test"]} == {"a"}
    with pytest.raises(UserError, match="'d'"):
        split_by_patient(cases_of("abcd"), assignment=assignment)
    with pytest.raises(UserError, match="tset"):
        split_by_patient(cases_of("abc"), assignment={**assignment, "a": "tset"})
