"""A model as one file, and back: weights with everything that is needed to use them.

The file is a safetensors file, which holds numbers and text and runs nothing. Its text has three keys: ``format``
("SpineFractureSeg model"), ``format_version`` ("1") and ``card``, a JSON object with the fields of ``ModelCard``, and
under ``network`` and ``preprocessing`` those of ``NetworkConfig`` and ``Preprocessing``. Weights are stored in half
precision, the statistics of the batch norms in single (a variance can exceed 65504), their counters not at all.
"""

import datetime
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from SpineFractureSegLib.engine.atomic_file import written_whole
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.json_fields import from_fields, to_fields
from SpineFractureSegLib.engine.model_folders import DEFAULT_MODEL, SUFFIX, find_model
from SpineFractureSegLib.engine.network import FractureNetwork, NetworkConfig
from SpineFractureSegLib.engine.preprocessing import Preprocessing

FORMAT = "SpineFractureSeg model"
FORMAT_VERSION = 1

_STATISTICS = ("running_mean", "running_var")
_COUNTER = "num_batches_tracked"
_FLOATS = ("F16", "BF16", "F32")


@dataclass(frozen=True)
class ModelCard:
    """What a user must know of a model, and the two numbers that were chosen on validation data.

    Raises: ValueError, when a field cannot be used; the message quotes it.
    """

    name: str
    version: str = "1"
    created: str = field(default_factory=lambda: datetime.date.today().isoformat())  # ISO date
    description: str = ""
    label_meaning: str = ""  # what a fracture voxel is in the training labels
    training_data: tuple[str, ...] = ()  # one line per source, with its licence
    licence: str = ""  # of the weights
    scores: dict = field(default_factory=dict)  # JSON types; what was measured, on what
    parent: str | None = None  # name and version of the model that this one was fine-tuned from
    threshold: float = 0.5  # probability from which a voxel is fracture
    min_volume_mm3: float = 0.0  # smaller connected components are dropped

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("name must not be empty")
        datetime.date.fromisoformat(self.created)
        if not 0.0 < self.threshold < 1.0:
            raise ValueError(f"threshold must lie between 0 and 1, not {self.threshold}")
        if not 0.0 <= self.min_volume_mm3 < math.inf:
            raise ValueError(f"min_volume_mm3 must be 0 or more, not {self.min_volume_mm3}")


@dataclass(frozen=True, eq=False)
class Model:
    """A network that is ready to use (float32, CPU, eval mode) and what belongs to it."""

    network_config: NetworkConfig
    preprocessing: Preprocessing
    card: ModelCard
    network: FractureNetwork
    path: Path | None = None  # None: it was never in a file


def save_model(
    path: str | Path,
    network: FractureNetwork,
    network_config: NetworkConfig,
    preprocessing: Preprocessing,
    card: ModelCard,
) -> None:
    """Writes the model beside ``path`` and renames it, so that no half-written model is ever read.

    Raises: ValueError, when a weight is not finite in the precision it is stored in, or when the parts do not fit;
    UserError, when the file cannot be written.
    """
    _check_parts(network_config, preprocessing)
    tensors = {}
    for name, tensor in network.state_dict().items():
        if name.endswith(_COUNTER):
            continue
        dtype = torch.float32 if name.endswith(_STATISTICS) else torch.float16
        tensors[name] = tensor.detach().to("cpu", dtype).contiguous().clone()
        if not torch.isfinite(tensors[name]).all():
            raise ValueError(f"the weights {name} are not finite in {dtype}")
    fields = {
        **to_fields(card),
        "network": to_fields(network_config),
        "preprocessing": to_fields(preprocessing),
    }
    text = {"format": FORMAT, "format_version": str(FORMAT_VERSION), "card": json.dumps(fields, allow_nan=False)}
    with written_whole(path) as partial:
        try:
            save_file(tensors, partial, metadata=text)
        except SafetensorError as error:  # what it makes of a full disk
            raise OSError(_one_line(error)) from error


def load_model(name_or_path: str | Path | None = None) -> Model:
    """The model with this name in the bundled or the user's folder, or in this file; None: the bundled default.

    Raises: UserError, in one sentence, when there is none or the file cannot be used as it is.
    """
    path = _resolve(name_or_path)
    with _open(path) as file:
        network_config, preprocessing, card = _read_card(path, file)
        weights = _read_weights(path, file, network_config)
    network = FractureNetwork(network_config)
    network.load_state_dict(weights, strict=False)  # the counters are absent, all else was checked
    return Model(network_config, preprocessing, card, network.eval(), path)


