import dataclasses
import re

import pytest

from SpineFractureSegLib.engine.commands import train as command
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.network import NetworkConfig
from SpineFractureSegLib.engine.preprocessing import Preprocessing
from SpineFractureSegLib.engine.resources import resource_folder
from SpineFractureSegLib.engine.simulator.config import SimulationConfig
from SpineFractureSegLib.engine.training import TrainingConfig
from SpineFractureSegLib.engine.training.presets import bundled_cpu, paper
from SpineFractureSegLib.engine.training.settings import PRESETS, Settings, changed, read_preset, read_settings


@pytest.fixture
def written(tmp_path):
    """written(text): the settings of a file with this text."""

    def write(text):
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return read_settings(path)

    return write


def test_the_papers_preset_is_what_the_classes_default_to():
    settings = paper()
    assert settings.training == dataclasses.replace(TrainingConfig(), observed_score="dice_mean")
    assert settings.network == NetworkConfig()
    both_planes = Preprocessing(planes=("sagittal", "axial"), plane_weights=(1.0, 1.0))
    assert settings.preprocessing == both_planes


def test_the_bundled_preset_has_a_budget_neighbors_and_a_vertebra_channel():
    settings = bundled_cpu()
    assert settings.training.max_minutes > 0
    assert settings.training.early_stopping_epochs == 0
    assert settings.network.decoder_skips
    assert settings.network.outputs == ("fracture", "vertebra")
    assert settings.network.input_channels == len(settings.preprocessing.context_mm) > 1


def fields_of(config, indent=""):
    """Every field as it must stand in a preset, sections before what they hold."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        yield indent + field.name
        if dataclasses.is_dataclass(value) and field.name != "simulation":
            yield from fields_of(value, indent + "  ")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_holds_every_field_in_order_with_its_meaning(name):
    lines = (resource_folder("Training") / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    fields = [(number, match[1]) for number, line in enumerate(lines) if (match := re.match(r"( *\w+):", line))]
    settings = read_preset(name)
    # of the simulator, which explains itself in config.py, a preset holds what differs from the default
    plain = SimulationConfig()
    drawn = ["  " + field for field, value in vars(settings.simulation).items() if value != getattr(plain, field)]
    expected = list(fields_of(settings))
    names = [field for _, field in fields]
    assert names[: len(expected)] == expected
    assert expected[-1] == "simulation"
    assert sorted(names[len(expected) :]) == sorted(drawn)
    for number, field in fields:
        if field not in ("training", "network", "preprocessing"):
            assert "#" in lines[number] or lines[number - 1].lstrip().startswith("#"), (
                f"{name}: {field} is not explained"
            )


def test_the_commands_presets_are_those_there_are():
    assert command.PRESETS == PRESETS


def test_a_file_changes_fields_of_the_preset_it_names(written):
    settings = written(
        "preset: bundled\n"
        "training:\n  learning_rate: 3e-4\n  split: [0.5, 0.25, 0.25]\n  max_minutes:\n  balance: {fractured: 1}\n"
        "network: {width: 32}\n"
        "simulation: {twins: 0.1}\n"
    )
    expected = bundled_cpu()
    training = dataclasses.replace(
        expected.training,
        learning_rate=3e-4,
        split=(0.5, 0.25, 0.25),
        max_minutes=None,
        balance=dataclasses.replace(expected.training.balance, fractured=1.0),
    )
    assert settings.training == training
    assert settings.network == dataclasses.replace(expected.network, width=32)
    assert settings.preprocessing == expected.preprocessing
    assert settings.simulation == dataclasses.replace(expected.simulation, twins=0.1)


def test_a_file_without_a_preset_changes_the_defaults(written):
    assert written("training: {seed: 3}") == Settings(training=TrainingConfig(seed=3))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("training: {learning_rat: 1}", r"training has no field 'learning_rat'; it has learning_rate, batch_size,"),
        ("training: {balance: {fracture: 1}}", r"training.balance has no field 'fracture'; it has fractured, intact"),
        ("trainig: {}", r"no field 'trainig'; it has training, network, preprocessing, simulation"),
        ("training: {learning_rate: fast}", r"learning_rate must be float, not 'fast'"),
        ("training: {batch_size: 1.5}", r"batch_size must be int, not 1.5"),
        ("training: {channels_last: 1}", r"channels_last must be bool, not 1"),
        ("training: {split: [0.5, 0.5]}", r"split must be tuple\[float, float, float\]"),
        ("training: {split: [0.5, 0.5, 0.5]}", r"split must sum to 1"),
        ("training: {balance: 3}", r"balance must hold fields, not 3"),
        ("training: {observed_score: auc}", r"observed_score must be one of \('dice_pooled', 'dice_mean', 'last'\)"),
        ("training: {seed: 1, seed: 2}", r"seed is there twice"),
        ("network: {width: 10}", r"width must be a positive multiple of 4, not 10"),
        ("network: {input_channels: 3}", r"input_channels is 3, preprocessing.context_mm has 1"),
        ("simulation: {height_loss: [0.1, 0.2]}", r"dead zone"),
        ("preset: ours", r"no preset 'ours'; choose bundled or paper"),
        ("- training", r"must hold sections"),
        ("training: [", r"is no YAML file"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_sentence(written, text, said):
    with pytest.raises(UserError, match=said) as caught:
        written(text)
    assert "\n" not in str(caught.value)
    assert "mine.yaml" in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.yaml' cannot be read"):
        read_settings(tmp_path / "none.yaml")


def test_options_change_settings_as_files_do():
    settings = changed(Settings(), {"training": {"balance": {"scanned": 0.5}}}, "The options")
    assert settings.training.balance.scanned == 0.5
    with pytest.raises(UserError, match="The options: scanned must be a share"):
        changed(Settings(), {"training": {"balance": {"scanned": 2.0}}}, "The options")
