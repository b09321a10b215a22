"""A frozen dataclass to JSON and back, with every value checked against the field's type.

JSON knows no tuples and lets a string stand where a number belongs: a model file comes from anywhere, so its card is
not believed until each field has the type that the code relies on.
"""

import dataclasses
import json
import math
import types
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_fields(value: Any) -> dict[str, Any]:
    """The dataclass as a dict of JSON types, tuples as lists.

    >>> from SpineFractureSegLib.engine.preprocessing import Preprocessing
    >>> to_fields(Preprocessing())["window_size"]
    [256, 256]
    """
    return json.loads(json.dumps(dataclasses.asdict(value), allow_nan=False))


def from_fields(cls: type[T], fields: Any, *, ignore_unknown: bool = False) -> T:
    """The dataclass from what ``to_fields`` gave; fields that are absent take their defaults.

    Raises: ValueError, when ``fields`` is not a dict, lacks a field, has one that ``cls`` does not know, or has one of
    the wrong type or value.
    """
    if not isinstance(fields, dict):
        raise ValueError(f"{cls.__name__} must be a JSON object, not {_shown(fields)}")
    hints = get_type_hints(cls)
    known = {field.name: field for field in dataclasses.fields(cls) if field.init}
    unknown = sorted(set(fields) - set(known))
    if unknown and not ignore_unknown:
        raise ValueError(f"{cls.__name__} has no field {_shown(unknown[0])}")
    for name, field in known.items():
        no_default = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if no_default and name not in fields:
            raise ValueError(f"{cls.__name__} lacks {name!r}")
    return cls(**{name: _checked(name, value, hints[name]) for name, value in fields.items() if name in known})


def _checked(name: str, value: Any, hint: Any) -> Any:
    """``value`` as the type ``hint``; ValueError with the field's name when it is another."""
    origin, arguments = get_origin(hint) or hint, get_args(hint)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if origin in (Union, types.UnionType):
        rest = [argument for argument in arguments if argument is not type(None)]
        return None if value is None and len(rest) < len(arguments) else _checked(name, value, rest[0])
    if origin is float and is_number and abs(value) < 1e300 and math.isfinite(value):
        return float(value)
    if origin is int and is_number and isinstance(value, int) and abs(value) < 2**31:
        return value
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return from_fields(hint, value)
    if origin in (bool, str, dict) and isinstance(value, origin):
        return value
    if origin in (list, tuple) and isinstance(value, list):
        repeated = origin is list or arguments[-1:] == (Ellipsis,)
        kinds = [arguments[0]] * len(value) if repeated else list(arguments)
        if len(kinds) == len(value):
            return origin(_checked(name, item, kind) for item, kind in zip(value, kinds, strict=True))
    raise ValueError(f"{name} must be {hint.__name__ if isinstance(hint, type) else hint}, not {_shown(value)}")


def _shown(value: Any) -> str:
    """``value`` short enough for one sentence."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
