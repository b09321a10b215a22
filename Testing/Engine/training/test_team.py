"""Two processes on the CPU, as torchrun starts them, against one. ``team_worker.py`` is what they do."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed

from SpineFractureSegLib.engine.case import save_case
from SpineFractureSegLib.engine.model_file import load_model
from SpineFractureSegLib.engine.training.checkpoint import load_checkpoint
from SpineFractureSegLib.engine.training.team import Team

WORKER = Path(__file__).with_name("team_worker.py")
SETTINGS = """
training:
  batch_size: 4
  slices_per_epoch: 12
  max_epochs: 2
  early_stopping_epochs: 0
  schedule: cosine
  ema_decay: 0.9
  workers: 0
  precision: float32
  validation_slice_step: 9
  validation_negative_slice_step: 9
network: {width: 4, input_channels: 3, outputs: [fracture, vertebra], decoder_skips: true}
preprocessing: {context_mm: [-3, 0, 3], window_size: [32, 32]}
"""

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or not torch.distributed.is_available(), reason="needs torch's distributed package"
)


def torchrun(*words) -> subprocess.CompletedProcess:
    """Two processes to their end; all of them are ended when they hang."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
    ) as process:
        try:
            output, _ = process.communicate(timeout=1800)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, output)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_case):
    """The folder in which two processes trained, stopped, went on, and were killed."""
    folder = tmp_path_factory.mktemp("team")
    (folder / "settings.yaml").write_text(SETTINGS)
    small = {"shape": (72, 32, 12)}
    healthy = {"fractured": False, "has_bodies": False, **small}
    for part, cases in {
        "train": [make_case(1, **small), make_case(2, **healthy)],
        "validation": [make_case(3, **small), make_case(4, **healthy), make_case(5, fractured=False, **small)],
    }.items():
        (folder / "cases" / part).mkdir(parents=True)
        for case in cases:
            save_case(folder / "cases" / part / f"{case.name}.npz", case)
    done = torchrun(WORKER, folder)
    assert done.returncode != 0  # killed at last
    assert (folder / "seen.json").exists(), done.stdout
    return folder


@pytest.fixture(scope="module")
def seen(folder):
    return json.loads((folder / "seen.json").read_text())


@pytest.fixture(scope="module")
def resumed(folder):
    """What the command said that went on with the killed run, in two processes again."""
    words = ["--data", folder / "cases", "--cases", "0", "--validation-cases", "0", "--device", "cpu"]
    settings = ["--config", folder / "settings.yaml", "--progress", "none"]
    return torchrun("-m", "SpineFractureSegLib", "train", "--output", folder / "killed", *words, *settings)


def test_both_processes_hold_the_same_weights_after_some_steps(seen):
    assert seen["size"] == 2
    assert len(seen["digests"]) == 2
    assert len(set(seen["digests"])) == 1


def test_two_processes_learn_what_one_learns(folder, one_thread):
    spec = importlib.util.spec_from_file_location("team_worker", WORKER)
    worker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worker)
    alone = worker.learned(Team("cpu"), folder)
    together = load_checkpoint(folder / "0.pt")
    before = worker.learned(Team("cpu"), folder, steps=0).network.state_dict()
    moved = 0.0
    for name, value in alone.network.state_dict().items():
        torch.testing.assert_close(together["network"][name], value, rtol=1e-3, atol=1e-5)
        moved = max(moved, float((value - before[name]).abs().max()))
    assert moved > 1e-2  # they did learn
    torch.testing.assert_close(together["loss_sums"], alone.loss_sums(), rtol=1e-4, atol=1e-4)
    assert together["loss_sums"][:, 0].sum() == 3 * 4  # every slice is counted, and once


def test_a_request_to_one_process_stops_all(seen):
    assert [ending.split(":")[0] for ending in seen["validation"]] == ["Cancelled", "Cancelled"]
    assert [ending.split(":")[0] for ending in seen["stopped"]] == ["Cancelled", "Cancelled"]


def test_what_the_lead_cannot_do_fails_everywhere(seen):
    assert seen["by lead"] == 0
    full, stopped, no_room = seen["failures"]
    assert full == ["UserError: full", "UserError: The lead process failed: full."]
    assert [ending.split(":")[0] for ending in stopped] == ["KeyboardInterrupt", "Cancelled"]
    assert no_room == ["OSError: no room", "UserError: The lead process failed: no room."]


def test_the_lead_alone_tells_the_epochs(seen):
    assert seen["epochs told"] == [2, 0]


def assert_nearly_the_same_run(first, second):
    one, other = (load_checkpoint(path / "last.pt") for path in (first, second))
    assert one["state"]["step"] == other["state"]["step"] == 6
    for part in ("network", "average"):
        for name in one[part]:
            torch.testing.assert_close(one[part][name], other[part][name], rtol=1e-4, atol=1e-6)


def test_a_stopped_run_of_two_processes_goes_on_as_if_it_had_not_been_stopped(folder, seen):
    assert_nearly_the_same_run(folder / "whole", folder / "stopped")


def test_a_killed_run_of_two_processes_is_resumed_by_the_command(folder, resumed):
    assert resumed.returncode == 0, resumed.stdout
    assert_nearly_the_same_run(folder / "whole", folder / "killed")
    assert resumed.stdout.count("best of 2 epochs") == 1
    told = re.search(r"^validation, at a threshold of 0\.\d+: Dice (0\.\d{3}) pooled, ", resumed.stdout, re.MULTILINE)
    scores = load_model(folder / "killed" / "model.safetensors").card.scores["validation"]
    assert float(told[1]) == pytest.approx(scores["dice_pooled"], abs=0.0005)
    assert "nan" not in resumed.stdout
    assert load_model(folder / "killed" / "model.safetensors").card.scores["validation"]
    assert len((folder / "killed" / "log.csv").read_text().splitlines()) == 3
    assert not list(folder.rglob("*.partial"))
