from __future__ import annotations

import json
from datetime import date, datetime
from enum import Enum, IntEnum, StrEnum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funade.contract.breaks import Break, breaks
from funade.contract.contract import contract_of, fields_of, unit
from funade.contract.field import Contract, Field
from funade.contract.openapi import openapi
from funade.errors import DeclarationError


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


class Mixed(Enum):
    ONE = 1
    TWO = "two"


class Inner(msgspec.Struct):
    x: int


class Ride(msgspec.Struct):
    """One finished ride,
    offered for judgement."""

    fare: Annotated[float, msgspec.Meta(ge=0, le=100_000, description="what was paid"), unit("JPY")]
    seats: Annotated[int, msgspec.Meta(gt=0, lt=9, multiple_of=2)]
    cash: bool
    note: Annotated[str, msgspec.Meta(min_length=1, max_length=5, pattern="^a")]
    at: Annotated[datetime, msgspec.Meta(tz=True)]
    day: date
    kind: Literal["b", "a"]
    colour: Colour = Colour.RED
    size: Size | None = None
    metres: Annotated[float | None, unit("m")] = None
    seconds: Annotated[float, msgspec.Meta(gt=0), unit("s")] | None = None
    part: Literal["x", None] = None
    since: datetime = datetime(2022, 1, 1)
    weight: float = 1


class Verdict(msgspec.Struct):
    score: Annotated[float, msgspec.Meta(ge=0, le=1)]
    block: bool


def test_every_supported_type_becomes_a_field() -> None:
    assert fields_of(Ride, place="taxi.py:3") == (
        Field("fare", "float", ge=0.0, le=100_000.0, unit="JPY", doc="what was paid"),
        Field("seats", "int", gt=0.0, lt=9.0, multiple_of=2.0),
        Field("cash", "bool"),
        Field("note", "str", min_length=1, max_length=5, pattern="^a"),
        Field("at", "datetime", tz=True),
        Field("day", "date"),
        Field("kind", "str", values=("a", "b")),
        Field("colour", "str", required=False, default="red", values=("blue", "red")),
        Field("size", "int", required=False, nullable=True, values=(1, 2)),
        Field("metres", "float", required=False, nullable=True, unit="m"),
        Field("seconds", "float", required=False, nullable=True, gt=0.0, unit="s"),
        Field("part", "str", required=False, nullable=True, values=("x",)),
        Field("since", "datetime", required=False, default="2022-01-01T00:00:00"),
        Field("weight", "float", required=False, default=1.0),
    )


def test_a_contract_names_its_structs_and_keeps_their_docs() -> None:
    contract = contract_of(Ride, Verdict, place="taxi.py:3")
    assert (contract.takes, contract.gives, contract.closed) == ("Ride", "Verdict", False)
    assert contract.doc == "One finished ride, offered for judgement."


def test_a_contract_survives_json_unchanged() -> None:
    contract = contract_of(Ride, Verdict, place="taxi.py:3")
    body = msgspec.json.encode(contract)
    again = msgspec.json.decode(body, type=Contract)
    assert again == contract
    assert msgspec.json.encode(again) == body


def test_a_struct_that_refuses_unknown_fields_gives_a_closed_contract() -> None:
    class Strict(msgspec.Struct, forbid_unknown_fields=True):
        a: int

    assert contract_of(Strict, Verdict, place="x").closed


_SUPPORTED = "bool, int, float, str, datetime, date, Literal or Enum, also `| None`"


@pytest.mark.parametrize(
    ("kind", "got", "remedy"),
    [
        (list[int], "`list[int]`", "write one field per value"),
        (dict[str, int], "`dict[str, int]`", "write one field per value"),
        (Inner, "`Inner`", "write its fields flat, one by one"),
        (int | float, "`int | float`", "write `float`"),
        (int | str | None, "`int | str | None`", "choose one type"),
        (bytes, "`bytes`", "write one field per value"),
        (Any, "`Any`", "write one field per value"),
        (Literal["a", 1], "`Literal['a', 1]`", "write values of one type, text or whole numbers"),
        (tuple[int, int], "`tuple[int, int]`", "write one field per value"),
        (Annotated[list[int], msgspec.Meta(description="d")], None, "write one field per value"),
    ],
)
def test_a_field_that_is_no_plain_value_is_refused(kind: Any, got: str | None, remedy: str) -> None:
    struct = msgspec.defstruct("Bad", [("good", int), ("field", kind)])
    with pytest.raises(DeclarationError) as refused:
        fields_of(struct, place="taxi.py:9")
    message = str(refused.value)
    if got is None:
        assert message.startswith(f"struct `Bad` field `field` expected {_SUPPORTED}, got ")
        assert message.endswith(f" - at taxi.py:9; {remedy}")
    else:
        assert message == f"struct `Bad` field `field` expected {_SUPPORTED}, got {got} - at taxi.py:9; {remedy}"


