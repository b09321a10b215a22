"""The comparison of networks: counts and scores by hand, honest tables, and the whole chain at its smallest."""

import csv
import dataclasses
import json
import math
import multiprocessing
import pickle
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from SpineFractureSegLib.engine.array_metrics import dice
from SpineFractureSegLib.engine.case import MAP_UNKNOWN, Case, save_case
from SpineFractureSegLib.engine.cli import main
from SpineFractureSegLib.engine.device import choose_placement
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.inference import SlicePredictor
from SpineFractureSegLib.engine.network import ARCHITECTURES, NetworkConfig, build_network
from SpineFractureSegLib.engine.network.layers import ConcatConv
from SpineFractureSegLib.engine.paper_benchmark import cases as cases_module
from SpineFractureSegLib.engine.paper_benchmark import presets, run
from SpineFractureSegLib.engine.paper_benchmark.cases import (
    CasePaths,
    benchmark_cases,
    fractured_part,
    slices_with_fracture,
)
from SpineFractureSegLib.engine.paper_benchmark.cost import Cost, _lstm_flops, measure_cost
from SpineFractureSegLib.engine.paper_benchmark.entries import ABLATION, COMPARISON, ENTRIES, OURS, chosen_entries
from SpineFractureSegLib.engine.paper_benchmark.run import NetworkResult, run_network
from SpineFractureSegLib.engine.paper_benchmark.slice_scores import SliceCounts, score_slices, summarize
from SpineFractureSegLib.engine.paper_benchmark.tables import HEADER, csv_text, markdown, rows_of, table_rows, verdict
from SpineFractureSegLib.engine.preprocessing import Preprocessing
from SpineFractureSegLib.engine.side_by_side import side_by_side
from SpineFractureSegLib.engine.training.config import TrainingConfig

BOX = (slice(20, 40), slice(10, 30), slice(6, 18))


def made_case(name, *, fractured=True):
    """A bright body in soft tissue."""
    rng = np.random.default_rng(len(name))
    hu = rng.normal(40, 10, (64, 40, 24)).astype(np.int16)
    bodies = np.zeros(hu.shape, np.uint8)
    bodies[BOX] = 20
    hu[BOX] += 900 if fractured else 200
    return Case(name, name, hu, bodies, fractured=(20,) if fractured else (), spacing_mm=2.0)


@pytest.fixture
def tiny():
    """A preset of one step per epoch."""
    training = TrainingConfig(
        max_epochs=1, slices_per_epoch=4, batch_size=4, workers=0, observed_score="dice_mean", precision="float32"
    )
    planes = {"planes": ("sagittal", "axial"), "plane_weights": (1.0, 1.0)}
    preprocessing = Preprocessing(spacing_mm=2.0, window_size=(32, 32), **planes)
    return presets.Preset("cpu", 8, (2, 1, 2), training, preprocessing, 4, 1)


@pytest.fixture
def paths(tmp_path):
    """Case files of three parts."""
    made = {"train": ("a", "bb"), "validation": ("ccc",), "test": ("dddd", "eeeee")}
    for names in made.values():
        for name in names:
            save_case(tmp_path / f"{name}.npz", made_case(name, fractured=name != "eeeee"))
    return CasePaths(**{part: tuple(tmp_path / f"{name}.npz" for name in names) for part, names in made.items()})


class Bright(nn.Module):
    """Fracture where it is brighter than half of the window."""

    def forward(self, x):
        return 100 * (x - 0.5)


def test_slices_are_counted_in_place_and_unknown_pixels_left_out():
    case = made_case("a")
    unknown = np.zeros(case.hu.shape, np.uint8)
    unknown[20:24, :, :] = MAP_UNKNOWN
    case = dataclasses.replace(case, fracture_map=unknown)
    preprocessing = Preprocessing(spacing_mm=2.0, window_size=(32, 32))
    predictor = SlicePredictor(Bright(), 1, preprocessing, choose_placement("cpu")[0])
    for plane, axis in (("axial", 0), ("sagittal", 2)):
        counts, example = score_slices(predictor, case, plane, 0.5, 3)
        taken = np.arange(1, case.hu.shape[axis], 3)
        truth = np.moveaxis(np.take(case.fracture_mask, taken, axis), axis, 0)
        known = ~np.moveaxis(np.take(case.uncertain_mask, taken, axis), axis, 0)
        shows = truth.any((1, 2))
        assert [one.fractured for one in counts] == [True, False]
        assert [one.reference for one in counts] == [truth.sum(), 0]
        assert [one.total for one in counts] == [known[shows].sum(), known[~shows].sum()]
        for one in counts:
            assert one.overlap == one.predicted == one.reference  # a network that sees it all
        assert example.truth.sum() == truth.sum((1, 2)).max()
        np.testing.assert_array_equal(example.answer & example.truth, example.truth)


