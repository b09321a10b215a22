"""The command line: what it writes, what it says, how it ends, and that it leaves nothing half done."""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from SpineFractureSegLib.engine import cli
from SpineFractureSegLib.engine.cli import main
from SpineFractureSegLib.engine.errors import Cancelled
from SpineFractureSegLib.engine.model_file import ModelCard, save_model
from SpineFractureSegLib.engine.network import FractureNetwork, NetworkConfig
from SpineFractureSegLib.engine.output_set import OutputSet
from SpineFractureSegLib.engine.preprocessing import Preprocessing
from SpineFractureSegLib.engine.progress_output import progress_to
from SpineFractureSegLib.engine.writers import write_mask


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The network here is tiny: threads that wait for each other on a busy machine cost more than they give."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # of the processes that are started
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """A folder with ct.nii.gz, reference.nii.gz and model.safetensors (random weights, low threshold)."""
    folder = tmp_path_factory.mktemp("inputs")
    random = np.random.default_rng(0)
    hu = random.normal(40, 20, (32, 40, 20))
    hu[:, :6] = -1000
    hu[:, 6:14] = -100
    hu[8:24, 20:34, 6:16] = 400
    ct = sitk.GetImageFromArray(hu.astype(np.int16))
    ct.SetOrigin((-20.0, 15.0, 100.0))
    sitk.WriteImage(ct, str(folder / "ct.nii.gz"))
    reference = sitk.Cast(ct > 300, sitk.sitkUInt8)
    sitk.WriteImage(reference, str(folder / "reference.nii.gz"))

    save_random_model(folder / "model.safetensors")
    return folder


def save_random_model(path: Path, outputs: tuple[str, ...] = ("fracture",)) -> Path:
    torch.manual_seed(0)
    config = NetworkConfig(width=4, outputs=outputs)
    card = ModelCard(name="Random", version="7", threshold=0.02)
    save_model(path, FractureNetwork(config), config, Preprocessing(window_size=(32, 32)), card)
    return path


def segment(inputs: Path, output: Path, *more: object) -> list[str]:
    words = ["segment", inputs / "ct.nii.gz", "--output", output, "--model", inputs / "model.safetensors"]
    return [str(word) for word in [*words, "--device", "cpu", "--batch-size", 8, "--progress", "none", *more]]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def the_one_sentence(captured: str) -> str:
    lines = captured.strip().splitlines()
    assert len(lines) == 1, captured
    assert "Traceback" not in captured
    assert lines[0].startswith("spine-fracture-seg")
    return lines[0]


# --- segment -----------------------------------------------------------------------------------------------------


def test_segment_writes_all_outputs_and_a_summary(inputs, tmp_path, capsys):
    outputs = {
        "--probability": tmp_path / "probability.nii.gz",
        "--report": tmp_path / "report.json",
        "--preview": tmp_path / "picture.png",
    }
    more = [word for pair in outputs.items() for word in pair]
    code = main(segment(inputs, tmp_path / "mask.nii.gz", *more, "--reference", inputs / "reference.nii.gz"))
    out = capsys.readouterr().out
    assert code == 0
    assert files(tmp_path) == ["mask.nii.gz", "picture.png", "probability.nii.gz", "report.json"]

    ct, mask = sitk.ReadImage(str(inputs / "ct.nii.gz")), sitk.ReadImage(str(tmp_path / "mask.nii.gz"))
    assert (mask.GetSize(), mask.GetOrigin()) == (ct.GetSize(), ct.GetOrigin())
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["model"]["name"] == "Random"
    assert report["device"] == "cpu"
    assert report["findings"], "at this threshold something is found, or the test shows nothing"
    assert 0 <= report["scores"]["dice"] <= 1
    for expected in (
        "Random, version 7",
        "cpu, ",
        " s\n",
        f"Findings    {len(report['findings'])}",
        "Dice 0.",
        "IoU 0.",
    ):
        assert expected in out
    assert f"{report['findings'][0]['volume_mm3'] / 1000:.1f} mL" in out
    assert out.endswith("Research use only, not a medical device.\n")


def test_segment_writes_a_slicer_segmentation(inputs, tmp_path):
    assert main(segment(inputs, tmp_path / "mask.seg.nrrd")) == 0
    assert sitk.ReadImage(str(tmp_path / "mask.seg.nrrd")).GetMetaData("Segment0_Name")
    assert files(tmp_path) == ["mask.seg.nrrd"]


