import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from SpineFractureSegLib.engine.benchmark.case_score import compare
from SpineFractureSegLib.engine.calibration.calibrate import calibrate
from SpineFractureSegLib.engine.case import load_case, save_case
from SpineFractureSegLib.engine.cli import main
from SpineFractureSegLib.engine.errors import Cancelled, UserError
from SpineFractureSegLib.engine.model_card import read_parts
from SpineFractureSegLib.engine.model_file import ModelCard, load_model, save_model
from SpineFractureSegLib.engine.network import FractureNetwork, NetworkConfig
from SpineFractureSegLib.engine.pipeline import segment_array
from SpineFractureSegLib.engine.preprocessing import Preprocessing


@pytest.fixture
def paths(make_case, tmp_path):
    """Two cases with a fracture, one without, and a real CT without."""
    cases = [make_case(1), make_case(2), make_case(3, fractured=False), make_case(4, fractured=False, as_scanned=True)]
    for case in cases:
        save_case(tmp_path / f"{case.name}.npz", case)
    return sorted(tmp_path.glob("*.npz"))


def test_a_network_that_is_too_sure_is_cooled_to_what_it_knows(make_model, paths):
    model = make_model(4.0, threshold=0.3, scores={"validation": {"dice": 0.5}})
    found = calibrate(model, paths, device="cpu")
    # three of four bodies with known truth are intact: the best temperature is a little above 4
    assert found.temperature == pytest.approx(4.0, rel=0.25)
    assert found.after["cross_entropy"] < found.before["cross_entropy"]
    assert found.after["calibration_error"] < found.before["calibration_error"]
    x = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        assert torch.allclose(found.model.network(x)[:, 0] * found.temperature, model.network(x)[:, 0], atol=1e-4)
    card = found.model.card
    assert (card.name, card.version) == ("made", "3")
    assert card.scores["validation"] == {"dice": 0.5}
    assert card.scores["calibration"]["temperature"] == found.temperature
    assert card.scores["calibration"]["cases_with_fracture"] == 2
    assert (card.threshold, card.min_volume_mm3) == (found.reading.threshold, found.reading.min_volume_mm3)
    json.dumps(card.scores, allow_nan=False)


def test_the_same_arguments_give_the_same_model(make_model, paths):
    first, second = (calibrate(make_model(4.0), paths, device="cpu") for _ in range(2))
    assert first.reading == second.reading
    assert first.model.card == second.model.card
    for a, b in zip(first.model.network.parameters(), second.model.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_what_is_measured_after_is_what_the_model_does(make_model, paths):
    """Calibrating the calibrated model again changes nothing but rounding."""
    once = calibrate(make_model(4.0), paths, device="cpu")
    twice = calibrate(once.model, paths, device="cpu")
    assert twice.temperature == pytest.approx(1.0, abs=0.05)
    assert twice.before == pytest.approx(once.after, nan_ok=True)


def test_each_plane_is_weighed(make_model, paths):
    found = calibrate(make_model(1.0, planes=("sagittal", "axial")), paths, device="cpu")
    preprocessing = found.model.preprocessing
    assert set(preprocessing.planes) <= {"sagittal", "axial"}
    assert sum(preprocessing.plane_weights) == pytest.approx(1.0)


def test_the_answers_are_averaged_over_bodies_where_that_is_better(make_model, paths):
    """A network whose voxels are right a little more often than wrong is right of nearly every body."""
    model = make_model(0.5, outputs=("fracture", "vertebra"))
    found = calibrate(model, paths, device="cpu")
    assert found.reading.fusion.by_body
    assert found.model.card.by_body
    assert found.after["dice_pooled"] > found.before["dice_pooled"] + 0.1
    # the pipeline does the same with what the card says
    case = load_case(paths[0])
    volumes, _ = segment_array(case.hu, found.model, device="cpu")
    score = compare(case, volumes["fracture"], found.model.card.threshold, found.model.card.min_volume_mm3)
    assert score.dice > 0.95
    assert calibrate(make_model(0.5), paths, device="cpu").after["dice_pooled"] < found.after["dice_pooled"]


def test_without_any_fracture_there_is_nothing_to_choose_by(make_model, paths):
    with pytest.raises(UserError, match="None of the 2 cases has a fracture"):
        calibrate(make_model(1.0), paths[2:], device="cpu")


def test_it_can_be_stopped(make_model, paths):
    with pytest.raises(Cancelled):
        calibrate(make_model(1.0), paths, device="cpu", should_stop=lambda: True)


@pytest.fixture
def model_file(tmp_path):
    torch.manual_seed(0)
    config = NetworkConfig(width=4, outputs=("fracture", "vertebra"))
    path = tmp_path / "models" / "tiny.safetensors"
    path.parent.mkdir()
    save_model(path, FractureNetwork(config), config, Preprocessing(window_size=(64, 48)), ModelCard(name="tiny"))
    return path


def test_the_command_writes_a_model_that_loads(model_file, paths, capsys):
    output = model_file.parent / "calibrated.safetensors"
    for path in paths[1:3]:
        path.unlink()
    words = ["calibrate", model_file, "--output", output, "--data", paths[0].parent, "--device", "cpu"]
    assert main([str(word) for word in words]) == 0
    shown = capsys.readouterr().out
    assert "before" in shown
    assert "temperature" in shown
    assert "error of heights (mm), 0 bodies" in shown  # of an untrained network
    card = read_parts(output)[2]
    assert card.scores["calibration"]["cases"] == 2
    before, after = load_model(model_file).network, load_model(output).network
    ratio = before.decoder.output.weight[0] / after.decoder.output.weight[0]
    assert np.allclose(ratio.detach(), card.scores["calibration"]["temperature"], rtol=5e-3)  # stored in half precision


def test_the_command_says_what_is_wrong_before_the_long_work(model_file, capsys):
    words = ["calibrate", str(model_file), "--output"]
    assert main([*words, str(model_file.parent / "calibrated.txt")]) == 2
    assert "must end with .safetensors" in capsys.readouterr().err
    assert main([*words, str(model_file.parent / "c.safetensors"), "--false-positives", "-1"]) == 2
    assert "--false-positives must be 0 or more" in capsys.readouterr().err
    assert [path.name for path in model_file.parent.iterdir()] == ["tiny.safetensors"]


def test_a_comparison_network_is_refused_before_any_case_is_run(make_model):
    model = make_model(1.0)
    model = replace(model, network_config=replace(model.network_config, architecture="unet"))
    with pytest.raises(UserError, match="made is a unet, only the proposed network can be calibrated"):
        calibrate(model, [Path("never read.npz")])