class Renamed(msgspec.Struct, rename="camel"):
    ride_id: str


class Listed(msgspec.Struct, array_like=True):
    a: int


class Tagged(msgspec.Struct, tag=True):
    a: int


class Empty(msgspec.Struct):
    pass


class Fresh(msgspec.Struct):
    a: int = msgspec.field(default_factory=int)


class Unbound(msgspec.Struct):
    a: Annotated[float, msgspec.Meta(ge=0)] = -1.0


class Void(msgspec.Struct):
    a: float = float("nan")


class NoneDefault(msgspec.Struct):
    a: float = None  # type: ignore[assignment]


class Blend(msgspec.Struct):
    a: Mixed


class Far(msgspec.Struct):
    a: int | None = 2**53 + 1


class Chosen(msgspec.Struct):
    a: Literal[1, 9007199254740993] | None


class Misplaced(msgspec.Struct):
    a: Annotated[str, msgspec.Meta(ge=1)]


@pytest.mark.parametrize(
    ("struct", "message"),
    [
        (dict, "contract expected a msgspec.Struct, got `dict` - at x.py:1; write class Name(msgspec.Struct)"),
        (3, "contract expected a msgspec.Struct, got `3` - at x.py:1; write class Name(msgspec.Struct)"),
        (
            Renamed,
            "struct `Renamed` field `ride_id` expected one name, got `rideId` in JSON - at x.py:1; "
            "call the field `rideId`",
        ),
        (Listed, "struct `Listed` expected named fields, got array_like - at x.py:1; declare plain fields"),
        (Tagged, "struct `Tagged` expected named fields, got a tag - at x.py:1; declare plain fields"),
        (Empty, "struct `Empty` expected named fields, got none - at x.py:1; declare plain fields"),
        (
            Fresh,
            "struct `Fresh` field `a` expected a constant default, got default_factory - at x.py:1; write = value",
        ),
        (
            Unbound,
            "struct `Unbound` field `a` expected a default that a client could send, got -1.0 - at x.py:1; "
            "change the default or the bounds",
        ),
        (
            Void,
            "struct `Void` field `a` expected a default that a client could send, got nan - at x.py:1; "
            "write `| None = None` for a value that may be missing",
        ),
        (
            NoneDefault,
            "struct `NoneDefault` field `a` expected a default that a client could send, got None - at x.py:1; "
            "write `| None = None` for a value that may be missing",
        ),
        (
            Blend,
            "struct `Blend` expected annotations that can be read, got: Enums must contain either all str or all int "
            "values - type `<enum 'Mixed'>` is not supported - at x.py:1; change the annotation",
        ),
        (
            Far,
            "struct `Far` field `a` expected whole numbers up to 9007199254740992, got 9007199254740993 - at x.py:1; "
            "write fn.default(…) in place of `| None`, or `str`",
        ),
        (
            Chosen,
            "struct `Chosen` field `a` expected whole numbers up to 9007199254740992, got 9007199254740993 - at "
            "x.py:1; write fn.default(…) in place of `| None`, or `str`",
        ),
        (
            Misplaced,
            "struct `Misplaced` expected annotations that can be read, got: Can only set `ge` on a numeric type - "
            "type `typing.Annotated[str, msgspec.Meta(ge=1)]` is invalid - at x.py:1; "
            "change the annotation",
        ),
    ],
)
def test_a_struct_that_is_no_row_is_refused(struct: Any, message: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        contract_of(struct, Verdict, place="x.py:1")
    assert str(refused.value) == message


def test_an_annotation_that_names_nothing_is_refused() -> None:
    class Lost(msgspec.Struct):
        a: Nowhere  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(DeclarationError, match=r"^struct `Lost` expected annotations that can be read, got: name 'Now"):
        contract_of(Ride, Lost, place="x.py:1")


def test_a_unit_without_text_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"^unit expected text like 'm' or 'JPY', got ' '$"):
        unit(" ")


# --- breaks --------------------------------------------------------------------------------------------------------


