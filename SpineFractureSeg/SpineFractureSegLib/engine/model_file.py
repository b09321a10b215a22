"""A model as one file, and back: weights with everything that is needed to use them.

The file is a safetensors file, which holds numbers and text and runs nothing; ``model_card.py`` says what its text is.
Weights are stored in half precision, the statistics of the batch norms in single (a variance can exceed 65504), their
counters not at all.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from SpineFractureSegLib.engine.atomic_file import written_whole
from SpineFractureSegLib.engine.errors import UserError, one_line
from SpineFractureSegLib.engine.model_card import FORMAT, FORMAT_VERSION, ModelCard, read_card, read_parts, to_metadata
from SpineFractureSegLib.engine.model_folders import DEFAULT_MODEL, SUFFIX, find_model
from SpineFractureSegLib.engine.network import NetworkConfig, SliceNetwork, build_network
from SpineFractureSegLib.engine.preprocessing import Preprocessing
from SpineFractureSegLib.engine.safetensors_header import not_readable

__all__ = ["FORMAT", "FORMAT_VERSION", "Model", "ModelCard", "load_model", "read_card", "save_model"]

_STATISTICS = ("running_mean", "running_var")
_COUNTER = "num_batches_tracked"
_FLOATS = ("F16", "BF16", "F32")


@dataclass(frozen=True, eq=False)
class Model:
    """A network that is ready to use (float32, CPU, eval mode) and what belongs to it."""

    network_config: NetworkConfig
    preprocessing: Preprocessing
    card: ModelCard
    network: SliceNetwork
    path: Path | None = None  # None: it was never in a file


def save_model(
    path: str | Path,
    network: SliceNetwork,
    network_config: NetworkConfig,
    preprocessing: Preprocessing,
    card: ModelCard,
) -> None:
    """Writes the model beside ``path`` and renames it, so that no half-written model is ever read.

    Raises: ValueError, when a weight is not finite in the precision it is stored in, or when the parts do not fit;
    UserError, when the file cannot be written.
    """
    text = to_metadata(network_config, preprocessing, card)
    tensors = {}
    for name, tensor in network.state_dict().items():
        if name.endswith(_COUNTER):
            continue
        dtype = torch.float32 if name.endswith(_STATISTICS) else torch.float16
        tensors[name] = tensor.detach().to("cpu", dtype).contiguous().clone()
        if not torch.isfinite(tensors[name]).all():
            raise ValueError(f"the weights {name} are not finite in {dtype}")
    with written_whole(path) as partial:  # not by save_file: what it writes nobody but its owner can read
        partial.write_bytes(save(tensors, metadata=text))


def load_model(name_or_path: str | Path | None = None) -> Model:
    """The model with this name in the bundled or the user's folder, or in this file; None: the bundled default.

    Raises: UserError, in one sentence, when there is none or the file cannot be used as it is.
    """
    path = _resolve(name_or_path)
    network_config, preprocessing, card = read_parts(path)
    with _open(path) as file:
        network = _build_network(path, file, network_config)
        weights = _read_weights(path, file, network)
    network.load_state_dict(weights, strict=False)  # the counters are absent, all else was checked
    return Model(network_config, preprocessing, card, network.eval(), path)


def _resolve(name_or_path: str | Path | None) -> Path:
    if name_or_path is None:
        return find_model(DEFAULT_MODEL)
    path = Path(name_or_path).expanduser()
    is_path = isinstance(name_or_path, Path) or len(path.parts) != 1 or path.suffix == SUFFIX
    return path if is_path or path.is_file() else find_model(str(name_or_path))


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """The open safetensors file, after its text was read and its length checked."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            yield file
    except SafetensorError as error:
        raise not_readable(path) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error


def _build_network(path: Path, file: Any, network_config: NetworkConfig) -> SliceNetwork:
    """The network of this config, without its weights. An absurd width in a card must not fill the memory."""
    widest = max((size for name in file.keys() for size in file.get_slice(name).get_shape()), default=0)  # noqa: SIM118
    if network_config.width > widest:
        raise UserError(f"{path} describes a network of width {network_config.width}, its weights have up to {widest}.")
    try:
        return build_network(network_config)
    except (ValueError, TypeError, RuntimeError, OverflowError, MemoryError) as error:
        raise UserError(f"{path} describes a network that cannot be built: {one_line(error)}.") from error


def _read_weights(path: Path, file: Any, network: SliceNetwork) -> dict[str, torch.Tensor]:
    """The weights in float32, after their names, types and shapes are those of the network."""
    expected = network.state_dict()
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
