"""NetworkConfig refuses what no network can be built from, and survives JSON."""

import dataclasses
import json

import pytest

from SpineFractureSegLib.engine.network import NetworkConfig


def test_default_is_the_papers_network():
    config = NetworkConfig()
    assert (config.width, config.input_channels, config.outputs, config.decoder_skips) == (64, 1, ("fracture",), False)
    assert all((config.ffm, config.sem, config.aspp, config.rcbam, config.rbrab, config.lprab))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width", 0),
        ("width", 18),  # no multiple of 4
        ("width", 16.0),
        ("input_channels", 0),
        ("outputs", ()),
        ("outputs", ("vertebra", "fracture")),  # the fracture comes first
        ("outputs", ("fracture", "fracture")),
        ("attention_pooling", 3),  # does not divide 16
    ],
)
def test_a_field_that_cannot_be_used_is_refused_and_quoted(field, value):
    with pytest.raises(ValueError, match=field) as refusal:
        NetworkConfig(**{field: value})
    assert str(value) in str(refusal.value)


def test_a_config_returns_from_json_unchanged():
    config = NetworkConfig(width=16, input_channels=5, outputs=("fracture", "vertebra"), lprab=False)
    assert NetworkConfig(**json.loads(json.dumps(dataclasses.asdict(config)))) == config
