"""``finetune`` from the shell's side, in the same process."""

import json
import signal
import sys

import pytest
import torch

from SpineFractureSegLib.engine.cli import main
from SpineFractureSegLib.engine.finetuning import Comparison, FinetuneSettings, estimate, finetune, read_cases
from SpineFractureSegLib.engine.model_file import load_model
from SpineFractureSegLib.engine.model_store import list_models

SHORT = ["--minutes", "0", "--epochs", "1", "--slices-per-epoch", "32", "--mix", "0", "--device", "cpu"]


@pytest.fixture(autouse=True)
def own_models(tmp_path, monkeypatch):
    monkeypatch.setenv("SPINE_FRACTURE_SEG_MODELS", str(tmp_path / "models"))


def test_shell_and_python_give_the_same_model_from_the_same_seed(site, parent, tmp_path, capsys):
    words = ["finetune", "--cases", str(site), "--from", str(parent.path), *SHORT]
    output = ["--output", str(tmp_path / "shell.safetensors")]
    assert main([*words, *output, "--validation", "p2", "--register", "--name", "clinic", "--progress", "json"]) == 0
    captured = capsys.readouterr()
    first, *steps = [json.loads(line) for line in captured.out.splitlines()]
    assert first.keys() == {"device", "precision", "model", "version", "pid"}
    assert (first["model"], first["device"]) == ("parent", "cpu")
    assert all({"stage", "done", "total"} <= step.keys() for step in steps)
    assert [step["epoch"] for step in steps if "dice" in step] == [1]
    assert "Held out" in captured.err

    settings = FinetuneSettings(minutes=None, epochs=1, slices_per_epoch=32, mix=0, device="cpu", name="clinic")
    result = finetune(read_cases(site).cases, parent, tmp_path / "python.safetensors", settings, validation=["p2"])
    by_shell, by_python = (load_model(tmp_path / f"{name}.safetensors") for name in ("shell", "python"))
    for name, tensor in by_shell.network.state_dict().items():
        assert torch.equal(tensor, by_python.network.state_dict()[name]), name
    assert by_shell.card.threshold == by_python.card.threshold
    assert by_shell.card.label_meaning == "as drawn by the owner of the data"
    assert ("clinic" in {model.name for model in list_models()}) is not result.worse


def test_a_worse_model_is_said_to_be_so_and_not_registered(site, parent, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Comparison, "worse", True)
    words = ["finetune", "--cases", str(site), "--from", str(parent.path), *SHORT]
    assert main([*words, "--output", str(tmp_path / "bad.safetensors"), "--register"]) == 0
    out = capsys.readouterr().out
    assert "WORSE" in out
    assert "Registered      no" in out
    assert "bad" not in {model.name for model in list_models()}
    assert json.loads((tmp_path / "bad-run" / "result.json").read_text())["worse"]


def test_a_terminated_run_leaves_no_model_and_the_same_command_goes_on(site, parent, tmp_path, capsys, monkeypatch):
    words = ["finetune", "--cases", str(site), "--from", str(parent.path), *SHORT]
    words += ["--output", str(tmp_path / "m.safetensors"), "--progress", "json"]
    write = sys.stdout.write

    def terminate_at_training(text):
        if '"train"' in text:
            signal.raise_signal(signal.SIGTERM)
        return write(text)

    with monkeypatch.context() as patched:
        patched.setattr(sys.stdout, "write", terminate_at_training)
        assert main(words) == 130
    assert not (tmp_path / "m.safetensors").exists()
    assert main(words) == 0
    assert (tmp_path / "m.safetensors").exists()


def test_a_check_says_of_each_case_whether_it_can_be_used_and_who_is_held_out(site, tmp_path, capsys):
    rows: list[dict] = [
        {"name": f"p{n}", "image": str(site / f"p{n}_ct.nii.gz"), "mask": str(site / f"p{n}_fracture.nii.gz")}
        for n in (1, 2, 3)
    ]
    rows.append({"name": "gone", "image": "gone.nrrd", "mask": "gone.nrrd", "patient": "x"})
    (tmp_path / "cases.json").write_text(json.dumps({"cases": rows}))
    assert main(["finetune", "--cases", str(tmp_path / "cases.json"), "--check"]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert [(answer["name"], answer["ok"]) for answer in answers] == [
        *(("p1", True), ("p2", True), ("p3", True), ("gone", False))
    ]
    assert sorted(str(answer["role"]) for answer in answers) == ["None", "train", "train", "validation"]
    assert "does not exist" in answers[-1]["reason"]


def test_a_check_of_a_single_patient_says_that_another_is_needed(site, tmp_path, capsys):
    row = {"name": "a", "image": str(site / "p1_ct.nii.gz"), "mask": str(site / "p1_fracture.nii.gz")}
    (tmp_path / "cases.json").write_text(json.dumps({"cases": [row]}))
    assert main(["finetune", "--cases", str(tmp_path / "cases.json"), "--check"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == [{"name": "a", "ok": True, "reason": "", "patient": "a", "role": None}]
    assert "none is left to hold out" in captured.err


def test_an_estimate_fits_the_time_budget_and_the_epochs(parent, capsys):
    words = ["finetune", "--from", str(parent.path), "--estimate", "--device", "cpu", "--epochs", "4", "--minutes", "0"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["device"], told["epochs"]) == ("cpu", 4)
    assert told["seconds_per_epoch"] > 0
    short = estimate(parent, FinetuneSettings(minutes=1e-6, epochs=4, device="cpu"))
    assert (short.epochs, short.minutes) == (1, 1e-6)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "No cases were named"),
        (["--cases", "SITE"], "No file was named for the new model"),
        (["--cases", "SITE", "--output", "m.safetensors", "--mix", "1"], "mix must be a share in [0, 1), not 1.0"),
        (["--cases", "SITE", "--output", "m.safetensors", "--validation", "p9"], "no case p9 to hold out"),
        (["--cases", "SITE", "--output", "spine-fracture-default.safetensors", "--register"], "already a model"),
        (["--cases", "SITE", "--output", "m.safetensors", "--from", "nobody"], "no model 'nobody'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(site, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert main(["finetune", *(str(site) if word == "SITE" else word for word in words)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert not list(tmp_path.iterdir())
