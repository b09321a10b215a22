import csv
import dataclasses
import math
import shutil
import subprocess
import sys
import warnings

import pytest
import torch

from SpineFractureSegLib.engine.errors import Cancelled, UserError
from SpineFractureSegLib.engine.model_file import ModelCard, load_model
from SpineFractureSegLib.engine.network import FractureNetwork, NetworkConfig
from SpineFractureSegLib.engine.preprocessing import Preprocessing
from SpineFractureSegLib.engine.training import TrainingConfig, train
from SpineFractureSegLib.engine.training.augmentation import NO_AUGMENTATION
from SpineFractureSegLib.engine.training.checkpoint import load_checkpoint
from SpineFractureSegLib.engine.training.epoch_log import LOG_COLUMNS

NETWORK = NetworkConfig(width=4, input_channels=3, outputs=("fracture", "vertebra"), decoder_skips=True)
PREPROCESSING = Preprocessing(context_mm=(-3.0, 0.0, 3.0), window_size=(80, 48))  # one window a slice
TINY = TrainingConfig(
    batch_size=4,
    max_epochs=2,
    slices_per_epoch=12,
    early_stopping_epochs=0,
    schedule="cosine",
    warmup_steps=2,
    ema_decay=0.9,
    workers=0,
    precision="float32",
    validation_slice_step=6,
    validation_negative_slice_step=12,
)


class KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def run(make_case, folder, one_thread):
    """run(name, **changes of TINY) trains in folder/name on four cases and validates on two; others go to ``train``."""
    thin = (72, 40, 18)
    negative = {"fractured": False, "has_bodies": False, "shape": thin}
    training = [make_case(1, shape=thin), make_case(2, shape=thin), make_case(3, fractured=False, shape=thin)]
    training.append(make_case(4, **negative))
    validation = [make_case(5, shape=thin), make_case(6, **negative)]

    def start(name, on_progress=None, cases=training, validation_cases=validation, network=NETWORK, **changes):
        fields = {field.name for field in dataclasses.fields(TrainingConfig)}
        config = dataclasses.replace(TINY, **{key: value for key, value in changes.items() if key in fields})
        others = {key: value for key, value in changes.items() if key not in fields}
        if on_progress:
            others["on_progress"] = on_progress
        return train(
            config, network, PREPROCESSING, iter(cases), iter(validation_cases), folder / name, device="cpu", **others
        )

    return start


@pytest.fixture(scope="module")
def whole(run, folder):
    """The folder of an uninterrupted run, and what ``train`` returned."""
    card = ModelCard(name="tiny", label_meaning="the flat box", licence="CC0")
    return folder / "whole", run("whole", card=card)


def weights_in(path):
    return load_checkpoint(path)["network"]


