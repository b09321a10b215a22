"""``simulate``, ``train`` and ``benchmark`` from the shell's side: small, but for real."""

import argparse
import json
import sys

import numpy as np
import pytest
import SimpleITK as sitk

from SpineFractureSegLib.engine.case import load_case
from SpineFractureSegLib.engine.cli import main
from SpineFractureSegLib.engine.model_file import load_model


@pytest.fixture(scope="module")
def spine_files(tmp_path_factory):
    """A made lumbar CT with its labels, on an oblique grid of 2 mm slices."""
    folder = tmp_path_factory.mktemp("spine")
    z, y, x = np.ogrid[:180, :120, :90]
    labels = np.zeros((180, 120, 90), np.uint8)
    for level, vertebra in enumerate((23, 22, 21, 20, 19)):
        span = (z >= 12 + 32 * level) & (z < 36 + 32 * level)
        labels[span & (((y - 50) / 16) ** 2 + ((x - 45) / 21) ** 2 < 1)] = vertebra
    hu = np.where(labels > 0, 250, np.where((y > 10) & (y < 110), 40, -1000)).astype(np.int16)
    rotation = sitk.Euler3DTransform((0, 0, 0), 0.1, 0.0, 0.05)
    for name, array, interpolator, outside in (
        ("ct", hu, sitk.sitkLinear, -1000),
        ("labels", labels, sitk.sitkNearestNeighbor, 0),
    ):
        image = sitk.GetImageFromArray(array)
        oblique = sitk.Resample(
            image,
            (100, 130, 95),
            sitk.Transform(),
            interpolator,
            (-5, -5, -5),
            (1, 1, 2),
            rotation.GetMatrix(),
            outside,
        )
        sitk.WriteImage(oblique, str(folder / f"{name}.nii.gz"))
    return folder / "ct.nii.gz", folder / "labels.nii.gz"


def test_one_vertebra_is_fractured_on_the_cts_own_grid(spine_files, tmp_path):
    ct, labels = map(str, spine_files)
    words = ["simulate", "--ct", ct, "--labels", labels, "--vertebra", "21", "--height-loss", "0.3,0.5"]
    assert main([*words, "--output", str(tmp_path)]) == 0
    before, after = sitk.ReadImage(ct), sitk.ReadImage(str(tmp_path / "simulated_ct.nii.gz"))
    reference = sitk.ReadImage(str(tmp_path / "simulated_fracture.seg.nrrd"))
    for image in (after, reference):
        assert image.GetSize() == before.GetSize()
        np.testing.assert_allclose(image.GetDirection(), before.GetDirection(), atol=1e-6)
        np.testing.assert_allclose(image.GetOrigin(), before.GetOrigin(), atol=1e-4)
    intact = sitk.GetArrayFromImage(sitk.ReadImage(labels)) == 21
    fractured = sitk.GetArrayFromImage(reference) > 0
    assert 0.5 < fractured.sum() / intact.sum() < 0.9
    assert (fractured & intact).sum() > 0.8 * fractured.sum()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--vertebra", "8"], "no complete vertebra 8"),
        (["--vertebra", "21", "--label-ids", "totalsegmentator"], "no complete vertebra 21"),
        (["--height-loss", "0.9,0.2", "--vertebra", "21"], "expected two shares"),
        (["--count", "-1"], "--count must be 0 or more"),
        (["--shapes", "meshes"], "give --gallery as well"),
        (["--gallery", "--shapes-table", "shapes.csv"], "name that with --shapes as well"),
    ],
)
def test_what_cannot_be_simulated_is_said_in_one_sentence(spine_files, tmp_path, capsys, words, said):
    ct, labels = map(str, spine_files)
    try:
        code = main(["simulate", "--ct", ct, "--labels", labels, "--output", str(tmp_path / "out"), *words])
    except SystemExit as end:  # how argparse leaves
        code = end.code
    assert code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert not list(tmp_path.rglob("*.nii.gz"))


def test_a_ct_without_labels_cannot_be_fractured(spine_files, tmp_path, capsys):
    assert main(["simulate", "--ct", str(spine_files[0]), "--output", str(tmp_path)]) == 2
    assert "--labels" in capsys.readouterr().err


@pytest.fixture(scope="module")
def library(spine_files, tmp_path_factory):
    """A library of three patients that are the same made spine."""
    from SpineFractureSegLib.engine.simulator.shape_builder import build_spine
    from SpineFractureSegLib.engine.simulator.shapes import save_spine

    folder = tmp_path_factory.mktemp("library")
    for split in ("train", "validation", "test"):
        spine = build_spine(
            *spine_files, name=split, patient=split, split=split, source="made", licence="none", margin_mm=(20, 20, 20)
        )
        save_spine(folder / f"{split}.npz", spine)
    return folder


@pytest.fixture
def tiny(tmp_path):
    """A file of settings that makes training short."""
    path = tmp_path / "tiny.yaml"
    path.write_text(
        "preset: bundled\n"
        "training: {slices_per_epoch: 4, batch_size: 4, max_epochs: 1, workers: 0, validation_slice_step: 20,"
        " validation_negative_slice_step: 20}\n"
        "network: {width: 4}\n"
        "preprocessing: {spacing_mm: 2.0, window_size: [32, 32]}\n"
    )
    return path