def test_scores_are_means_by_case_and_sums_over_cases():
    def counts(case, plane, overlap, predicted, reference):
        return SliceCounts(case, plane, True, overlap, predicted, reference, 100)

    first = [
        counts("a", "axial", 4, 8, 4),
        counts("a", "sagittal", 2, 2, 6),
        counts("b", "axial", 0, 5, 10),
        counts("b", "sagittal", 0, 0, 0),
        counts("intact", "axial", 0, 5, 0),
        counts("intact", "sagittal", 0, 0, 0),
    ]
    second = [dataclasses.replace(one, overlap=min(one.predicted, one.reference)) for one in first]
    scores = summarize([first, second])
    dice_a, dice_b = 2 * 6 / 20, 0.0
    assert scores["dice_of_seeds"] == pytest.approx([(dice_a + dice_b) / 2, (0.6 + 2 * 5 / 15) / 2])
    assert scores["dice"] == pytest.approx(np.mean(scores["dice_of_seeds"]))
    assert scores["dice_pooled"] == pytest.approx(np.mean([2 * 6 / 40, 2 * 11 / 40]))
    background = [(600 - 34) / (600 - 6), (600 - 29) / (600 - 11)]
    assert scores["iou_two_class"] == pytest.approx(
        np.mean([(6 / 34 + background[0]) / 2, (11 / 29 + background[1]) / 2])
    )
    assert (scores["cases"], scores["cases_with_fracture"], scores["seeds"]) == (3, 2, 2)
    assert summarize([first], "sagittal")["cases_with_fracture"] == 1
    low, high = scores["dice_interval"]
    assert low < scores["dice"] < high
    # what is painted on other slices counts where all are asked for
    others = SliceCounts("a", "axial", False, 0, 10, 0, 100)
    assert summarize([[*first, others]])["dice"] == summarize([first])["dice"]
    assert summarize([[*first, others]], all_slices=True)["dice"] == pytest.approx((2 * 6 / 30 + 0) / 2)


def test_only_slices_with_enough_fracture_are_trained_on_and_scored():
    case = made_case("a")
    case.bodies[0, :2, :2] = 20  # 16 mm2 of the body on another slice
    shown = {plane: np.flatnonzero(slices_with_fracture(case, plane)) for plane in ("axial", "sagittal")}
    assert (shown["axial"].tolist(), shown["sagittal"].tolist()) == (list(range(20, 40)), list(range(6, 18)))
    part = fractured_part(case, "sagittal")
    np.testing.assert_array_equal(part.hu, case.hu[:, :, 6:18])
    np.testing.assert_array_equal(part.fracture_mask, case.fracture_mask[:, :, 6:18])
    assert fractured_part(made_case("a", fractured=False), "sagittal") is None


def test_iou_of_one_mask_is_dice_over_two_minus_dice():
    """Which the paper's figures contradict."""
    scores = summarize([[SliceCounts("a", "axial", True, 70, 90, 80, 1000)]])
    assert scores["iou"] == pytest.approx(scores["dice"] / (2 - scores["dice"]))
    prediction, reference = np.zeros((2, 1000), bool)
    prediction[:90], reference[20:100] = True, True
    assert scores["dice"] == pytest.approx(dice(prediction, reference))


def test_the_thirteen_networks_are_those_of_the_paper():
    entries = chosen_entries(None)
    assert [sum(entry.table == table for entry in entries) for table in (COMPARISON, ABLATION, OURS)] == [7, 6, 0]
    configs = [entry.config(64) for entry in entries]
    assert len(set(map(str, configs))) == 13
    assert {config.architecture for config in configs} == set(ARCHITECTURES)
    assert configs[0] == NetworkConfig()
    assert {config.width for config in configs if config.architecture != "spinegan"} == {64}
    assert next(config.width for config in configs if config.architecture == "spinegan") == 32
    off = [[name for name, value in vars(config).items() if value is False] for config in configs[7:]]
    assert [names for names in off if "decoder_skips" in names and len(names) == 2] == off  # one module each
    with pytest.raises(UserError, match=r"no network 'vnet'.*segnet"):
        chosen_entries(["unet", "vnet"])
    assert [entry.name for entry in chosen_entries(["decoder-skips", "unet"])] == ["unet", "decoder-skips"]


