"""Whole runs on a made site with a network that knows nothing: tiny, but through every step."""

import dataclasses
import json
import shutil

import pytest
import SimpleITK as sitk
import torch

from SpineFractureSegLib.engine.errors import Cancelled, UserError
from SpineFractureSegLib.engine.finetuning import FinetuneSettings, TuningCase, finetune
from SpineFractureSegLib.engine.finetuning.blending import SHARES
from SpineFractureSegLib.engine.model_file import load_model

# the clock must not decide: with ``minutes`` None a seed gives one model
TINY = FinetuneSettings(minutes=None, epochs=2, slices_per_epoch=32, learning_rate=1e-3, mix=0, device="cpu")


class KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def tune(cases, parent, folder):
    """tune(name, ...) writes folder/name.safetensors."""

    def start(name, settings=TINY, cases=cases, **others):
        return finetune(cases, parent, folder / f"{name}.safetensors", settings, **others)

    return start


@pytest.fixture(scope="module")
def whole(tune):
    """An uninterrupted run: its result, and all that it told."""
    told = []
    return tune("whole", on_progress=told.append), told


def weights(path):
    return load_model(path).network.state_dict()


def assert_same_weights(first, second):
    first, second = weights(first), weights(second)
    for name in first:
        assert torch.equal(first[name], second[name]), name


def after_epoch(number, action):
    """An ``on_progress`` that acts once, when an epoch was validated."""
    left = [action]

    def note(progress):
        if progress.dice is not None and progress.epoch == number and left:
            left.pop()()

    return note


def raise_killed():
    raise KilledError


def test_the_child_is_described_without_names_of_patients_or_files(whole, parent, site):
    result, _ = whole
    card = load_model(result.model).card
    assert (card.name, card.parent, card.licence) == ("whole", "parent 7", "CC0")
    assert card.label_meaning == "As drawn by the owner of the cases."
    assert card.training_data[-1].startswith("2 cases of 2 patients")
    assert not card.by_body  # the parent's masks were whole bodies, these are not said to be
    assert card.scores["held_out"]["after"]["dice"] == pytest.approx(result.comparison.after.dice)
    for word in ("p1", "p3", str(site)):
        assert word not in json.dumps(dataclasses.asdict(card))
    with pytest.raises(AssertionError):
        assert_same_weights(result.model, parent.path)


def test_masks_of_whole_bodies_keep_the_parents_meaning_and_way_to_decide(tune, whole, folder):
    shutil.copytree(folder / "whole-run", folder / "bodies-run")
    card = load_model(tune("bodies", dataclasses.replace(TINY, whole_bodies=True, name="new")).model).card
    assert (card.name, card.label_meaning, card.by_body) == ("new", "whole bodies", True)


def test_what_was_chosen_after_training_is_in_the_card_and_in_the_result(whole):
    result, _ = whole
    card, blend = load_model(result.model).card, result.blend
    reading = blend.reading
    assert (card.threshold, card.min_volume_mm3) == (reading.threshold, reading.min_volume_mm3)
    assert card.body_gate == reading.fusion.body_gate
    assert card.scores["blend"] == result.to_json()["blend"] == blend.to_json()
    assert blend.share in SHARES


def test_the_result_says_what_came_of_the_held_out_case(whole, folder):
    result, _ = whole
    fields = json.loads((folder / "whole-run" / "result.json").read_text())
    assert fields == json.loads(json.dumps(result.to_json()))
    assert [case["name"] for case in fields["cases"]] == ["p3"]
    assert {"dice", "iou", "false_findings"} <= fields["before"].keys() & fields["after"].keys()
    assert fields["worse"] in (True, False)
    assert (fields["model"], fields["epochs"], fields["ended_by"]) == (str(result.model), 2, "epochs")
    ct = sitk.ReadImage(str(folder / "whole-run" / "held-out" / "1-after.seg.nrrd"))
    assert ct.GetSize() == (24, 30, 36)


