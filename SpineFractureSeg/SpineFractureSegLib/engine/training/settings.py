"""Training settings as a YAML file: what is trained and how, field by field.

  preset: bundled          # whose values stand where the file is silent; without it the classes' own defaults
  training:                # TrainingConfig
    learning_rate: 3e-4
    balance:
      fractured: 0.3
  network: {width: 32}     # NetworkConfig
  preprocessing: {}        # Preprocessing
  simulation: {}           # SimulationConfig, of the cases that ``train`` simulates

The presets are such files with every field and its meaning.
"""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from SpineFractureSegLib.engine.errors import UserError, one_line
from SpineFractureSegLib.engine.json_fields import from_fields, to_fields
from SpineFractureSegLib.engine.network import NetworkConfig
from SpineFractureSegLib.engine.preprocessing import Preprocessing
from SpineFractureSegLib.engine.resources import resource_folder
from SpineFractureSegLib.engine.simulator.config import SimulationConfig
from SpineFractureSegLib.engine.training.config import TrainingConfig

T = TypeVar("T")

PRESETS = ("bundled", "paper")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What ``train`` needs beside cases and a folder, and how cases are simulated for it.

    Raises: ValueError, when the network does not take the channels that the preprocessing gives.
    """

    training: TrainingConfig = TrainingConfig()  # noqa: RUF009  (frozen)
    network: NetworkConfig = NetworkConfig()  # noqa: RUF009
    preprocessing: Preprocessing = Preprocessing()  # noqa: RUF009
    simulation: SimulationConfig = SimulationConfig()  # noqa: RUF009

    def __post_init__(self) -> None:
        channels, context_mm = self.network.input_channels, self.preprocessing.context_mm
        if channels != len(context_mm):
            raise ValueError(f"network.input_channels is {channels}, preprocessing.context_mm has {len(context_mm)}")


def read_settings(path: str | Path) -> Settings:
    """The settings of a YAML file.

    Raises: UserError, when the file cannot be read, or has a field that does not exist or cannot have its value.
    """
    path = Path(path)
    fields = _read_yaml(path)
    preset = fields.pop("preset", None)
    if preset is not None and preset not in PRESETS:
        raise UserError(f"{path.name}: there is no preset {preset!r}; choose {' or '.join(PRESETS)}.")
    return changed(read_preset(preset) if preset else Settings(), fields, path.name)


def read_preset(name: str) -> Settings:
    """The settings of one of ``PRESETS``, from ``Resources/Training``."""
    return read_settings(resource_folder("Training") / f"{name}.yaml")


def changed(settings: Settings, fields: Mapping[str, Any], source: str) -> Settings:
    """The settings with other values for some fields.

    Args:
        settings: to begin with.
        fields: nested as in the file: ``{"training": {"seed": 1}}``.
        source: where the fields come from, for messages.

    Raises: UserError, naming a field that does not exist or cannot have its value.
    """
    try:
        return from_fields(Settings, _merged(to_fields(settings), fields, ""))
    except (ValueError, TypeError) as error:
        raise UserError(f"{source}: {one_line(error)}.") from error


def _merged(values: dict[str, Any], changes: Mapping[str, Any], place: str) -> dict[str, Any]:
    result = dict(values)
    for name, value in changes.items():
        if name not in values:
            raise ValueError(f"{place or 'the file'} has no field {name!r}; it has {', '.join(values)}")
        if not isinstance(values[name], dict):
            result[name] = value
        elif isinstance(value, Mapping):
            result[name] = _merged(values[name], value, f"{place}.{name}" if place else name)
        elif value is not None:  # a section with nothing below its name
            raise ValueError(f"{name} must hold fields, not {value!r}")
    return result


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml  # only files of settings need it

    class Loader(yaml.SafeLoader):
        """YAML 1.1 takes 1e-3 for a text and the last of two equal names; this one does neither."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            names = [self.construct_object(key, deep=True) for key, _ in node.value]
            for name in names:
                if names.count(name) > 1:
                    raise yaml.constructor.ConstructorError(None, None, f"{name} is there twice", node.start_mark)
            return super().construct_mapping(node, deep)

    number = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+.0123456789"))
    try:
        fields = yaml.load(path.read_text(encoding="utf-8"), Loader)
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror}; name a YAML file with settings.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"'{path}' is no YAML file: {one_line(error)}.") from error
    if not isinstance(fields, dict):
        raise UserError(f"'{path}' must hold sections such as training and network, see the presets.")
    return fields