@pytest.mark.parametrize("name", ["full", "gpu", "cpu"])
def test_every_preset_builds_every_network_and_keeps_the_papers_protocol(name):
    size = presets.preset(name)
    for entry in ENTRIES:
        with torch.device("meta"):
            build_network(entry.config(size.width))
    training = size.training
    assert (training.learning_rate, training.batch_size, training.plateau_factor) == (1e-3, 16, 0.4)
    assert (training.early_stopping_epochs, training.schedule) == (5, "plateau")
    assert set(size.preprocessing.planes) == {"axial", "sagittal"}
    assert np.array(size.cases) / sum(size.cases) == pytest.approx([0.7, 0.1, 0.2], abs=0.005)
    limit = {"full": math.inf, "gpu": 25 / 13, "cpu": 2 * 180 / 13}[name]  # on two cores two at a time
    assert (training.max_minutes or math.inf) <= limit


def test_arithmetic_is_that_of_the_layers():
    unet = measure_cost(NetworkConfig(width=4, architecture="unet"), (32, 32), "cpu", 1)
    network = build_network(NetworkConfig(width=4, architecture="unet"))
    assert unet.parameters == sum(p.numel() for p in network.parameters())
    flops = 0

    def count(layer, inputs, output):
        nonlocal flops
        # each weight meets every pixel of what it makes, or, transposed, of what it reads
        pixels = (inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output)[0, 0].numel()
        flops += 2 * layer.weight.numel() * pixels

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and not isinstance(layer, ConcatConv):
            layer.register_forward_hook(count)
        elif isinstance(layer, ConcatConv):
            layer.register_forward_hook(lambda layer, inputs, output: count(layer, inputs[0], output))
    with torch.no_grad():
        network(torch.zeros(2, 1, 32, 32))
    assert unet.gflops == pytest.approx(flops / 1e9, rel=1e-6)
    assert unet.ms_cpu > 0
    assert unet.ms_gpu is None


def test_attention_and_recurrent_layers_are_part_of_the_arithmetic():
    """The counter of torch knows neither the attention of CPUs nor LSTMs."""
    pooled = [NetworkConfig(width=4, attention_pooling=pooling) for pooling in (8, 4)]
    coarse, fine = (measure_cost(config, (64, 64), "cpu", 1).gflops for config in pooled)
    queries, more_keys, channels = 64 * 64, 16 * 16 - 8 * 8, 4
    attention = 2 * 2 * queries * more_keys * channels  # two products of matrices
    keys_and_values = 2 * more_keys * channels * 2 * channels
    assert fine - coarse == pytest.approx((attention + keys_and_values) / 1e9, rel=1e-6)
    network = build_network(NetworkConfig(width=4, architecture="spinegan"))
    directions, gates, inputs, units, steps = 2, 4, 16, 16, 2 * 4
    assert _lstm_flops(network, (32, 64)) == 2 * steps * directions * gates * units * (inputs + units)
    assert _lstm_flops(build_network(NetworkConfig(width=4)), (32, 64)) == 0


def _result(name, overlap, *, seed=0):
    counts = tuple(SliceCounts("a", plane, True, overlap, 50, 50, 1000) for plane in ("axial", "sagittal"))
    return NetworkResult(name, seed, {}, 0.5, 3, 2, 1.0, "epochs", 0.5, Cost(1_000_000, 2.0, 3.0, None), counts)


def test_a_table_says_when_the_proposed_network_is_not_the_best():
    results = [_result("proposed", 40), _result("unet", 45), _result("without-ffm", 30), _result("unet", 43, seed=1)]
    rows = table_rows(ENTRIES, results)
    comparison = rows_of(rows, COMPARISON)
    assert [row.entry.name for row in comparison] == ["proposed", "unet"]
    assert comparison[1].all_planes["dice"] == pytest.approx(0.88)  # of two seeds
    assert verdict(comparison) == ("The proposed network is number 2 of 2, not the best, which is U-Net with 88.00 %.")
    assert "is the best of 2; next is without FFM with 60.00 %." in verdict(rows_of(rows, ABLATION))
    mixed = [SliceCounts(case, "axial", True, overlap, 50, 50, 1000) for case, overlap in (("a", 50), ("b", 10))]
    close = [dataclasses.replace(_result(name, 0), counts=tuple(mixed)) for name in ("proposed", "unet")]
    assert verdict(table_rows(ENTRIES, close)).endswith("next is U-Net with 60.00 %, within the intervals.")
    assert "another one are needed" in verdict(rows_of(rows[:1], COMPARISON))
    lines = markdown(comparison).splitlines()
    assert {line.count("|") for line in lines} == {len(HEADER) + 1}
    assert "91.87" in lines[2]
    read = list(csv.DictReader(csv_text(rows).splitlines()))
    assert [row["paper DSC %"] for row in read] == ["91.87", "83.26", "86.18"]
    assert read[0]["M parameters"] == "1.00"