def read_card(path: str | Path) -> ModelCard:
    """The card of a model file without its weights.

    Raises: UserError, when the file is not a model or its card cannot be used.
    """
    with _open(Path(path)) as file:
        return _read_card(Path(path), file)[2]


def _resolve(name_or_path: str | Path | None) -> Path:
    if name_or_path is None:
        return find_model(DEFAULT_MODEL)
    path = Path(name_or_path).expanduser()
    is_path = isinstance(name_or_path, Path) or len(path.parts) != 1 or path.suffix == SUFFIX
    return path if is_path or path.is_file() else find_model(str(name_or_path))


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """The open safetensors file; what safetensors says of a damaged one becomes one sentence."""
    if path.is_dir():
        raise UserError(f"{path} is a folder; choose a model file ({SUFFIX}).")
    if not path.is_file():
        raise UserError(f"There is no model file {path}; check the path or choose a model by its name.")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            yield file
    except SafetensorError as error:
        if "IncompleteBuffer" in str(error) or "incomplete" in str(error).lower():
            raise UserError(f"{path} is cut short or damaged; copy or download the model again.") from error
        raise UserError(f"{path} is not a model file: it is not a readable safetensors file.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error


def _read_card(path: Path, file: Any) -> tuple[NetworkConfig, Preprocessing, ModelCard]:
    text = file.metadata() or {}
    if text.get("format") != FORMAT:
        raise UserError(f"{path} is a safetensors file, but not a SpineFractureSeg model.")
    version = text.get("format_version", "")
    if not (version.isascii() and version.isdigit() and len(version) < 9 and int(version) > 0):
        raise UserError(f"{path} is damaged: its format version is {version[:20]!r}, not a number from 1 on.")
    if int(version) > FORMAT_VERSION:
        raise UserError(
            f"{path} has model format {version} and this program reads up to {FORMAT_VERSION}: "
            "install a newer SpineFractureSeg."
        )
    try:
        fields = json.loads(text.get("card", ""))
        if not isinstance(fields, dict):
            raise ValueError("the card is not a JSON object")
        network_config = from_fields(NetworkConfig, fields.pop("network", None))
        preprocessing = from_fields(Preprocessing, fields.pop("preprocessing", None))
        # an unknown field of the card only describes; one of the network or preprocessing changes what is computed
        card = from_fields(ModelCard, fields, ignore_unknown=True)
        _check_parts(network_config, preprocessing)
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{path} has a model card that cannot be used: {_one_line(error)}.") from error
    return network_config, preprocessing, card


def _check_parts(network_config: NetworkConfig, preprocessing: Preprocessing) -> None:
    if network_config.input_channels != len(preprocessing.context_mm):
        raise ValueError(
            f"the network takes {network_config.input_channels} input channels "
            f"and the preprocessing gives {len(preprocessing.context_mm)}"
        )


def _read_weights(path: Path, file: Any, network_config: NetworkConfig) -> dict[str, torch.Tensor]:
    """The weights in float32, after their names, types and shapes are those of the network of this config."""
    try:
        with torch.device("meta"):  # shapes without memory: an absurd width in a card must not fill it
            expected = FractureNetwork(network_config).state_dict()
    except (ValueError, TypeError, RuntimeError, OverflowError, MemoryError) as error:
        raise UserError(f"{path} describes a network that cannot be built: {_one_line(error)}.") from error
    shapes = {name: tuple(tensor.shape) for name, tensor in expected.items() if not name.endswith(_COUNTER)}
    names = set(file.keys())
    if missing := sorted(set(shapes) - names):
        raise UserError(f"{path} lacks {len(missing)} of the network's weights, first {missing[0]}.")
    if extra := sorted(names - set(shapes)):
        raise UserError(f"{path} has {len(extra)} weights that the network does not know, first {extra[0][:60]!r}.")
    for name, shape in shapes.items():
        stored = file.get_slice(name)
        if tuple(stored.get_shape()) != shape or stored.get_dtype() not in _FLOATS:
            found = f"{stored.get_dtype()} {tuple(stored.get_shape())}"
            raise UserError(f"{path} has weights {name} of {found} where the network needs floats of {shape}.")
    # a copy, so that no tensor keeps the file mapped (Windows could then not replace or delete it)
    weights = {name: file.get_tensor(name).to(torch.float32, copy=True) for name in shapes}
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise UserError(f"{path} is damaged: its weights {name} are not finite numbers.")
    return weights


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return (text if len(text) <= 200 else f"{text[:197]}...").rstrip(".") or type(error).__name__
