"""A model file round trip, and every kind of file that must be refused with one sentence."""

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.model_card import read_description
from SpineFractureSegLib.engine.model_file import FORMAT, Model, ModelCard, load_model, read_card, save_model
from SpineFractureSegLib.engine.network import FractureNetwork, NetworkConfig
from SpineFractureSegLib.engine.preprocessing import Preprocessing

CONFIG = NetworkConfig(width=4, input_channels=3, outputs=("fracture", "vertebra"), decoder_skips=True)
PREPROCESSING = Preprocessing(context_mm=(-3.0, 0.0, 3.0), window_size=(64, 64))
CARD = ModelCard(
    name="Test model",
    version="3",
    created="2026-01-31",
    label_meaning="whole bodies",
    training_data=("phantoms, CC0",),
    licence="CC0-1.0",
    scores={"dice": 0.5},
    parent="Older 2",
    threshold=0.4,
    min_volume_mm3=500.0,
    body_surface=0.55,
)


@pytest.fixture(scope="module")
def network() -> FractureNetwork:
    torch.manual_seed(0)
    return FractureNetwork(CONFIG)


@pytest.fixture(scope="module")
def model_file(network, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "test.safetensors"
    save_model(path, network, CONFIG, PREPROCESSING, CARD)
    return path


def rewrite(source: Path, target: Path, *, weights=None, text=None, card=None) -> Path:
    """A copy of a model file with some weights, metadata or card fields replaced; None removes one."""
    tensors = load_file(source)
    with safe_open(source, "pt") as file:
        metadata = dict(file.metadata())
    fields = json.loads(metadata["card"])

    def merge(into: dict, changes: dict | None) -> dict:
        into.update(changes or {})
        return {key: value for key, value in into.items() if value is not None}

    metadata["card"] = json.dumps(merge(fields, card))
    save_file(merge(tensors, weights), target, metadata=merge(metadata, text))
    return target


def test_a_saved_model_comes_back_with_all_that_belongs_to_it(model_file):
    model = load_model(model_file)
    assert isinstance(model, Model)
    assert (model.network_config, model.preprocessing, model.card) == (CONFIG, PREPROCESSING, CARD)
    assert model.path == model_file
    assert not model.network.training
    assert {p.dtype for p in model.network.parameters()} == {torch.float32}
    assert read_card(model_file) == CARD
    assert read_description(model_file) == (CARD, PREPROCESSING)


def test_the_loaded_network_computes_what_the_saved_one_did(network, model_file):
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected, found = network.eval()(x), load_model(model_file).network(x)
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0.02)  # weights were rounded to half precision


def test_a_saved_model_can_be_read_by_whoever_can_read_other_files_of_the_folder(model_file, tmp_path):
    other = tmp_path / "other"
    other.touch()
    assert model_file.stat().st_mode == other.stat().st_mode


def test_a_second_round_trip_changes_no_weight(model_file, tmp_path):
    model = load_model(model_file)
    save_model(tmp_path / "again.safetensors", model.network, model.network_config, model.preprocessing, model.card)
    first, second = load_file(model_file), load_file(tmp_path / "again.safetensors")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_weights_are_stored_in_half_precision_without_counters(model_file):
    stored = load_file(model_file)
    assert not [name for name in stored if "num_batches_tracked" in name]
    assert {tensor.dtype for name, tensor in stored.items() if "running" not in name} == {torch.float16}


def test_a_variance_beyond_half_precision_survives(network, tmp_path):
    name = next(name for name in network.state_dict() if name.endswith("running_var"))
    state = {key: value.clone() for key, value in network.state_dict().items()}
    state[name].fill_(1e6)
    large = FractureNetwork(CONFIG)
    large.load_state_dict(state)
    save_model(tmp_path / "m.safetensors", large, CONFIG, PREPROCESSING, CARD)
    assert float(load_model(tmp_path / "m.safetensors").network.state_dict()[name].max()) == 1e6


def test_saving_refuses_weights_that_half_precision_cannot_hold_and_leaves_nothing(tmp_path):
    network = FractureNetwork(CONFIG)
    with torch.no_grad():
        next(network.parameters()).fill_(1e6)
    with pytest.raises(ValueError, match="not finite"):
        save_model(tmp_path / "m.safetensors", network, CONFIG, PREPROCESSING, CARD)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_keeps_the_older_file_and_no_partial_one(network, tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"older")

    def fails_midway(file, content):
        with file.open("wb") as half:
            half.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fails_midway)
    with pytest.raises(UserError, match=r"m\.safetensors' cannot be written: No space"):
        save_model(path, network, CONFIG, PREPROCESSING, CARD)
    assert [file.name for file in tmp_path.iterdir()] == ["m.safetensors"]
    assert path.read_bytes() == b"older"