@pytest.mark.parametrize("name", ["proposed", "spinegan", "deeplabv3+"])
def test_a_network_is_trained_scored_and_not_made_again(name, tiny, paths, tmp_path, monkeypatch):
    entry = next(entry for entry in ENTRIES if entry.name == name)
    result = run_network(entry, 0, tiny, paths, tmp_path / "runs", "cpu", lambda *_: None)
    assert {(one.case, one.plane) for one in result.counts} == {
        (case, plane) for case in ("dddd", "eeeee") for plane in ("sagittal", "axial")
    }
    assert sum(one.reference for one in result.counts if one.case == "eeeee") == 0
    assert result.settings["network"]["architecture"] == entry.config(8).architecture
    assert [example.plane for example in run.load_examples(tmp_path / "runs" / f"{name}-0")] == ["sagittal", "axial"]

    monkeypatch.setattr(run, "train", lambda *_, **__: pytest.fail("trained again"))
    again = run_network(entry, 0, tiny, paths, tmp_path / "runs", "cpu", lambda *_: None)
    assert again == result
    other = dataclasses.replace(tiny, test_slice_step=5)
    with pytest.raises(UserError, match="other settings"):
        run_network(entry, 0, other, paths, tmp_path / "runs", "cpu", lambda *_: None)


def test_the_command_writes_tables_and_figures_and_goes_on_after_a_stop(tiny, paths, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(presets, "preset", lambda name: tiny)
    monkeypatch.setattr(cases_module, "benchmark_cases", lambda *_: paths)
    output = tmp_path / "paper"
    words = ["benchmark", "paper", "--output", str(output), "--device", "cpu", "--only", "proposed", "unet"]
    real = run.train
    trained = []

    def killed_at_the_second(*arguments, **options):
        trained.append(arguments[5].name)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(run, "train", killed_at_the_second)
    assert main(words) == 130
    assert "U-Net" not in (output / "paper.md").read_text(encoding="utf-8")
    assert main(words) == 0
    assert trained == ["proposed-0", "unet-0", "unet-0"]
    text = (output / "paper.md").read_text(encoding="utf-8")
    assert "| U-Net |" in text
    assert "83.26" in text
    assert "not the paper's patients" in text
    told = json.loads((output / "paper.json").read_text(encoding="utf-8"))
    assert [run["name"] for run in told] == ["proposed", "unet"]
    assert told[1]["settings"]["network"]["architecture"] == "unet"
    assert told[1]["scores"]["slices_with_fracture"]["cases"] == 2
    html = (output / "paper.html").read_text(encoding="utf-8")
    assert html.count("data:image/png") == 4
    costs = [json.loads((output / "runs" / f"{name}-0" / "cost.json").read_text()) for name in ("proposed", "unet")]
    assert all(f"| {cost['parameters'] / 1e6:.2f} |" in text for cost in costs)
    with Image.open(output / "comparison_axial.png") as figure:
        assert figure.width == 3 * 176  # truth and two networks
    assert "proposed network" in capsys.readouterr().out


def run_networks(runs, preset, cases, folder, jobs, on_progress, on_result):
    side_by_side(
        partial(run_network, preset=preset, cases=cases, folder=folder, device="cpu"),
        runs,
        jobs,
        on_progress,
        on_result,
    )


def test_side_by_side_gives_the_networks_of_one_after_the_other(tiny, paths, tmp_path):
    runs = [(entry, 0) for entry in chosen_entries(["unet", "spinegan", "segnet"])]
    told, reported = [], []
    run_networks(runs, tiny, paths, tmp_path / "1", 1, lambda *_: None, lambda: None)
    run_networks(
        runs, tiny, paths, tmp_path / "2", 2, lambda *step: told.append(step), lambda: reported.append(len(told))
    )
    assert told == [(done, 3, "networks") for done in range(4)]
    assert reported == [1, 2, 3]
    one, two = (run.kept_results(tmp_path / jobs, ENTRIES, 1) for jobs in "12")
    assert [result.name for result in one] == ["unet", "spinegan", "segnet"]
    assert [dataclasses.replace(result, minutes=0.0) for result in one] == [
        dataclasses.replace(result, minutes=0.0) for result in two
    ]


def test_a_network_that_fails_beside_another_ends_both(tiny, paths, tmp_path):
    endless = dataclasses.replace(tiny.training, max_epochs=10**6, early_stopping_epochs=0)
    runs = [(entry, 0) for entry in chosen_entries(["unet", "segnet"])]
    broken = tmp_path / "unet-0" / "last.pt"
    broken.parent.mkdir()
    broken.write_bytes(b"no checkpoint")
    with pytest.raises(UserError, match=r"last\.pt"):
        run_networks(
            runs,
            dataclasses.replace(tiny, training=endless),
            paths,
            tmp_path,
            2,
            lambda *_: None,
            lambda: None,
        )
    assert not multiprocessing.active_children()


def test_processes_end_with_a_killed_parent(tiny, paths, tmp_path):
    """They would go on writing to folders in which the next call trains."""
    endless = dataclasses.replace(tiny.training, max_epochs=10**6, early_stopping_epochs=0)
    (tmp_path / "what.pickle").write_bytes(pickle.dumps((dataclasses.replace(tiny, training=endless), paths)))
    script = tmp_path / "parent.py"
    script.write_text(
        "import pickle, sys\n"
        "from functools import partial\n"
        "from pathlib import Path\n"
        "from SpineFractureSegLib.engine.paper_benchmark.entries import chosen_entries\n"
        "from SpineFractureSegLib.engine.paper_benchmark.run import run_network\n"
        "from SpineFractureSegLib.engine.side_by_side import side_by_side\n"
        "if __name__ == '__main__':\n"
        "    folder = Path(sys.argv[1])\n"
        "    preset, paths = pickle.loads((folder / 'what.pickle').read_bytes())\n"
        "    runs = [(entry, 0) for entry in chosen_entries(['unet', 'segnet'])]\n"
        "    work = partial(run_network, preset=preset, cases=paths, folder=folder, device='cpu')\n"
        "    side_by_side(work, runs, 2, print, print)\n"
    )
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path)], stdout=subprocess.PIPE)
    try:
        while not all((tmp_path / f"{name}-0" / "last.pt").exists() for name in ("unet", "segnet")):
            assert parent.poll() is None
            time.sleep(0.1)
    finally:
        parent.kill()
    parent.communicate(timeout=60)  # ends when nobody holds the pipe any more