def contract(*takes: Field, gives: tuple[Field, ...] = (Field("y", "float"),), closed: bool = False) -> Contract:
    return Contract("Takes", "Gives", takes, gives, closed=closed)


X = Field("x", "float")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ((), (X,), "request field `x` is new and required: expected none, got float"),
        ((), (Field("x", "float", required=False, default=1.0),), ""),
        ((X,), (), ""),
        ((X,), (Field("x", "int"),), "request field `x` changed its type: expected float, got int"),
        ((Field("x", "int"),), (X,), ""),
        ((Field("x", "str"),), (X,), "request field `x` changed its type: expected str, got float"),
        (
            (Field("x", "float", required=False),),
            (X,),
            "request field `x` became required: expected optional, got required",
        ),
        (
            (Field("x", "float", nullable=True),),
            (X,),
            "request field `x` became not nullable: expected nullable, got not nullable",
        ),
        ((X,), (Field("x", "float", nullable=True, required=False),), ""),
        (
            (X,),
            (Field("x", "float", ge=0.0),),
            "request field `x` is narrower in its least: expected any, got >= 0",
        ),
        (
            (Field("x", "float", ge=0.0),),
            (Field("x", "float", gt=0.0),),
            "request field `x` is narrower in its least: expected >= 0, got > 0",
        ),
        ((Field("x", "float", gt=0.0),), (Field("x", "float", ge=0.0),), ""),
        ((Field("x", "int", gt=0.0),), (Field("x", "int", ge=1.0),), ""),
        ((Field("x", "int", lt=9.0),), (Field("x", "int", le=8.0),), ""),
        (
            (Field("x", "float", lt=9.0),),
            (Field("x", "float", le=8.0),),
            "request field `x` is narrower in its greatest: expected < 9, got <= 8",
        ),
        (
            (Field("x", "str", max_length=5),),
            (Field("x", "str", max_length=4),),
            "request field `x` is narrower in its greatest length: "
            "expected at most 5 characters, got at most 4 characters",
        ),
        (
            (Field("x", "str"),),
            (Field("x", "str", pattern="^a"),),
            "request field `x` is narrower in its pattern: expected any, got matching ^a",
        ),
        (
            (Field("x", "int"),),
            (Field("x", "int", multiple_of=2.0),),
            "request field `x` is narrower in its multiple: expected any, got a multiple of 2",
        ),
        ((Field("x", "int", multiple_of=4.0),), (Field("x", "int", multiple_of=2.0),), ""),
        (
            (Field("x", "str", values=("a", "b")),),
            (Field("x", "str", values=("a",)),),
            "request field `x` is narrower in its values: expected a, b, got a",
        ),
        ((Field("x", "str", values=("a",)),), (Field("x", "str", max_length=1),), ""),
        (
            (Field("x", "str"),),
            (Field("x", "str", values=("a",)),),
            "request field `x` is narrower in its values: expected any, got a",
        ),
        (
            (Field("x", "datetime"),),
            (Field("x", "datetime", tz=True),),
            "request field `x` is narrower in its time offset: expected any, got with an offset",
        ),
        (
            (Field("x", "float", unit="m"),),
            (Field("x", "float", unit="km"),),
            "request field `x` changed its unit: expected m, got km",
        ),
        ((X,), (Field("x", "float", unit="m"),), ""),
    ],
)
def test_what_breaks_a_request(old: tuple[Field, ...], new: tuple[Field, ...], told: str) -> None:
    assert "; ".join(map(str, breaks(contract(*old), contract(*new)))) == told


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ((X,), (), "answer field `x` was removed: expected float, got none"),
        ((), (X,), ""),
        ((Field("x", "int"),), (X,), "answer field `x` changed its type: expected int, got float"),
        ((X,), (Field("x", "int"),), "answer field `x` changed its type: expected float, got int"),
        (
            (X,),
            (Field("x", "float", nullable=True),),
            "answer field `x` became nullable: expected not nullable, got nullable",
        ),
        (
            (X,),
            (Field("x", "float", required=False),),
            "answer field `x` became optional: expected required, got optional",
        ),
        (
            (Field("x", "float", le=1.0),),
            (Field("x", "float", le=2.0),),
            "answer field `x` is wider in its greatest: expected <= 1, got <= 2",
        ),
        ((Field("x", "float", le=2.0),), (Field("x", "float", le=1.0),), ""),
        (
            (Field("x", "str", values=("a",)),),
            (Field("x", "str", values=("a", "b")),),
            "answer field `x` is wider in its values: expected a, got a, b",
        ),
        ((Field("x", "str", values=("a", "b")),), (Field("x", "str", values=("a",)),), ""),
        ((Field("x", "float", nullable=True),), (X,), ""),
    ],
)
def test_what_breaks_an_answer(old: tuple[Field, ...], new: tuple[Field, ...], told: str) -> None:
    found = breaks(contract(gives=old), contract(gives=new))
    assert "; ".join(map(str, found)) == told