def assert_same_weights(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_checkpoints_a_log_and_a_model(whole):
    folder, result = whole
    assert {path.name for path in folder.iterdir()} == {
        "last.pt",
        "best.pt",
        "log.csv",
        "report.html",
        "model.safetensors",
    }
    assert (result.epochs, result.ended_by) == (2, "epochs")
    model = load_model(result.model_path)
    assert model.network_config == NETWORK
    assert model.preprocessing == PREPROCESSING
    assert (model.card.name, model.card.label_meaning, model.card.licence) == ("tiny", "the flat box", "CC0")
    assert model.card.threshold == result.scores.threshold
    assert model.card.min_volume_mm3 == result.scores.min_volume_mm3
    assert model.card.scores["validation"]["dice_pooled"] == pytest.approx(result.scores.dice_pooled)
    best = weights_in(folder / "best.pt")
    weight = next(iter(best))
    assert torch.allclose(model.network.state_dict()[weight], best[weight], atol=1e-3)


def test_the_log_has_one_row_per_epoch_with_the_losses_of_each_kind_apart(whole):
    rows = rows_of(whole[0] / "log.csv")
    assert tuple(rows[0]) == LOG_COLUMNS
    assert [row["epoch"] for row in rows] == ["0", "1"]
    for row in rows:
        assert all(math.isfinite(float(row[name])) for name in LOG_COLUMNS)
    kinds = [float(rows[0][f"fracture_loss_{kind}"]) for kind in ("fractured", "intact", "real_negative")]
    assert len(set(kinds)) == 3


def test_a_run_killed_after_an_epoch_and_resumed_ends_with_the_same_weights(run, whole, folder):
    def kill_in_second_epoch(done, total, stage):
        if (done, stage) == (2, "epoch 2"):
            raise KilledError

    with pytest.raises(KilledError):
        run("killed", on_progress=kill_in_second_epoch)
    assert load_checkpoint(folder / "killed" / "last.pt")["state"]["epoch"] == 1
    assert run("killed").epochs == 2
    first, second = (load_checkpoint(path / "last.pt") for path in (whole[0], folder / "killed"))
    assert_same_weights(first["network"], second["network"])
    assert_same_weights(first["average"], second["average"])
    assert_same_weights(weights_in(whole[0] / "best.pt"), weights_in(folder / "killed" / "best.pt"))
    timed = ("minutes", "slices_per_second")
    logs = [rows_of(path / "log.csv") for path in (whole[0], folder / "killed")]
    first, second = ([{key: row[key] for key in row if key not in timed} for row in log] for log in logs)
    assert first == second


def test_a_run_stopped_in_the_middle_of_an_epoch_goes_on_from_there(run, whole, folder):
    asked = iter(range(100))
    with pytest.raises(Cancelled):
        run("stopped", should_stop=lambda: next(asked) == 1)
    assert load_checkpoint(folder / "stopped" / "last.pt")["state"]["step_in_epoch"] == 2
    run("stopped")
    assert_same_weights(weights_in(whole[0] / "last.pt"), weights_in(folder / "stopped" / "last.pt"))
    assert rows_of(whole[0] / "log.csv")[0]["loss"] == rows_of(folder / "stopped" / "log.csv")[0]["loss"]


def test_a_run_killed_while_it_validates_goes_on_with_the_validation(run, whole, folder):
    def kill_in_validation(done, total, stage):
        if stage == "validation cases":
            raise KilledError

    with pytest.raises(KilledError):
        run("killed in validation", on_progress=kill_in_validation)
    run("killed in validation")
    assert_same_weights(weights_in(whole[0] / "last.pt"), weights_in(folder / "killed in validation" / "last.pt"))


def test_a_finished_run_on_a_plateau_can_be_lengthened(run, folder):
    plateau = {"schedule": "plateau", "ema_decay": 0.0}
    assert run("lengthened", max_epochs=1, **plateau).epochs == 1
    assert run("lengthened", max_epochs=2, **plateau).epochs == 2
    assert [row["epoch"] for row in rows_of(folder / "lengthened" / "log.csv")] == ["0", "1"]


def test_a_folder_with_another_run_is_refused(run):
    run("refused", max_epochs=1)
    with pytest.raises(UserError, match=r"learning_rate = 0\.001, not 0\.01"):
        run("refused", learning_rate=0.01)
    with pytest.raises(UserError, match="width"):
        run("refused", network=dataclasses.replace(NETWORK, width=8))


def test_a_tiny_network_learns_an_easy_problem(run, folder):
    result = run(
        "easy",
        network=dataclasses.replace(NETWORK, width=8),
        max_epochs=4,
        slices_per_epoch=80,
        learning_rate=1e-2,
        augmentation=NO_AUGMENTATION,
    )
    rows = rows_of(folder / "easy" / "log.csv")
    assert float(rows[-1]["loss"]) < 0.6 * float(rows[0]["loss"])
    assert float(rows[-1]["vertebra_loss"]) < 0.7 * float(rows[0]["vertebra_loss"])
    assert result.scores.dice_pooled > 0.5


def test_early_stopping_ends_a_run_that_no_longer_improves(run):
    # without a step the score cannot improve after the first epoch
    result = run(
        "early", max_epochs=10, learning_rate=1e-30, early_stopping_epochs=2, schedule="plateau", ema_decay=0.0
    )
    assert result.ended_by == "no improvement"
    assert result.epochs <= 5


def test_the_observed_score_chooses_the_best_weights(run, folder, monkeypatch):
    """Pooled Dice rises and falls, Dice by case falls: each has its own best epoch, and the last one is neither."""
    from SpineFractureSegLib.engine.training import trainer

    def scored_better_and_worse():
        epochs = iter(range(10))
        real = trainer.validation_scores

        def scores(scored):
            epoch = min(next(epochs), 2)
            return dataclasses.replace(real(scored), dice_pooled=(0.1, 0.3, 0.2)[epoch], dice_mean=0.9 - 0.1 * epoch)

        return scores

    for observed, best in (("dice_pooled", 1), ("dice_mean", 0), ("last", 2)):
        with monkeypatch.context() as patch:
            patch.setattr(trainer, "validation_scores", scored_better_and_worse())
            settings = {"max_epochs": 3, "slices_per_epoch": 4, "observed_score": observed, "schedule": "cosine"}
            result = run(f"observed {observed}", **settings)
        assert result.best_epoch == best
        assert load_checkpoint(folder / f"observed {observed}" / "best.pt")["epoch"] == best
        assert result.epochs == 3


def test_every_epoch_is_told_as_the_log_has_it(run, folder):
    rows = []
    run("told", on_epoch=rows.append, slices_per_epoch=4)
    assert [row["epoch"] for row in rows] == [0, 1]
    for row, logged in zip(rows, rows_of(folder / "told" / "log.csv"), strict=True):
        assert tuple(row) == tuple(logged) == LOG_COLUMNS
        assert float(logged["loss"]) == pytest.approx(row["loss"], rel=1e-5)


def test_a_stop_while_validating_is_a_stop(run, whole, folder):
    stop = []

    def stop_in_validation(done, total, stage):
        if stage == "validation cases":
            stop.append(True)

    with pytest.raises(Cancelled):
        run("stopped in validation", on_progress=stop_in_validation, should_stop=lambda: bool(stop))
    run("stopped in validation")
    assert_same_weights(weights_in(whole[0] / "last.pt"), weights_in(folder / "stopped in validation" / "last.pt"))


def test_two_validation_cases_of_one_name_are_two_cases(run, make_case, monkeypatch):
    from SpineFractureSegLib.engine.training import trainer

    thin = (72, 40, 18)
    first, second = (dataclasses.replace(make_case(seed, shape=thin), name="same") for seed in (5, 7))
    seen = []
    real = trainer.validation_scores
    monkeypatch.setattr(trainer, "validation_scores", lambda scored: seen.append(scored) or real(scored))
    run("same names", validation_cases=[first, second], max_epochs=1, slices_per_epoch=4)
    assert [item.case.patient for item in seen[0]] == ["patient5", "patient7"]


def test_dice_by_case_needs_a_validation_case_with_a_fracture(run, make_case):
    healthy = make_case(6, fractured=False, shape=(72, 40, 18))
    with pytest.raises(UserError, match="observe dice_pooled"):
        run("healthy", observed_score="dice_mean", validation_cases=[healthy])


def test_a_time_budget_ends_the_run_within_an_epoch_and_the_rate_reaches_zero(run, folder):
    result = run("budget", max_epochs=1000, slices_per_epoch=100_000, max_minutes=0.02)
    assert result.ended_by == "time"
    assert result.epochs == 1
    assert float(rows_of(folder / "budget" / "log.csv")[-1]["learning_rate"]) == 0.0


def test_fine_tuning_starts_from_the_given_weights(run, folder):
    torch.manual_seed(5)
    start = FractureNetwork(NETWORK)
    run("fine", start_from=start, learning_rate=1e-30, max_epochs=1, ema_decay=0.0)
    trained = weights_in(folder / "fine" / "last.pt")
    for name, parameter in start.named_parameters():
        assert torch.allclose(trained[name], parameter, atol=1e-6)


def test_the_papers_network_without_vertebra_channel_trains(run):
    paper = NetworkConfig(width=4, input_channels=3)
    assert run("paper", network=paper, max_epochs=1).epochs == 1


def test_a_loss_that_is_no_number_is_never_saved(run, folder):
    broken = FractureNetwork(NETWORK)
    with torch.no_grad():
        next(broken.parameters()).fill_(float("nan"))
    with pytest.raises(UserError, match="no longer a number"):
        run("nan", start_from=broken)
    assert not (folder / "nan" / "last.pt").exists()


def test_a_run_from_before_a_setting_existed_goes_on_with_its_default(whole, run, folder, tmp_path):
    shutil.copytree(whole[0], tmp_path / "old")
    checkpoint = load_checkpoint(tmp_path / "old" / "last.pt")
    del checkpoint["configs"]["training"]["balance"]["scanned"]
    torch.save(checkpoint, tmp_path / "old" / "last.pt")
    assert run(tmp_path / "old").epochs == 2
    changed = dataclasses.replace(TINY.balance, scanned=0.5)
    with pytest.raises(UserError, match="another folder or the same settings"):
        run(tmp_path / "old", balance=changed)


def test_missing_validation_cases_and_channels_that_do_not_fit_are_said(run):
    with pytest.raises(UserError, match="no validation cases"):
        run("missing", validation_cases=[])
    with pytest.raises(ValueError, match="channels"):
        run("missing", network=dataclasses.replace(NETWORK, input_channels=1))


@pytest.mark.skipif(sys.platform == "win32", reason="worker processes are spawned there, which takes long")
def test_worker_processes_give_the_same_weights(run, whole, folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: fork in a process with threads
        run("worker", workers=1)
    assert_same_weights(weights_in(whole[0] / "last.pt"), weights_in(folder / "worker" / "last.pt"))


def test_training_needs_neither_simpleitk_nor_monai():
    code = (
        "import sys; sys.modules['SimpleITK'] = sys.modules['monai'] = None; "
        "import SpineFractureSegLib.engine.training.presets, SpineFractureSegLib.engine.training"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