def test_cases_are_of_the_librarys_patients_and_a_folder_is_of_one_preset(tiny, tmp_path, monkeypatch):
    asked = []

    def generate(library, part, count, folder, **options):
        asked.append((part, count, options["seed"], options["config"].types[-1], options["spacing_mm"]))
        return type("Made", (), {"simulated": [folder / "s.npz"], "real_negatives": [folder / "r.npz"]})

    monkeypatch.setattr(cases_module, "generate_cases", generate)
    found = benchmark_cases("library", tmp_path, tiny, 1, lambda *_: None)
    assert [(part, count) for part, count, *_ in asked] == [("train", 2), ("validation", 1), ("test", 2)]
    assert len({seed for _, _, seed, *_ in asked}) == 3
    assert [one[3] == "pincer" for one in asked] == [False, False, True]  # held-out types in the test alone
    assert {one[4] for one in asked} == {2.0}
    assert (len(found.train), len(found.test)) == (1, 1)
    with pytest.raises(UserError, match="made with other settings than preset cpu"):
        benchmark_cases("library", tmp_path, dataclasses.replace(tiny, cases=(9, 9, 9)), 1, lambda *_: None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "vnet"], "no network 'vnet'"),
        (["--seeds", "0"], "--seeds, --processes and --jobs"),
        (["--jobs", "-1"], "--seeds, --processes and --jobs"),
        (["--device", "cuda:99"], "cuda:99"),
    ],
)
def test_what_cannot_be_compared_is_said_before_anything_is_made(tmp_path, capsys, words, said):
    assert main(["benchmark", "paper", "--output", str(tmp_path / "out"), *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
