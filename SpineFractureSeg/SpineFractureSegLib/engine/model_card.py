"""What a model file says of itself beside its weights; read without torch, so that a list of models costs nothing.

The text of the file has three keys: ``format`` ("SpineFractureSeg model"), ``format_version`` ("1") and ``card``, a
JSON object with the fields of ``ModelCard``, and under ``network`` and ``preprocessing`` those of ``NetworkConfig`` and
``Preprocessing``.
"""

import datetime
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from SpineFractureSegLib.engine.errors import UserError, one_line
from SpineFractureSegLib.engine.json_fields import from_fields, to_fields
from SpineFractureSegLib.engine.network import NetworkConfig
from SpineFractureSegLib.engine.preprocessing import Preprocessing
from SpineFractureSegLib.engine.safetensors_header import read_metadata

FORMAT = "SpineFractureSeg model"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class ModelCard:
    """What a user must know of a model, and what was chosen on validation data.

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
    by_body: bool = False  # a fracture is a whole body: its probability is averaged over it
    body_gate: float = 0.0  # otherwise: over the bodies whose mean is lower; at most the threshold, so they are intact
    body_surface: float = 0.5  # probability of a vertebra at the surface of its body, from which heights are measured

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("name must not be empty")
        datetime.date.fromisoformat(self.created)
        if not 0.0 < self.threshold < 1.0:
            raise ValueError(f"threshold must lie between 0 and 1, not {self.threshold}")
        if not 0.0 <= self.body_gate <= self.threshold:
            raise ValueError(f"body_gate must lie between 0 and the threshold, {self.threshold}, not {self.body_gate}")
        if not 0.0 < self.body_surface < 1.0:
            raise ValueError(f"body_surface must lie between 0 and 1, not {self.body_surface}")
        if not 0.0 <= self.min_volume_mm3 < math.inf:
            raise ValueError(f"min_volume_mm3 must be 0 or more, not {self.min_volume_mm3}")

    @property
    def averaged_below(self) -> float:
        """The mean probability below which a body gets that mean everywhere; infinity: every body does."""
        return math.inf if self.by_body else self.body_gate


def read_card(path: str | Path) -> ModelCard:
    """The card of a model file.

    Raises: UserError, when the file is not a model or its card cannot be used.
    """
    return read_parts(path)[2]


def read_description(path: str | Path) -> tuple[ModelCard, Preprocessing]:
    """The card, and what is done to a CT before the network sees it, such as the planes that are segmented.

    Raises: as ``read_card``.
    """
    _, preprocessing, card = read_parts(path)
    return card, preprocessing


def read_parts(path: str | Path) -> tuple[NetworkConfig, Preprocessing, ModelCard]:
    """All of a model file but its weights.

    Raises: as ``read_card``.
    """
    path = Path(path)
    text = read_metadata(path)
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
        raise UserError(f"{path} has a model card that cannot be used: {one_line(error)}.") from error
    return network_config, preprocessing, card


def to_metadata(network_config: NetworkConfig, preprocessing: Preprocessing, card: ModelCard) -> dict[str, str]:
    """The text from which ``read_parts`` reads the same again.

    Raises: ValueError, when the parts do not fit.
    """
    _check_parts(network_config, preprocessing)
    fields = {
        **to_fields(card),
        "network": to_fields(network_config),
        "preprocessing": to_fields(preprocessing),
    }
    return {"format": FORMAT, "format_version": str(FORMAT_VERSION), "card": json.dumps(fields, allow_nan=False)}


def _check_parts(network_config: NetworkConfig, preprocessing: Preprocessing) -> None:
    """Raises: ValueError, when the network does not take the channels that the preprocessing gives."""
    if network_config.input_channels != len(preprocessing.context_mm):
        raise ValueError(
            f"the network takes {network_config.input_channels} input channels "
            f"and the preprocessing gives {len(preprocessing.context_mm)}"
        )
