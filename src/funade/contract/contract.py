"""The contract of an api, read from the two structs that it takes and gives."""

from __future__ import annotations

import enum
import math
import typing
from datetime import date, datetime
from typing import Any, TypeVar

import msgspec

from funade.contract.field import EXACT, Contract, Field, FieldType, floats
from funade.errors import DeclarationError

_A = TypeVar("_A")


class Unit(msgspec.Struct, frozen=True):
    """A field's unit as an annotation: ``m``, ``s``, ``JPY``."""

    text: str


def unit(text: str) -> Unit:
    """Say what a field's number counts: ``Annotated[float, unit("m")]``.

    Raises:
        DeclarationError: no text.
    """
    if not isinstance(text, str) or not text.strip():
        raise DeclarationError(f"unit expected text like 'm' or 'JPY', got {text!r}")
    return Unit(text)


_MAY_BE_MISSING = "write `| None = None` for a value that may be missing"


class Default(msgspec.Struct, frozen=True):
    """What stands for a missing value of a request, as an annotation."""

    value: Any


def default(value: Any) -> Default:
    """Say what stands for a missing value: ``Annotated[float, default(0.0)]``; each time it does is counted and logged.

    Raises:
        DeclarationError: no value.
    """
    if value is None:
        raise DeclarationError("default expected a value, got None", do=_MAY_BE_MISSING)
    return Default(value)


def contract_of(takes: type[msgspec.Struct], gives: type[msgspec.Struct], *, place: str) -> Contract:
    """The contract two structs declare; ``place`` is the file:line that errors name.

    Raises:
        DeclarationError: not a struct, no field, or a field that is not a plain value; a request's whole number that
            may be missing and has a default or choice beyond 2**53.
    """
    contract = Contract(
        takes=getattr(takes, "__name__", str(takes)),
        gives=getattr(gives, "__name__", str(gives)),
        takes_fields=fields_of(takes, place=place),
        gives_fields=fields_of(gives, place=place),
        doc=_doc(takes),
        gives_doc=_doc(gives),
        closed=takes.__struct_config__.forbid_unknown_fields,
    )
    if filled := next((f for f in contract.gives_fields if f.filled), None):
        raise DeclarationError(
            f"struct `{contract.gives}` field `{filled.name}` expected no fn.default in an answer, got one",
            at=place,
            do="write `= value`, or say fn.fallback(…)",
        )
    for field in filter(floats, contract.takes_fields):
        if far := [value for value in (*field.values, field.default or 0) if abs(value) > EXACT]:
            raise DeclarationError(
                f"struct `{contract.takes}` field `{field.name}` expected whole numbers up to {EXACT}, got {far[0]}",
                at=place,
                do="write fn.default(…) in place of `| None`, or `str`",
            )
    return contract


def fields_of(struct: type[msgspec.Struct], *, place: str) -> tuple[Field, ...]:
    """The fields of one struct, in order of declaration.

    Raises:
        DeclarationError: as ``contract_of``.
    """
    from msgspec import inspect

    if not (isinstance(struct, type) and issubclass(struct, msgspec.Struct)):
        raise DeclarationError(
            f"contract expected a msgspec.Struct, got {_shown(struct)}", at=place, do="write class Name(msgspec.Struct)"
        )
    try:
        info = inspect.type_info(struct)
        hints = typing.get_type_hints(struct, include_extras=True)
    except (NameError, TypeError) as error:
        remedy = "define its types at the top of a module" if isinstance(error, NameError) else "change the annotation"
        what = f"struct `{struct.__name__}` expected annotations that can be read, got: {error}"
        raise DeclarationError(what, at=place, do=remedy) from None
    assert isinstance(info, inspect.StructType)
    if info.array_like or info.tag_field is not None or not info.fields:
        got = "array_like" if info.array_like else "a tag" if info.tag_field is not None else "none"
        raise DeclarationError(
            f"struct `{struct.__name__}` expected named fields, got {got}", at=place, do="declare plain fields"
        )
    return tuple(_field(struct, f, hints[f.name], place) for f in info.fields)


