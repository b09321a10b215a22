import pytest
import torch

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.training.checkpoint import load_checkpoint, save_atomically


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
