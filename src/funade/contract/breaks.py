"""Where a new contract fails the clients of an old one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from funade.contract.field import Contract, Field, admits, greatest, least, limit_texts, most_length


class Break(msgspec.Struct, frozen=True):
    """One way in which a new contract fails a client of the old one; ``field`` is "" for the request as a whole."""

    side: Literal["request", "answer"]
    field: str
    what: str
    expected: str
    got: str

    def __str__(self) -> str:
        where = f"{self.side} field `{self.field}`" if self.field else self.side
        return f"{where} {self.what}: expected {self.expected}, got {self.got}"


def breaks(old: Contract, new: Contract) -> tuple[Break, ...]:
    """Every way in which requests made for ``old`` are refused by ``new``, or answers of ``new`` surprise its readers.

    A changed unit breaks both sides, and so does an ``fn.default`` taken away from a field that then refuses a missing
    value. A changed or added default, an answer's new field and an integer that becomes a float in requests break
    nothing.
    """
    return (*_request_breaks(old, new), *_answer_breaks(old, new))


def _request_breaks(old: Contract, new: Contract) -> Iterator[Break]:
    before = {f.name: f for f in old.takes_fields}
    after = {f.name: f for f in new.takes_fields}
    if new.closed and not old.closed:
        yield Break("request", "", "became closed", "unknown fields ignored", "unknown fields refused")
    for name, field in before.items():
        if name in after:
            yield from _field_breaks("request", field, after[name])
        elif new.closed:
            yield Break("request", name, "was removed from a closed request", field.type, "none")
    for name, field in after.items():
        if name not in before and field.required:
            yield Break("request", name, "is new and required", "none", field.type)


def _answer_breaks(old: Contract, new: Contract) -> Iterator[Break]:
    after = {f.name: f for f in new.gives_fields}
    for field in old.gives_fields:
        if field.name in after:
            yield from _field_breaks("answer", field, after[field.name])
        else:
            yield Break("answer", field.name, "was removed", field.type, "none")


def _field_breaks(side: Literal["request", "answer"], old: Field, new: Field) -> Iterator[Break]:
    """Ways in which a value that one contract lets its maker send is refused by the reader under the other contract."""
    maker, reader = (old, new) if side == "request" else (new, old)
    widens = side == "request" and (maker.type, reader.type) == ("int", "float")
    if old.type != new.type and not widens:
        yield Break(side, old.name, "changed its type", old.type, new.type)
        return
    if old.unit and new.unit and old.unit != new.unit:
        yield Break(side, old.name, "changed its unit", old.unit, new.unit)
    if old.filled and (reader.required or not reader.nullable):
        yield Break(side, old.name, "lost its default", f"{old.default} where missing", "a missing value refused")
    elif reader.required and not maker.required:
        yield Break(side, old.name, f"became {_need(new)}", _need(old), _need(new))
    if maker.nullable and not reader.nullable and not old.filled:
        yield Break(side, old.name, f"became {_nullable(new)}", _nullable(old), _nullable(new))
    word = "is narrower" if side == "request" else "is wider"
    for part in _refused_parts(maker, reader):
        yield Break(side, old.name, f"{word} in its {part}", _part(old, part), _part(new, part))


def _refused_parts(maker: Field, reader: Field) -> Iterator[str]:
    """The names of those limits of the reader that a value allowed to the maker could break."""
    if maker.values:
        if not all(admits(reader, value) for value in maker.values):
            yield "values"
        return
    if reader.values:
        yield "values"
        return
    if least(reader) > least(maker):
        yield "least"
    if greatest(reader) < greatest(maker):
        yield "greatest"
    if reader.multiple_of and (not maker.multiple_of or maker.multiple_of % reader.multiple_of):
        yield "multiple"
    if (reader.min_length or 0) > (maker.min_length or 0):
        yield "least length"
    if most_length(reader) < most_length(maker):
        yield "greatest length"
    if reader.pattern is not None and reader.pattern != maker.pattern:
        yield "pattern"
    if reader.tz is not None and reader.tz != maker.tz:
        yield "time offset"


def _need(field: Field) -> str:
    return "required" if field.required else "optional"


def _nullable(field: Field) -> str:
    return "nullable" if field.nullable else "not nullable"


def _part(field: Field, part: str) -> str:
    return limit_texts(field)[part] or "any"
