"""Canonical bytes and the digest that names them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

SHORT = 6
"""Hex digits shown to people; any unambiguous prefix of at least four is accepted back."""

_encoder = msgspec.json.Encoder(order="deterministic")


def of_bytes(data: bytes) -> str:
    """The SHA-256 of ``data`` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def of_value(value: object) -> str:
    """The digest of a JSON-like value; equal values give equal digests whatever their keys' order.

    >>> of_value({"a": 1, "b": [2.5, None]}) == of_value({"b": [2.5, None], "a": 1})
    True
    """
    return of_bytes(canonical(value))


def canonical(value: object) -> bytes:
    """A JSON-like value (structs, dicts, sequences, numbers, text, None) as its one sequence of bytes."""
    return _encoder.encode(value)


def of_file(path: Path) -> str:
    """The digest of a file's bytes, read in pieces of 1 MiB."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_parts(parts: Iterable[str]) -> str:
    """The digest of digests or names in the order given."""
    return of_bytes("\n".join(parts).encode())
