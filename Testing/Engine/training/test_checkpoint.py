import pytest
import torch

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.training.checkpoint import EpochLog, load_checkpoint, save_atomically


def test_a_checkpoint_comes_back_and_leaves_no_partial_file(tmp_path):
    content = {"weights": torch.arange(3.0), "epoch": 2, "best": float("-inf"), "folder": "a"}
    save_atomically(tmp_path / "last.pt", content)
    back = load_checkpoint(tmp_path / "last.pt")
    assert torch.equal(back.pop("weights"), content.pop("weights"))
    assert back == content
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_a_failed_save_keeps_the_old_checkpoint(tmp_path):
    save_atomically(tmp_path / "last.pt", {"epoch": 1})
    with pytest.raises((AttributeError, TypeError, RuntimeError, OSError)):
        save_atomically(tmp_path / "last.pt", {"epoch": 2, "not picklable": lambda: None})
    assert load_checkpoint(tmp_path / "last.pt") == {"epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_damaged_and_foreign_files_are_refused_in_one_sentence(tmp_path):
    path = tmp_path / "last.pt"
    save_atomically(path, {"weights": torch.zeros(1000)})
    for content in (path.read_bytes()[:500], b"", b"not a checkpoint"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="cannot be read as a checkpoint"):
            load_checkpoint(path)


def test_the_log_drops_rows_of_epochs_that_are_done_again(tmp_path):
    path = tmp_path / "log.csv"
    log = EpochLog(path, ("epoch", "loss"), 0)
    for epoch in range(3):
        log.append({"epoch": epoch, "loss": 1 / 3})
    assert path.read_text().splitlines()[:2] == ["epoch,loss", "0,0.333333"]
    resumed = EpochLog(path, ("epoch", "loss"), 2)
    assert [row["epoch"] for row in resumed.rows()] == ["0", "1"]
    resumed.append({"epoch": 2, "loss": 0.5})
    assert [row["loss"] for row in resumed.rows()] == ["0.333333", "0.333333", "0.5"]
