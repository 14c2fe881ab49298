"""The numbers that fields bear over gRPC: given once, never given to another field."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from funade.contract.field import Contract, Field


class Slot(msgspec.Struct, frozen=True, array_like=True):
    """One number: the field and the contract's type it was given to."""

    name: str
    type: str
    number: int


class Wire(msgspec.Struct, frozen=True, omit_defaults=True):
    """An api's messages over gRPC: its package, and every number ever given in its request and its answer."""

    package: str = "funade"
    takes: tuple[Slot, ...] = ()
    gives: tuple[Slot, ...] = ()


def wire(api: str, contract: Contract, before: Wire | None = None, module: str = "") -> Wire:
    """An api's messages under a contract; a field keeps its number as long as its type is the same.

    A field that comes back gets its number of ``before`` back, if with its old type. The package names the top package
    of the ``module`` that declares the api.
    """
    if before is None:
        top = module.partition(".")[0]
        before = Wire(".".join(["funade", *([ascii_name(top)] if top else []), ascii_name(api)]))
    return Wire(
        before.package, _numbered(contract.takes_fields, before.takes), _numbered(contract.gives_fields, before.gives)
    )


def numbers(fields: Iterable[Field], slots: Iterable[Slot]) -> dict[str, int]:
    """Field name → its number."""
    known = {(slot.name, slot.type): slot.number for slot in slots}
    return {field.name: known[field.name, field.type] for field in fields}


_FIRST_FORBIDDEN, _LAST_FORBIDDEN = 19_000, 19_999  # Protocol Buffers keeps these numbers for itself


def _numbered(fields: Iterable[Field], slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
    known = {(slot.name, slot.type) for slot in slots}
    number = max((slot.number for slot in slots), default=0)
    added = []
    for field in fields:
        if (field.name, field.type) not in known:
            number = _LAST_FORBIDDEN + 1 if number + 1 == _FIRST_FORBIDDEN else number + 1
            added.append(Slot(field.name, field.type, number))
    return (*slots, *added)


def ascii_name(name: str) -> str:
    """A name in ASCII: other characters as ``u`` and their code."""
    return "".join(c if c.isascii() else f"u{ord(c):x}" for c in name)