def _field(struct: type[msgspec.Struct], info: Any, hint: Any, place: str) -> Field:
    label = f"struct `{struct.__name__}` field `{info.name}`"
    facts = _facts(info.type)
    if facts is None:
        raise DeclarationError(f"{label} expected {_SUPPORTED}, got {_shown(hint)}", at=place, do=_remedy(info.type))
    if info.encode_name != info.name:
        what = f"{label} expected one name, got `{info.encode_name}` in JSON"
        raise DeclarationError(what, at=place, do=f"call the field `{info.encode_name}`")
    if info.default_factory is not msgspec.NODEFAULT:
        what = f"{label} expected a constant default, got default_factory"
        raise DeclarationError(what, at=place, do="write = value")
    required = info.required
    if info.default is not msgspec.NODEFAULT:
        facts["default"] = _default(label, info.default, hint, facts, place)
    if (stands := _annotation(hint, Default)) is not None:
        if not required:
            raise DeclarationError(
                f"{label} expected one default, got fn.default(…) and another", at=place, do="take `= value` away"
            )
        required = False
        facts |= {"default": _default(label, stands.value, hint, facts, place), "nullable": True, "filled": True}
    unit = _annotation(hint, Unit)
    return Field(name=info.name, required=required, unit=unit.text if unit else "", **facts)


_SUPPORTED = "bool, int, float, str, datetime, date, Literal or Enum, also `| None`"
_BOUNDS = ("ge", "gt", "le", "lt", "multiple_of")
_PLAIN = (*_BOUNDS, "min_length", "max_length", "pattern", "tz")


def _facts(kind: Any) -> dict[str, Any] | None:
    """A type as keyword arguments of ``Field``, or None where it is no plain value."""
    from msgspec import inspect

    if isinstance(kind, inspect.Metadata):
        facts = _facts(kind.type)
        doc = (kind.extra_json_schema or {}).get("description")
        return facts if facts is None or not doc else facts | {"doc": doc}
    if isinstance(kind, inspect.UnionType):
        others = [t for t in kind.types if not isinstance(t, inspect.NoneType)]
        facts = _facts(others[0]) if len(others) == 1 else None
        return None if facts is None else facts | {"nullable": True}
    if isinstance(kind, inspect.LiteralType):
        return _choice(kind.values)
    if isinstance(kind, inspect.EnumType):
        return _choice(tuple(member.value for member in kind.cls))
    name = _TYPES.get(type(kind).__name__)
    if name is None:
        return None
    limits = {key: value for key in _PLAIN if (value := getattr(kind, key, None)) is not None}
    return {"type": name} | {k: float(v) if k in _BOUNDS else v for k, v in limits.items()}


_TYPES: dict[str, FieldType] = {
    "BoolType": "bool",
    "IntType": "int",
    "FloatType": "float",
    "StrType": "str",
    "DateTimeType": "datetime",
    "DateType": "date",
}


def _choice(values: tuple[Any, ...]) -> dict[str, Any] | None:
    present = tuple(v for v in values if v is not None)
    kinds = {type(v) for v in present}
    if kinds not in ({int}, {str}):
        return None
    facts: dict[str, Any] = {"type": kinds.pop().__name__, "values": tuple(sorted(present))}
    return facts | {"nullable": True} if len(present) < len(values) else facts


def _default(label: str, value: Any, hint: Any, facts: dict[str, Any], place: str) -> Any:
    try:
        if isinstance(value, float) and not math.isfinite(value):
            raise msgspec.ValidationError("not finite")
        msgspec.convert(msgspec.to_builtins(value), hint)
    except (msgspec.ValidationError, TypeError):
        missing = value is None or (isinstance(value, float) and math.isnan(value))
        remedy = _MAY_BE_MISSING if missing else "change the default or the bounds"
        what = f"{label} expected a default that a client could send, got {value!r}"
        raise DeclarationError(what, at=place, do=remedy) from None
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, datetime | date):
        return value.isoformat()
    return float(value) if facts["type"] == "float" and value is not None else value


def _annotation(hint: Any, kind: type[_A]) -> _A | None:
    """The first annotation of one kind on a field's type, or on its part of ``X | None``; None without one."""
    own = [extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, kind)]
    below = [_annotation(part, kind) for part in typing.get_args(hint)]
    return next((annotation for annotation in (*own, *below) if annotation is not None), None)


def _doc(struct: type) -> str:
    return " ".join((struct.__dict__.get("__doc__") or "").split())


def _shown(kind: Any) -> str:
    text = kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)
    return f"`{text.replace('typing.', '').replace('datetime.datetime', 'datetime')}`"


def _remedy(kind: Any) -> str:
    from msgspec import inspect

    if isinstance(kind, inspect.Metadata):
        return _remedy(kind.type)
    if isinstance(kind, inspect.UnionType):
        numbers = {type(t) for t in kind.types} <= {inspect.IntType, inspect.FloatType, inspect.NoneType}
        return "write `float`" if numbers else "choose one type"
    if isinstance(kind, inspect.LiteralType):
        return "write values of one type, text or whole numbers"
    if isinstance(kind, inspect.StructType):
        return "write its fields flat, one by one"
    return "write one field per value"