@pytest.mark.parametrize(
    "changes",
    [
        {"name": " "},
        {"threshold": 0.0},
        {"threshold": 1.0},
        {"min_volume_mm3": -1.0},
        {"min_volume_mm3": float("nan")},
        {"body_surface": 0.0},
        {"body_surface": 1.0},
        {"created": "yesterday"},
    ],
)
def test_a_card_refuses_values_that_cannot_be_used(changes):
    with pytest.raises(ValueError, match=r".+"):
        replace(CARD, **changes)


# --- files that are no model -------------------------------------------------------------------------------------


def refusal(path: Path) -> str:
    """The one sentence with which ``path`` is refused; what is wrong beside the weights, without loading them too."""
    sentence = problem(load_model, path)
    assert sentence, "it was loaded"
    assert problem(read_card, path) in ("", sentence)
    assert "\n" not in sentence
    assert str(path) in sentence
    assert sentence.endswith(".")
    return sentence


def test_a_missing_file_is_refused(tmp_path):
    assert "no model file" in refusal(tmp_path / "none.safetensors")


def test_a_folder_is_refused(tmp_path):
    assert "folder" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{}", b"PK\x03\x04" * 50, b"\x80\x04K\x01." * 9, bytes(1000), b"\xff" * 64])
def test_what_is_not_safetensors_is_refused(content, tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    refusal(path)


HEADERS = [
    b'{"weight": null}',
    b'{"weight": {}}',
    b'{"weight": {"data_offsets": []}}',
    b'{"weight": {"data_offsets": [0, Infinity]}}',
    b'{"weight": {"data_offsets": "04"}}',
    b'{"__metadata__": {"format": 1}}',
    b'{"__metadata__": [1]}',
    b"[" * 100_000,
    b"[]",
    b"\xff",
]


@pytest.mark.parametrize("header", HEADERS, ids=range(len(HEADERS)))
def test_a_header_of_another_form_is_refused(header, tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    assert "not a readable safetensors file" in problem(read_card, path)
    assert "not a readable safetensors file" in refusal(path)


@pytest.mark.parametrize("kept", [4, 8, 100, 0.3, 0.99, -1])
def test_a_truncated_file_is_refused(kept, model_file, tmp_path):
    content = model_file.read_bytes()
    path = tmp_path / "m.safetensors"
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    sentence = refusal(path)
    if isinstance(kept, float) or kept == -1:
        assert "cut short" in sentence


def test_a_foreign_safetensors_file_is_refused(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "m.safetensors")
    assert "not a SpineFractureSeg model" in refusal(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ({"format": "another"}, "not a SpineFractureSeg model"),
        ({"format_version": "2"}, "newer SpineFractureSeg"),
        ({"format_version": "one"}, "format version"),
        ({"format_version": "0"}, "format version"),
        ({"format_version": None}, "format version"),
        ({"card": None}, "card"),
        ({"card": "[1, 2]"}, "not a JSON object"),
        ({"card": "{"}, "card"),
        ({"card": "[" * 200_000}, "card"),
    ],
)
def test_metadata_that_is_not_ours_is_refused(text, expected, model_file, tmp_path):
    assert expected in refusal(rewrite(model_file, tmp_path / "m.safetensors", text=text))


def network_fields(**changes):
    fields = {"width": 4, "input_channels": 3, "outputs": ["fracture", "vertebra"], "decoder_skips": True}
    return {"network": {**fields, **changes}}


def preprocessing_fields(**changes):
    return {"preprocessing": {"context_mm": [-3.0, 0.0, 3.0], "window_size": [64, 64], **changes}}


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ({"network": None}, "NetworkConfig"),
        ({"preprocessing": [1]}, "Preprocessing"),
        ({"name": None}, "lacks 'name'"),
        ({"name": 7}, "name must be str"),
        ({"threshold": "0.5"}, "threshold must be float"),
        ({"threshold": True}, "threshold must be float"),
        ({"threshold": float("nan")}, "threshold"),
        ({"threshold": 1.5}, "between 0 and 1"),
        ({"min_volume_mm3": float("inf")}, "min_volume_mm3"),
        ({"min_volume_mm3": -3}, "min_volume_mm3"),
        ({"body_surface": 1.5}, "body_surface"),
        ({"scores": []}, "scores"),
        (network_fields(width="16"), "width must be int"),
        (network_fields(width=-1), "width"),
        (network_fields(surprise=1), "no field 'surprise'"),
        (network_fields(outputs=["vertebra"]), "fracture"),
        (network_fields(outputs="fracture"), "outputs"),
        (network_fields(input_channels=1), "input channels"),
        (preprocessing_fields(window_hu=[100, -100]), "window_hu"),
        (preprocessing_fields(window_hu=[0, 1, 2]), "window_hu"),
        (preprocessing_fields(spacing_mm=float("nan")), "spacing_mm"),
        (preprocessing_fields(spacing_mm=10**400), "spacing_mm"),
        (preprocessing_fields(planes=["oblique"]), "planes"),
        (preprocessing_fields(plane_weights=[None]), "plane_weights"),
    ],
)
def test_a_card_with_an_unusable_value_is_refused(card, expected, model_file, tmp_path):
    assert expected in refusal(rewrite(model_file, tmp_path / "m.safetensors", card=card))