def test_threshold_and_smallest_volume_come_from_the_command_line(inputs, tmp_path):
    assert main(segment(inputs, tmp_path / "all.nii.gz", "--threshold", "0.999999")) == 0
    assert main(segment(inputs, tmp_path / "large.nii.gz", "--min-volume", "1e9")) == 0
    for name in ("all.nii.gz", "large.nii.gz"):
        assert not sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / name))).any()


def test_vertebrae_become_a_second_segment_where_they_are_asked_for(inputs, tmp_path):
    more = ["--model", save_random_model(tmp_path / "both.safetensors", ("fracture", "vertebra")), "--vertebrae"]
    assert main(segment(inputs, tmp_path / "m.seg.nrrd", *more)) == 0
    image = sitk.ReadImage(str(tmp_path / "m.seg.nrrd"))
    assert (image.GetMetaData("Segment0_Name"), image.GetMetaData("Segment1_Name")) == ("Fracture", "Vertebrae")
    assert image.GetNumberOfComponentsPerPixel() == 2


@pytest.mark.parametrize(("output", "expected"), [("m.nii.gz", "choose .seg.nrrd"), ("m.seg.nrrd", "fractures only")])
def test_vertebrae_that_cannot_be_given_are_refused_before_the_long_work(
    output, expected, inputs, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("SpineFractureSegLib.engine.pipeline.segment_ct", None)
    assert main(segment(inputs, tmp_path / output, "--vertebrae")) == 2
    assert expected in the_one_sentence(capsys.readouterr().err)


def test_uncompressed_images_hold_the_same(inputs, tmp_path):
    for name, more in (("small", []), ("large", ["--uncompressed"])):
        paths = tmp_path / f"{name}.seg.nrrd", "--probability", tmp_path / f"{name}.nrrd"
        assert main(segment(inputs, *paths, *more)) == 0
    for suffix in (".seg.nrrd", ".nrrd"):
        small, large = tmp_path / f"small{suffix}", tmp_path / f"large{suffix}"
        assert b"encoding: raw" in large.read_bytes()[:4000]
        assert small.stat().st_size < large.stat().st_size
        arrays = [sitk.GetArrayFromImage(sitk.ReadImage(str(path))) for path in (small, large)]
        assert np.array_equal(*arrays)


def test_progress_as_json_is_one_object_a_step(inputs, tmp_path, capsys):
    assert main([*segment(inputs, tmp_path / "m.nii.gz"), "--progress", "json"]) == 0
    facts, *steps = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert facts.keys() == {"device", "precision", "model", "version", "pid"}
    assert (facts["device"], facts["model"], facts["version"], facts["pid"]) == ("cpu", "Random", "7", os.getpid())
    assert len(steps) > 1
    assert all(step.keys() == {"stage", "done", "total"} for step in steps)
    assert steps[-1]["done"] == steps[-1]["total"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--threshold", "2"], "between 0 and 1"),
        (["--threshold", "nan"], "between 0 and 1"),
        (["--min-volume", "-1"], "0 or more"),
        (["--batch-size", "0"], "from 1 on"),
        (["--batch-size", "2.5"], "from 1 on"),
        (["--planes", "sagittal,diagonal"], "planes"),
        (["--surprise"], "--surprise"),
    ],
)
def test_wrong_arguments_are_said_in_one_sentence(words, expected, inputs, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*segment(inputs, tmp_path / "m.nii.gz"), *words])
    assert caught.value.code == 2
    assert expected in the_one_sentence(capsys.readouterr().err)
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("output", "more", "expected"),
    [
        ("m.jpg", [], "m.jpg"),
        ("missing/m.nii.gz", [], "missing"),
        ("m.nii.gz", ["--model", "unknown-model"], "no model 'unknown-model'"),
        ("m.nii.gz", ["--device", "abacus"], "abacus"),
        ("m.nii.gz", ["--reference", "{inputs}/model.safetensors"], "model.safetensors"),
        ("m.nii.gz", ["--report", "{tmp}/m.nii.gz"], "two outputs"),
        ("m.nii.gz", ["--report", "{tmp}/missing/r.json"], "missing"),
        ("m.nii.gz", ["--preview", "{tmp}/p.jpg"], "p.jpg"),
        ("m.nii.gz", ["--probability", "{tmp}/p.txt"], "p.txt"),
        ("m.nii.gz", ["--planes", "axial"], "axial"),
        ("m.nii.gz", ["--series", "2"], "series"),
    ],
)
def test_what_the_user_can_mend_exits_2_with_one_sentence_and_writes_nothing(
    output, more, expected, inputs, tmp_path, capsys
):
    more = [word.format(inputs=inputs, tmp=tmp_path) for word in more]
    assert main(segment(inputs, tmp_path / output, *more)) == 2
    assert expected in the_one_sentence(capsys.readouterr().err)
    assert files(tmp_path) == []