def test_every_stage_and_every_epoch_is_told(whole):
    _, told = whole
    assert [p.stage for n, p in enumerate(told) if n == 0 or p.stage != told[n - 1].stage] == [
        *("prepare", "train", "validate", "train", "validate", "blend", "score")
    ]
    epochs = [progress for progress in told if progress.dice is not None]
    assert [progress.epoch for progress in epochs] == [1, 2]
    assert all(progress.loss > 0 and progress.minutes > 0 for progress in epochs)
    assert all(0 <= progress.done <= progress.total for progress in told)


def test_a_killed_run_goes_on_to_the_same_model_and_tells_the_epochs_before(tune, whole):
    with pytest.raises(KilledError):
        tune("killed", on_progress=after_epoch(1, raise_killed))
    told = []
    result = tune("killed", on_progress=told.append)
    assert_same_weights(whole[0].model, result.model)
    assert next(progress.epoch for progress in told if progress.dice is not None) == 1


def test_a_paused_run_waits_and_goes_on_to_the_same_model(tune, whole, folder):
    pause, told = folder / "paused-run" / "pause", []

    def note(progress):
        told.append(progress.stage)
        after_first(progress)
        if progress.stage == "pause" and progress.done == 0:
            pause.unlink()

    after_first = after_epoch(1, pause.touch)
    assert_same_weights(whole[0].model, tune("paused", on_progress=note).model)
    assert told.count("pause") == 2


def test_a_stopped_run_keeps_the_best_weights_so_far(tune, folder):
    stop = folder / "stopped-run" / "stop"
    result = tune("stopped", dataclasses.replace(TINY, epochs=50), on_progress=after_epoch(1, stop.touch))
    assert (result.ended_by, result.epochs, result.best_epoch) == ("stop", 1, 1)
    assert load_model(result.model).card.parent == "parent 7"
    assert not stop.exists()


def test_a_run_stopped_before_there_is_a_model_ends_without_one(tune, folder):
    stop = folder / "early-run" / "stop"
    with pytest.raises(Cancelled):
        tune("early", on_progress=lambda progress: progress.stage == "train" and stop.touch())
    assert not (folder / "early.safetensors").exists()
    assert not stop.exists()


def test_the_caller_can_cancel_at_any_time(tune, folder):
    asked = iter([False] * 3)
    with pytest.raises(Cancelled):
        tune("cancelled", should_stop=lambda: next(asked, True))
    assert not (folder / "cancelled.safetensors").exists()


def test_a_folder_with_another_run_is_refused_and_says_what_differs(tune, whole, cases, folder):
    run = folder / "whole-run"
    with pytest.raises(UserError, match="other settings"):
        tune("whole", dataclasses.replace(TINY, mix=0.2))
    with pytest.raises(UserError, match="other cases"):
        tune(
            "other", cases=[*cases[:2], dataclasses.replace(cases[2], role="train")], validation=["p1"], run_folder=run
        )


def test_a_case_that_cannot_be_used_is_left_out_and_named(tune, whole, cases, site, folder):
    shutil.copytree(folder / "whole-run", folder / "left-run")
    broken = TuningCase.of("p9", site / "p1_ct.nii.gz", site / "none.nii.gz")
    result = tune("left", cases=[*cases, broken])
    assert list(result.left_out) == ["p9"]
    assert "does not exist" in result.left_out["p9"]
    with pytest.raises(UserError, match=r"No case can be used; p9: .* does not exist"):
        tune("none", cases=[broken])


def test_no_output_is_begun_that_could_not_be_written(cases, parent, tmp_path):
    with pytest.raises(UserError, match="must end with"):
        finetune(cases, parent, tmp_path / "model.pt", TINY)
    with pytest.raises(UserError, match="no folder"):
        finetune(cases, parent, tmp_path / "nowhere" / "model.safetensors", TINY)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said_and_the_run_goes_on_when_there_is_room(tune, whole, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", full)
        with pytest.raises(UserError, match="No space left"):
            tune("full")
    assert_same_weights(whole[0].model, tune("full").model)
