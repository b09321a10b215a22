"""The text in a safetensors file, read without its weights and without the package safetensors.

Layout: 8 bytes N, little-endian; N bytes of JSON; the numbers. The JSON has for each tensor ``dtype``, ``shape`` and
``data_offsets``, and under ``__metadata__`` a text by name.
"""

import json
from pathlib import Path
from typing import Any

from SpineFractureSegLib.engine.errors import UserError

_LENGTH_BYTES = 8
_LARGEST_HEADER = 100_000_000  # bytes; safetensors reads no larger one


def read_metadata(path: Path) -> dict[str, str]:
    """The text by name; empty when there is none.

    Raises: UserError, when the file cannot be read, is no safetensors file or does not hold all of its numbers.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; choose a model file (.safetensors).")
    if not path.is_file():
        raise UserError(f"There is no model file {path}; check the path or choose a model by its name.")
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            header = file.read(length) if length <= _LARGEST_HEADER else b""
        numbers = path.stat().st_size - _LENGTH_BYTES - length
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        metadata, end = _parsed(header)
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise not_readable(path) from error
    if end != numbers:
        raise UserError(f"{path} is cut short or damaged; copy or download the model again.")
    return metadata


def not_readable(path: Path) -> UserError:
    """What to raise of a file that is not in this format."""
    return UserError(f"{path} is not a model file: it is not a readable safetensors file.")


def _parsed(header: bytes) -> tuple[dict[str, str], int]:
    """The text, and how many bytes the numbers take."""
    tensors: dict[str, Any] = json.loads(header.decode("utf-8"))
    if not isinstance(tensors, dict):
        raise ValueError("the header is not a JSON object")
    metadata = tensors.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("the metadata is not a text by name")
    ends = [tensor["data_offsets"][1] for tensor in tensors.values()]
    if not all(isinstance(end, int) for end in ends):
        raise ValueError("the offsets are not whole numbers")
    return metadata, max(ends, default=0)