def test_an_output_never_overwrites_an_input(inputs, capsys):
    before = (inputs / "ct.nii.gz").read_bytes()
    assert main(segment(inputs, inputs / "ct.nii.gz")) == 2
    assert "overwritten" in the_one_sentence(capsys.readouterr().err)
    assert (inputs / "ct.nii.gz").read_bytes() == before


def test_outputs_are_checked_before_the_long_work(inputs, tmp_path, monkeypatch):
    def never(*_args, **_kwargs):
        raise AssertionError("the long work began")

    monkeypatch.setattr("SpineFractureSegLib.engine.pipeline.segment_ct", never)
    assert main(segment(inputs, tmp_path / "m.nii.gz", "--preview", tmp_path / "missing" / "p.png")) == 2


def test_a_reference_of_another_place_is_refused_before_the_long_work(inputs, tmp_path, monkeypatch, capsys):
    far = sitk.ReadImage(str(inputs / "reference.nii.gz"))
    far.SetOrigin((5000.0, 0.0, 0.0))
    sitk.WriteImage(far, str(tmp_path / "far.nii.gz"))
    monkeypatch.setattr("SpineFractureSegLib.engine.pipeline.segment_ct", None)
    assert main(segment(inputs, tmp_path / "m.nii.gz", "--reference", tmp_path / "far.nii.gz")) == 2
    assert "different places" in the_one_sentence(capsys.readouterr().err)


def test_when_the_last_output_fails_the_earlier_ones_do_not_appear(inputs, tmp_path, monkeypatch, capsys):
    (tmp_path / "m.nii.gz").write_bytes(b"older")

    def full_disk(_path, _picture):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("SpineFractureSegLib.engine.commands.segment_outputs.write_preview", full_disk)
    assert main(segment(inputs, tmp_path / "m.nii.gz", "--preview", tmp_path / "p.png")) == 1
    assert "No space left" in the_one_sentence(capsys.readouterr().err)
    assert files(tmp_path) == ["m.nii.gz"]
    assert (tmp_path / "m.nii.gz").read_bytes() == b"older"


# --- how it ends -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (Cancelled("stopped"), 130, "cancelled"),
        (KeyboardInterrupt(), 130, "cancelled"),
        (MemoryError(), 2, "memory"),
        (RuntimeError("two\nlines"), 1, "unexpected RuntimeError: two lines; add --debug"),
    ],
)
def test_every_exception_ends_in_an_exit_code_and_one_line(error, code, expected, monkeypatch, capsys):
    def fail(_arguments):
        raise error

    monkeypatch.setattr(cli.COMMANDS["models"], "run", fail)
    assert main(["models", "list"]) == code
    assert expected in the_one_sentence(capsys.readouterr().err)


def test_debug_shows_the_traceback_wherever_it_stands(monkeypatch, capsys):
    def fail(_arguments):
        raise RuntimeError("a fault")

    monkeypatch.setattr(cli.COMMANDS["models"], "run", fail)
    for words in (["--debug", "models", "list"], ["models", "list", "--debug"]):
        assert main(words) == 1
        error = capsys.readouterr().err
        assert "Traceback" in error
        assert "add --debug" not in error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.skipif(sys.platform == "win32", reason="signals of this kind are POSIX")