def test_an_unknown_word_on_the_card_is_ignored(model_file, tmp_path):
    assert load_model(rewrite(model_file, tmp_path / "m.safetensors", card={"color": "blue"})).card == CARD


def test_an_absurd_network_is_refused_before_it_fills_the_memory(model_file, tmp_path):
    path = rewrite(model_file, tmp_path / "m.safetensors", card=network_fields(width=2**30))
    refusal(path)


def first_weight(model_file: Path) -> tuple[str, torch.Tensor]:
    return min((item for item in load_file(model_file).items() if item[1].ndim == 4), key=lambda item: item[0])


def test_missing_weights_are_refused(model_file, tmp_path):
    name, _ = first_weight(model_file)
    assert f"first {name}" in refusal(rewrite(model_file, tmp_path / "m.safetensors", weights={name: None}))


def test_unexpected_weights_are_refused(model_file, tmp_path):
    path = rewrite(model_file, tmp_path / "m.safetensors", weights={"backdoor": torch.zeros(1)})
    assert "'backdoor'" in refusal(path)


def test_misshapen_weights_are_refused(model_file, tmp_path):
    name, weight = first_weight(model_file)
    path = rewrite(model_file, tmp_path / "m.safetensors", weights={name: weight[:1].clone()})
    assert name in refusal(path)


def test_integer_weights_are_refused(model_file, tmp_path):
    name, weight = first_weight(model_file)
    assert name in refusal(rewrite(model_file, tmp_path / "m.safetensors", weights={name: weight.to(torch.int32)}))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value, model_file, tmp_path):
    name, weight = first_weight(model_file)
    weight.view(-1)[0] = value
    assert "not finite" in refusal(rewrite(model_file, tmp_path / "m.safetensors", weights={name: weight}))


def problem(read, path: Path) -> str:
    """The sentence with which ``read`` refuses the file, empty when it takes it; nothing else may come out."""
    try:
        read(path)
    except UserError as error:
        return str(error)
    return ""


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_header_with_flipped_or_lost_bytes_loads_or_is_refused_but_never_crashes(data, model_file, tmp_path):
    content = bytearray(model_file.read_bytes())
    header = 8 + struct.unpack("<Q", content[:8])[0]
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, header - 1))] ^= data.draw(st.integers(1, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, header)) :]
    path = tmp_path / "fuzzed.safetensors"
    path.write_bytes(content)
    sentence = problem(load_model, path)
    assert "\n" not in sentence
    assert problem(read_card, path) in ("", sentence)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    where=st.sampled_from(["card", "network", "preprocessing"]),
    pick=st.integers(0, 50),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=4,
    ),
)
def test_any_value_in_any_field_of_the_card_loads_or_is_refused(where, pick, value, model_file, tmp_path):
    with safe_open(model_file, "pt") as file:
        fields = json.loads(file.metadata()["card"])
    target = fields if where == "card" else fields[where]
    names = sorted(target)
    target[names[pick % len(names)]] = value
    path = rewrite(model_file, tmp_path / "m.safetensors", text={"format": FORMAT, "card": json.dumps(fields)})
    assert "\n" not in problem(read_card, path)