def test_closing_a_request_breaks_it_and_so_does_dropping_a_field_of_a_closed_one() -> None:
    assert [str(b) for b in breaks(contract(X), contract(closed=True))] == [
        "request became closed: expected unknown fields ignored, got unknown fields refused",
        "request field `x` was removed from a closed request: expected float, got none",
    ]


def test_a_break_says_where_and_what_as_values() -> None:
    (found,) = breaks(contract(), contract(X))
    assert found == Break("request", "x", "is new and required", "none", "float")


# Laws, over drawn contracts.

_bounds = st.one_of(st.none(), st.integers(-5, 5).map(float))


@st.composite
def drawn_field(draw: st.DrawFn, name: str, kind: str = "") -> Field:
    kind = kind or draw(st.sampled_from(["bool", "int", "float", "str", "datetime", "date"]))
    facts: dict[str, Any] = {"nullable": draw(st.booleans())}
    if kind in ("int", "float"):
        facts[draw(st.sampled_from(["ge", "gt"]))] = draw(_bounds)
        facts[draw(st.sampled_from(["le", "lt"]))] = draw(_bounds)
        facts["multiple_of"] = draw(st.sampled_from([None, None, 1.0, 2.0])) if kind == "int" else None
    if kind in ("str", "int") and draw(st.booleans()):
        pool: list[Any] = ["a", "b", "cc"] if kind == "str" else [1, 2, 3]
        facts = {
            "nullable": facts["nullable"],
            "values": tuple(sorted(draw(st.sets(st.sampled_from(pool), min_size=1)))),
        }
    elif kind == "str":
        facts |= {"min_length": draw(st.sampled_from([None, 1])), "max_length": draw(st.sampled_from([None, 2, 3]))}
        facts["pattern"] = draw(st.sampled_from([None, None, "^[a-c]*$"]))
    elif kind == "datetime":
        facts["tz"] = draw(st.sampled_from([None, True, False]))
    required = draw(st.booleans())
    facts |= {} if required else {"required": False, "nullable": True, "default": None}
    return Field(name, kind, **facts)  # type: ignore[arg-type]


@st.composite
def drawn_contract(draw: st.DrawFn) -> Contract:
    takes = tuple(draw(drawn_field(name)) for name in draw(st.sets(st.sampled_from("abc"), min_size=1)))
    gives = tuple(draw(drawn_field(name)) for name in draw(st.sets(st.sampled_from("xyz"), min_size=1)))
    return contract(*takes, gives=gives, closed=draw(st.booleans()))


def struct_of(found: Contract) -> Any:
    """A struct that takes exactly what the contract's request side says."""
    kinds: dict[str, Any] = {"bool": bool, "int": int, "float": float, "str": str, "datetime": datetime, "date": date}
    rows: list[Any] = []
    for field in found.takes_fields:
        names = ("ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "pattern", "tz")
        number = int if field.type == "int" else (lambda v: v)
        meta: dict[str, Any] = {n: number(v) for n in names if (v := getattr(field, n)) is not None}
        typed: Any = Literal[field.values] if field.values else Annotated[kinds[field.type], msgspec.Meta(**meta)]
        typed = typed | None if field.nullable else typed
        rows.append((field.name, typed) if field.required else (field.name, typed, field.default))
    return msgspec.defstruct("Row", rows, kw_only=True, forbid_unknown_fields=found.closed)


def candidates(field: Field) -> list[Any]:
    """Values of a field's type at and around every limit that is drawn."""
    pools: dict[str, list[Any]] = {
        "bool": [True, False],
        "int": list(range(-8, 9)),
        "float": [v / 2 for v in range(-16, 17)] + [5e-324, 1e300],
        "str": ["", "a", "b", "cc", "abc", "zz", "zzzz"],
        "datetime": ["2022-01-01T00:00:00", "2022-01-01T00:00:00Z"],
        "date": ["2022-01-01"],
    }
    return [*pools[field.type], None]


def decodes(struct: Any, row: dict[str, Any]) -> bool:
    try:
        msgspec.json.decode(json.dumps(row), type=struct)
    except msgspec.ValidationError:
        return False
    return True


@given(drawn_contract())
def test_a_contract_never_breaks_itself(found: Contract) -> None:
    assert breaks(found, found) == ()


@given(drawn_contract(), st.data())
def test_widening_a_request_never_breaks(found: Contract, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(found.takes_fields) - 1))
    field = found.takes_fields[index]
    changes: dict[str, Any] = {"nullable": True}
    for name in ("ge", "gt", "le", "lt"):
        value = getattr(field, name)
        if value is not None:
            step = data.draw(st.sampled_from([0.0, 1.0, None]))
            changes[name] = None if step is None else value + (step if name in ("le", "lt") else -step)
    if field.values:
        changes["values"] = (*field.values, "zzz" if field.type == "str" else 9)
    wider = tuple(msgspec.structs.replace(f, **changes) if i == index else f for i, f in enumerate(found.takes_fields))
    assert breaks(found, msgspec.structs.replace(found, takes_fields=wider)) == ()