def test_interrupted_while_writing_it_exits_130_and_leaves_nothing(number, inputs, tmp_path):
    # the second output waits, so that the signal comes while the first is already written beside its place
    program = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a test run in the background ignores it
        "from SpineFractureSegLib.engine import report\n"
        "def wait(path, content):\n"
        "    print('writing', flush=True)\n"
        "    time.sleep(60)\n"
        "report.write_json = wait\n"
        "from SpineFractureSegLib.engine.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", program, *segment(inputs, tmp_path / "m.nii.gz", "--report", tmp_path / "r.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        assert any(name.startswith(".spine-fracture-seg-") for name in files(tmp_path))
        process.send_signal(number)
        _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert the_one_sentence(error) == "spine-fracture-seg: cancelled"
    assert files(tmp_path) == []


def test_it_runs_as_a_file_from_anywhere_where_the_package_is_not_installed(tmp_path):
    copy = tmp_path / "mödule" / "SpineFractureSegLib"
    shutil.copytree(Path(cli.__file__).parents[1], copy, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "engine.py").write_text("raise ImportError('taken from the current folder')")
    # a command of the copy alone: the installed package does not print this
    (copy / "engine" / "commands" / "models.py").write_text(
        '"""Models."""\nimport sys\n\n\ndef add_arguments(parser):\n    pass\n\n\n'
        "def run(arguments):\n    print(ascii(sys.path))\n    return 0\n"
    )
    command = [sys.executable, str(copy / "__main__.py"), "models"]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    path = ast.literal_eval(done.stdout)
    assert path[0] == str(copy.parent)
    assert str(copy) not in path, "its folders would be importable as 'engine' and 'scene'"


def test_it_runs_in_another_thread_too():
    codes = []
    thread = threading.Thread(target=lambda: codes.append(main(["models", "list"])))
    thread.start()
    thread.join()
    assert codes == [0]


@pytest.mark.skipif(sys.platform == "win32", reason="a closed pipe is another error there")
def test_a_reader_that_leaves_is_no_error(inputs):
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "SpineFractureSegLib", "models", "show", str(inputs / "model.safetensors")]
    done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_shows_each_commands_docstring_without_loading_torch():
    program = (
        "import sys\n"
        "from SpineFractureSegLib.engine.cli import main\n"
        "try:\n"
        "    main(['segment', '--help'])\n"
        "finally:\n"
        "    assert not {'torch', 'SimpleITK'} & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "spine-fracture-seg segment ct.nii.gz --output fractures.seg.nrrd" in done.stdout


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_a_summary_and_an_example(name, capsys):
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert f"\n  spine-fracture-seg {name} " in capsys.readouterr().out
    assert cli.COMMANDS[name].__doc__.splitlines()[0].endswith(".")


# --- evaluate and models -----------------------------------------------------------------------------------------


def test_evaluate_prints_and_writes_the_scores(inputs, tmp_path, capsys):
    reference = str(inputs / "reference.nii.gz")
    assert main(["evaluate", reference, reference, "--report", str(tmp_path / "scores.json")]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert (scores["dice"], scores["iou"], scores["false_positives"]) == (1.0, 1.0, 0)
    assert {"iou_two_class", "hd95_mm", "nsd_at_mm", "sensitivity"} <= scores.keys()
    assert "1.0000" in capsys.readouterr().out


def test_evaluate_takes_a_slicer_segmentation_with_overlapping_segments(inputs, tmp_path):
    reference = sitk.ReadImage(str(inputs / "reference.nii.gz"))
    layers = sitk.Compose(reference, reference * 0)  # as Slicer stores them: one component a layer
    sitk.WriteImage(layers, str(tmp_path / "layers.seg.nrrd"))
    report = tmp_path / "scores.json"
    words = [tmp_path / "layers.seg.nrrd", inputs / "reference.nii.gz", "--report", report]
    assert main(["evaluate", *map(str, words)]) == 0
    assert json.loads(report.read_text())["dice"] == 1.0


def test_evaluate_takes_the_fracture_segment_and_not_the_vertebrae_beside_it(inputs, tmp_path):
    reference = sitk.ReadImage(str(inputs / "reference.nii.gz"))
    write_mask(tmp_path / "both.seg.nrrd", reference, vertebrae=reference * 0 + 1)
    report = tmp_path / "scores.json"
    words = [tmp_path / "both.seg.nrrd", inputs / "reference.nii.gz", "--report", report]
    assert main(["evaluate", *map(str, words)]) == 0
    assert json.loads(report.read_text())["dice"] == 1.0


@pytest.mark.parametrize("content", ["empty", "text", "probability", "2D", "missing"])
def test_evaluate_refuses_what_is_no_mask(content, inputs, tmp_path, capsys):
    path = tmp_path / "mask.nii.gz"
    if content in ("empty", "text"):
        path.write_text("" if content == "empty" else "not an image")
    elif content == "probability":
        sitk.WriteImage(sitk.GetImageFromArray(np.full((4, 4, 4), 0.3, np.float32)), str(path))
    elif content == "2D":
        sitk.WriteImage(sitk.GetImageFromArray(np.ones((4, 4), np.uint8)), str(path))
    assert main(["evaluate", str(path), str(inputs / "reference.nii.gz")]) == 2
    the_one_sentence(capsys.readouterr().err)


def test_evaluate_never_overwrites_a_mask(inputs, capsys):
    reference = str(inputs / "reference.nii.gz")
    assert main(["evaluate", reference, reference, "--report", reference]) == 2
    assert "overwritten" in the_one_sentence(capsys.readouterr().err)


def test_models_are_imported_listed_shown_exported_and_deleted(inputs, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SPINE_FRACTURE_SEG_MODELS", str(tmp_path / "models"))
    assert main(["models", "import", str(inputs / "model.safetensors"), "--name", "mine"]) == 0
    assert main(["models", "list"]) == 0
    assert "mine" in capsys.readouterr().out
    assert main(["models", "show", "mine"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert (card["name"], card["threshold"], card["network"]["width"]) == ("Random", 0.02, 4)
    assert main(["models", "export", "mine", str(tmp_path)]) == 0
    assert (tmp_path / "mine.safetensors").read_bytes() == (inputs / "model.safetensors").read_bytes()
    assert main(["models", "delete", "mine"]) == 0
    capsys.readouterr()
    assert main(["models", "show", "mine"]) == 2
    assert "no model 'mine'" in the_one_sentence(capsys.readouterr().err)


# --- progress and outputs ----------------------------------------------------------------------------------------


class Terminal:
    """A stream that remembers what it is given and says whether it is a terminal."""

    def __init__(self, *, is_terminal: bool) -> None:
        self.text, self._is_terminal = "", is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


def test_the_bar_is_drawn_over_itself_and_each_stage_keeps_its_last_line():
    terminal = Terminal(is_terminal=True)
    bar = progress_to(terminal, "bar")
    for done in range(0, 101):
        bar(done, 100, "sagittal slices")
    bar(3, 3, "axial slices")
    lines = terminal.text.split("\n")
    assert len(lines) == 3
    assert lines[0].count("\r") < 100, "it is not drawn at every step"
    assert "100%" in lines[0].split("\r")[-1]
    assert "100/100" in lines[0].split("\r")[-1]
    assert "axial slices" in lines[1]


def test_a_stage_without_steps_does_not_divide_by_zero():
    terminal = Terminal(is_terminal=True)
    progress_to(terminal, "bar")(0, 0, "nothing")
    assert "100%" in terminal.text


@pytest.mark.parametrize("mode", ["bar", "none"])
def test_nothing_is_drawn_where_no_terminal_is(mode):
    stream = Terminal(is_terminal=mode == "none")
    progress_to(stream, mode)(1, 2, "slices")
    assert stream.text == ""


def test_outputs_appear_together_when_all_are_complete(tmp_path):
    with OutputSet() as outputs:
        outputs.place(tmp_path / "a.txt").write_text("a")
        outputs.place(tmp_path / "b.txt").write_text("b")
        assert not [name for name in files(tmp_path) if name.endswith(".txt")]
    assert files(tmp_path) == ["a.txt", "b.txt"]


def test_an_output_that_was_never_written_takes_the_others_back(tmp_path):
    def write_one_of_two() -> None:
        with OutputSet() as outputs:
            outputs.place(tmp_path / "a.txt").write_text("a")
            outputs.place(tmp_path / "b.txt")

    with pytest.raises(cli.UserError, match=r"b\.txt cannot be written"):
        write_one_of_two()
    assert files(tmp_path) == []


def test_a_sentence_about_an_output_names_its_final_place(tmp_path):
    def fail() -> None:
        with OutputSet() as outputs:
            raise cli.UserError(f"{outputs.place(tmp_path / 'a.txt')} cannot be written.")

    with pytest.raises(cli.UserError) as caught:
        fail()
    assert str(caught.value) == f"{tmp_path / 'a.txt'} cannot be written."