def test_train_makes_a_model_that_benchmark_and_segment_use(library, spine_files, tmp_path, tiny, capsys):
    """The whole chain at its smallest: two cases, one epoch of one step, one test case."""
    run = tmp_path / "run"
    words = ["train", "--output", str(run), "--library", str(library), "--cases", "2", "--validation-cases", "1"]
    words += ["--config", str(tiny), "--progress", "none"]
    assert main([*words, "--name", "tiny", "--model-version", "7"]) == 0
    assert load_model(run / "model.safetensors").network_config.width == 4
    assert "Training of tiny" in (run / "report.html").read_text(encoding="utf-8")
    card = load_model(run / "model.safetensors").card
    assert (card.name, card.version) == ("tiny", "7")
    assert card.training_data == ("made (train), none", "made (validation), none")
    assert "validation" in card.scores

    # the folder's cases are kept, so other ones are not added to them
    tiny.write_text(tiny.read_text() + "simulation: {twins: 0.0}\n")
    capsys.readouterr()
    assert main(words) == 2
    assert "holds a run with twins = " in capsys.readouterr().err

    words = ["benchmark", "accuracy", "--library", str(library), "--count", "1", "--real-ct", str(spine_files[0])]
    assert main([*words, "--model", str(run / "model.safetensors"), "--output", str(tmp_path / "accuracy")]) == 0
    report = json.loads((tmp_path / "accuracy" / "accuracy.json").read_text())
    assert report["simulated"]["summary"]["cases"] == 1
    assert report["real"][0]["ct"] == "ct.nii.gz"
    assert len(list((tmp_path / "accuracy").glob("*.png"))) == 2

    words = ["benchmark", "accuracy", "--count", "0", "--shapes-split", "--real-ct", str(spine_files[0])]
    assert main([*words, "--model", str(run / "model.safetensors"), "--output", str(tmp_path / "real")]) == 0
    report = json.loads((tmp_path / "real" / "accuracy.json").read_text())
    assert ("simulated" in report, len(report["real"])) == (False, 1)

    output = tmp_path / "out.nii.gz"
    words = ["segment", str(spine_files[0]), "--model", str(run / "model.safetensors"), "--output", str(output)]
    assert main(words) == 0
    assert sitk.ReadImage(str(output)).GetSize() == sitk.ReadImage(str(spine_files[0])).GetSize()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--config", "no.yaml"], "'no.yaml' cannot be read"),
        (["--preset", "paper", "--config", "no.yaml"], "not allowed with argument"),
        (["--width", "6"], "The options: width must be a positive multiple of 4, not 6"),
        (["--scanned-share", "3"], "The options: scanned must be a share"),
        (["--minutes", "0"], "The options: max_minutes must be positive"),
        (["--tensorboard"], "pip install tensorboard"),
        (["--device", "cuda:99"], "cuda:99"),
    ],
)
def test_what_cannot_be_trained_is_said_before_anything_is_made(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["train", "--output", "run", *words])
    except SystemExit as end:  # how argparse leaves
        code = end.code
    assert code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert not list(tmp_path.iterdir())


def test_options_override_the_file(tiny):
    from SpineFractureSegLib.engine.commands import train

    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    options = ["--max-epochs", "7", "--width", "8", "--seed", "5", "--scanned-share", "0.5", "--tensorboard"]
    settings = train._settings(parser.parse_args(["--output", "run", "--config", str(tiny), *options]))
    assert (settings.training.max_epochs, settings.training.seed, settings.network.width) == (7, 5, 8)
    assert settings.training.balance.scanned == 0.5
    assert settings.training.tensorboard
    assert settings.training.batch_size == 4  # of the file
    assert settings.training.schedule == "cosine"  # of its preset
    default = train._settings(parser.parse_args(["--output", "run"]))
    assert default.network.outputs == ("fracture", "vertebra")


def test_speed_reports_seconds_memory_and_device(library, spine_files, tmp_path, capsys):
    from SpineFractureSegLib.engine.model_file import ModelCard, save_model
    from SpineFractureSegLib.engine.network import FractureNetwork, NetworkConfig
    from SpineFractureSegLib.engine.preprocessing import Preprocessing

    config = NetworkConfig(width=4)
    save_model(
        tmp_path / "m.safetensors", FractureNetwork(config), config, Preprocessing(window_size=(64, 64)), ModelCard("m")
    )
    capsys.readouterr()
    words = ["benchmark", "speed", str(spine_files[0]), "--repeats", "1", "--model", str(tmp_path / "m.safetensors")]
    assert main([*words, "--device", "cpu"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["device"] == "cpu"
    assert measured["seconds_median"] > 0
    assert 0.1 < measured["peak_memory_gb"] < 50


def test_images_of_simulated_cases_hold_what_the_cases_hold(library, tmp_path):
    words = ["simulate", "--library", str(library), "--count", "1", "--images", "--output", str(tmp_path)]
    assert main([*words, "--progress", "none"]) == 0
    case = load_case(next(tmp_path.glob("simulated-*.npz")))
    ct = sitk.ReadImage(str(tmp_path / "images" / f"{case.name}_ct.nii.gz"))
    fracture = sitk.ReadImage(str(tmp_path / "images" / f"{case.name}_fracture.seg.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(ct), case.hu)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(fracture) > 0, case.fracture_mask)
