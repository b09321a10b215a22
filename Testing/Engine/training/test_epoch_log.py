import csv
import sys

import pytest
import torch

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.training.epoch_log import LOG_COLUMNS, EpochLog, TensorBoardLog, epoch_row
from SpineFractureSegLib.engine.training.validation import ValidationScores

SCORES = ValidationScores(0.5, 0.4, 0.9, 1.5, 0.45)


def row_of(epoch, loss_sums=None):
    sums = torch.tensor([[4, 8.0, 4.0, 2.0, 1.0, 4], [6, 6.0, 3.0, 0.5, 0.5, 1], [0, 0, 0, 0, 0, 0]])
    return epoch_row(epoch, 10 * (epoch + 1), 1e-3, sums if loss_sums is None else loss_sums, SCORES, 2.0, 12.0)


def test_losses_are_means_over_the_samples_that_they_are_of():
    row = row_of(3)
    assert tuple(row) == LOG_COLUMNS
    assert row["loss"] == pytest.approx(14 / 10)
    assert row["fracture_loss_fractured"] == pytest.approx(1.0)
    assert row["fracture_loss_intact"] == pytest.approx(0.5)
    assert row["fracture_loss_real_negative"] != row["fracture_loss_real_negative"]  # nan: there was none
    assert row["vertebra_loss"] == pytest.approx(2.5 / 5)  # of the samples with vertebrae
    assert row["refined_mask_loss"] == pytest.approx(0.15)
    assert (row["dice_pooled"], row["threshold"], row["steps"]) == (0.5, 0.45, 40)


def test_the_log_drops_rows_of_epochs_that_are_done_again(tmp_path):
    path = tmp_path / "log.csv"
    log = EpochLog(path, ("epoch", "loss"), 0)
    for epoch in range(3):
        log.append({"epoch": epoch, "loss": 1 / 3})
    assert path.read_text().splitlines()[:2] == ["epoch,loss", "0,0.333333"]
    resumed = EpochLog(path, ("epoch", "loss"), 2)
    assert [row["epoch"] for row in resumed.rows()] == ["0", "1"]
    resumed.append({"epoch": 2, "loss": 0.5})
    with path.open(newline="") as file:
        assert [row["loss"] for row in csv.DictReader(file)] == ["0.333333", "0.333333", "0.5"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of tensorboard's own imports
def test_tensorboard_reads_what_the_log_says_and_not_what_a_killed_run_left(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    killed = TensorBoardLog(tmp_path, 0)
    for epoch in range(3):
        killed.append({**row_of(epoch), "loss": 9.0})
    killed.close()
    resumed = TensorBoardLog(tmp_path, 1)
    resumed.append(row_of(1))
    resumed.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss/loss")] == [(0, 9.0), (1, pytest.approx(1.4))]
    shown = {tag.split("/")[1] for tag in events.Tags()["scalars"]}
    assert shown == set(LOG_COLUMNS) - {"epoch"}


def test_missing_tensorboard_is_said_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(UserError, match="pip install tensorboard"):
        TensorBoardLog(tmp_path, 0)
    assert not list(tmp_path.iterdir())
