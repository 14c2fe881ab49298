"""Codec `json`: small values made of numbers, text, lists and dicts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from funade import digest
from funade.errors import CodecError

FILE = "value.json"
DEEPEST = 100
LARGEST = 1 << 20
"""Bytes; a larger value is a model or a dataset."""


class JsonValue:
    """None, bool, whole numbers of 64 bits, finite numbers (exact), text, lists and dicts with text keys.

    A tuple comes back as a list, a NumPy scalar as the Python number of the same value, a dict sorted by key.
    """

    name = "json"
    remedy = "return numbers, text, lists and dicts (of an array its .tolist())"

    def fits(self, cls: type) -> bool:
        """Whether the class is JSON's own or a NumPy scalar's."""
        return cls in (dict, list, tuple, str, bool, int, float) or _numpy(cls)

    def distributions(self, cls: type) -> tuple[str, ...]:
        """None: Python reads JSON."""
        return ()

    def save(self, value: Any, folder: Path, project_types: Sequence[str] = ()) -> None:
        """Write ``value.json``; equal values give equal bytes."""
        data = digest.canonical(_plain(value, "$", 0))
        if len(data) > LARGEST:
            raise CodecError(f"expected at most {LARGEST} bytes of JSON, got {len(data)}", do="make it a dataset")
        (folder / FILE).write_bytes(data)

    def load(self, folder: Path, project_types: Sequence[str] = ()) -> Any:
        """The value."""
        return msgspec.json.decode((folder / FILE).read_bytes())


def _numpy(cls: type) -> bool:
    """Whether the class is that of a NumPy number or text."""
    return cls.__module__ == "numpy" and any(parent.__name__ == "generic" for parent in cls.__mro__)


def _plain(value: Any, path: str, depth: int) -> Any:
    """The value in Python's own types."""
    if depth > DEEPEST:
        raise CodecError(f"expected at most {DEEPEST} levels, got more at `{path[:80]}`")
    if _numpy(type(value)):
        value = value.item()
    if isinstance(value, dict):
        return {_key(key, path): _plain(item, f"{path}.{key}", depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise CodecError(f"expected finite numbers, got {value} at `{path}`")
    if type(value) is int and not -(2**63) <= value < 2**64:
        raise CodecError(f"expected whole numbers of 64 bits, got {value} at `{path}`", do="keep it as text")
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise CodecError(f"expected a JSON value, got {type(value).__qualname__} at `{path}`", do=JsonValue.remedy)


def _key(key: Any, path: str) -> str:
    if type(key) is not str:
        raise CodecError(f"expected text keys, got {key!r} at `{path}`", do=f"write {str(key)!r}")
    return key