@settings(max_examples=150)
@given(drawn_contract(), drawn_contract(), st.data())
def test_a_request_of_the_old_contract_decodes_under_a_new_one_that_breaks_nothing(
    old: Contract, other: Contract, data: st.DataObject
) -> None:
    drawn = {f.name: f for f in other.takes_fields}
    drawn |= {f.name: f for f in old.takes_fields if data.draw(st.integers(0, 4))}  # most kept, so many break nothing
    new = msgspec.structs.replace(other, takes_fields=tuple(drawn.values()))
    if any(b.side == "request" for b in breaks(old, new)):
        return
    before, after = struct_of(old), struct_of(new)
    row: dict[str, Any] = {}
    for field in old.takes_fields:
        solo = struct_of(msgspec.structs.replace(old, takes_fields=(field,)))
        for value in candidates(field):
            if decodes(solo, {field.name: value}):
                row[field.name] = value
                full = {f.name: row.get(f.name, _first(old, f)) for f in old.takes_fields}
                if decodes(before, full):
                    assert decodes(after, full), (full, old, new)


def _first(old: Contract, field: Field) -> Any:
    solo = struct_of(msgspec.structs.replace(old, takes_fields=(field,)))
    return next((v for v in candidates(field) if decodes(solo, {field.name: v})), None)


@settings(max_examples=150)
@given(st.sampled_from(["int", "float", "str", "datetime"]), st.data())
def test_a_field_pair_without_a_break_loses_no_value(kind: str, data: st.DataObject) -> None:
    pairs = [data.draw(drawn_field("a", kind)) for _ in range(2)]
    old, new = contract(pairs[0]), contract(pairs[1])
    before, after = struct_of(old), struct_of(new)
    lost = [v for v in candidates(pairs[0]) if decodes(before, {"a": v}) and not decodes(after, {"a": v})]
    if lost:
        assert breaks(old, new), lost


# --- for people and machines ---------------------------------------------------------------------------------------


def test_openapi_says_what_a_client_may_send_and_gets() -> None:
    document = openapi({"screen": contract_of(Ride, Verdict, place="x")}, version="41")
    assert document["openapi"] == "3.1.0"
    assert document["info"] == {"title": "funade", "version": "41"}
    path = document["paths"]["/v1/screen"]
    assert set(path) == {"post", "get"}
    assert {"200", "400", "415", "422", "500", "503", "504"} <= set(path["post"]["responses"])
    takes = document["components"]["schemas"]["screen.takes"]
    assert takes["properties"]["fare"] == {
        "type": "number", "format": "double", "minimum": 0.0, "maximum": 100_000.0, "x-unit": "JPY",
        "description": "what was paid",
    }  # fmt: skip
    assert takes["properties"]["size"] == {"type": ["integer", "null"], "enum": [1, 2, None], "default": None}
    assert takes["required"] == ["fare", "seats", "cash", "note", "at", "day", "kind"]
    assert document["components"]["schemas"]["screen.gives"]["required"] == ["score", "block"]


def test_openapi_refers_only_to_what_it_holds_and_is_json() -> None:
    document = openapi({"screen": contract_of(Ride, Verdict, place="x"), "other": contract(X, closed=True)})
    text = msgspec.json.encode(document).decode()
    names = {f'"#/components/{kind}/{n}"' for kind, named in document["components"].items() for n in named}
    assert {part.split("}")[0] for part in text.split('"$ref":')[1:]} <= names
    assert document["components"]["schemas"]["other.takes"]["additionalProperties"] is False
