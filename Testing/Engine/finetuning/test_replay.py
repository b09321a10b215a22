import filecmp
from pathlib import Path

import pytest

from SpineFractureSegLib.engine.case import load_case
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.finetuning import FinetuneSettings, replay
from SpineFractureSegLib.engine.finetuning.replay import Replay, make_replay, packaged_spines, replay_library
from SpineFractureSegLib.engine.progress import never_stop, no_progress
from SpineFractureSegLib.engine.simulator.shapes import load_library, shape_library


def test_every_installation_has_spines_to_train_and_to_validate_on_and_they_are_the_librarys():
    spines = load_library(packaged_spines())
    assert {spine.split for spine in spines} == {"train", "validation"}
    assert all(spine.ids and spine.hu is None for spine in spines)
    for path in packaged_spines().glob("*.npz"):
        assert filecmp.cmp(path, shape_library() / path.name, shallow=False), path.name


def test_the_chosen_library_goes_before_the_clones_and_that_before_the_packages(monkeypatch):
    assert replay_library(Path("mine")) == Path("mine")
    assert replay_library() == shape_library()

    def absent():
        raise UserError("not here")

    monkeypatch.setattr(replay, "shape_library", absent)
    assert replay_library() == packaged_spines()


def test_replay_trains_and_validates_on_different_patients_at_the_parents_spacing(tmp_path):
    settings = FinetuneSettings(replay_cases=1, library=packaged_spines())
    told = []
    made = make_replay(settings, 1, 3.0, tmp_path, lambda *step: told.append(step), never_stop)
    assert (len(made.training), len(made.validation)) == (1, 12)  # one score of one case would be chance
    assert (made.real_negatives, made.validation_negatives) == ((), ())
    training, *validation = (load_case(path) for path in (*made.training, *made.validation))
    assert training.patient not in {case.patient for case in validation}
    assert {case.spacing_mm for case in (training, *validation)} == {3.0}
    assert not training.truth.get("as_scanned")
    assert told[-1] == (12, 12, "simulate")


def test_without_a_mix_nothing_is_simulated_and_a_folder_without_spines_is_refused(tmp_path):
    assert make_replay(FinetuneSettings(mix=0), 1, 1.5, tmp_path, no_progress, never_stop) == Replay()
    with pytest.raises(UserError, match="no spines to simulate on"):
        make_replay(FinetuneSettings(library=tmp_path), 1, 1.5, tmp_path, no_progress, never_stop)
