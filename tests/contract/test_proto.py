"""A contract becomes a .proto whose numbers never change their meaning, as text and as a descriptor alike."""

from __future__ import annotations

import enum
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from funade.contract import proto
from funade.contract.contract import contract_of, default, unit
from funade.contract.field import Contract, Field
from funade.contract.wire import Slot, Wire, numbers, wire


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


class Ride(msgspec.Struct):
    """One ride."""

    fare_yen: Annotated[float, msgspec.Meta(ge=0, description="What was\npaid"), unit("JPY")]
    riders: int
    paid: bool
    at: datetime
    day: date
    note: str | None
    level: Level
    rides_30d: Annotated[int, default(0)]
    kind: Literal["a", "b"] = "a"
    距離: float = 0.0
    ByteSize: int = 0
    aB: int = 0
    a_b: int = 0


class Verdict(msgspec.Struct):
    score: float
    until: datetime | None = None


class Older(msgspec.Struct):
    score: int
    gone: str


def contract(takes: Any = Ride, gives: Any = Verdict) -> Contract:
    return contract_of(takes, gives, place="here.py:1")


def test_the_text_and_the_descriptor_are_one_file(tmp_path: Path) -> None:
    from google.protobuf.descriptor_pb2 import FileDescriptorSet
    from grpc_tools import protoc

    old = wire("screen", contract(gives=Older), module="taxi.screening")
    made = wire("screen", contract(), old)
    file = tmp_path / proto.path_of(made)
    file.parent.mkdir(parents=True)
    file.write_text(proto.text_of("screen", contract(), made), "utf-8")
    out = tmp_path / "out"
    assert protoc.main(["protoc", f"-I{tmp_path}", f"--descriptor_set_out={out}", str(file)]) == 0
    (compiled,) = FileDescriptorSet.FromString(out.read_bytes()).file
    assert compiled == proto.descriptor_of(contract(), made)
    assert compiled.package == "funade.taxi.screen"


def test_the_text_says_what_a_client_must_know() -> None:
    text = proto.text_of("screen", contract(), wire("screen", contract(), module="taxi.screening"))
    assert '  optional double fare_yen = 1 [json_name = "fare_yen"];  // >= 0, JPY, required: What was paid\n' in text
    assert '  optional int64 rides_30d = 8 [json_name = "rides_30d"];  // 0 where absent\n' in text
    assert '  optional double field_10 = 10 [json_name = "距離"];  // 0.0 where absent\n' in text
    assert "  double score = 1;\n" in text


def fields(**types: str) -> tuple[Field, ...]:
    return tuple(Field(name, kind) for name, kind in types.items())  # type: ignore[arg-type]


def steps(*each: dict[str, str]) -> list[dict[str, int]]:
    """The numbers of a request's fields, release by release."""
    known: Wire | None = None
    found = []
    for types in each:
        known = wire("eta", Contract("A", "B", fields(**types), fields(eta="float")), known, "taxi")
        found.append(numbers(fields(**types), known.takes))
    return found


def test_a_field_keeps_its_number_wherever_it_stands() -> None:
    assert steps({"a": "int", "b": "int"}, {"b": "int", "c": "str", "a": "int"})[1] == {"b": 2, "c": 3, "a": 1}


def test_a_number_that_was_given_is_given_to_no_other_field() -> None:
    assert steps({"a": "int", "b": "int"}, {"a": "int"}, {"a": "int", "c": "int"})[2] == {"a": 1, "c": 3}


def test_a_field_that_comes_back_gets_its_number_back_only_with_its_type() -> None:
    assert steps({"a": "int", "b": "int"}, {"a": "int"}, {"a": "int", "b": "int"})[2] == {"a": 1, "b": 2}
    assert steps({"a": "int", "b": "int"}, {"a": "int"}, {"a": "int", "b": "str"})[2] == {"a": 1, "b": 3}


def test_what_is_gone_stays_reserved() -> None:
    before = wire("eta", Contract("A", "B", fields(a="int", b="int", c="str"), fields(eta="float")))
    now = Contract("A", "B", fields(b="int", c="int"), fields(eta="float"))
    text = proto.text_of("eta", now, wire("eta", now, before))
    assert '  reserved 1, 3;\n  reserved "a";\n' in text
    assert "  optional int64 c = 4;" in text


def test_the_numbers_that_protocol_buffers_keeps_are_left_out() -> None:
    before = Wire("funade.eta", (Slot("a", "int", 18_999),), ())
    now = Contract("A", "B", fields(a="int", b="int"), fields(eta="float"))
    assert numbers(now.takes_fields, wire("eta", now, before).takes) == {"a": 18_999, "b": 20_000}


@given(st.lists(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["int", "str", "float"])), max_size=8))
def test_over_any_history_one_number_means_one_field_of_one_type(history: list[dict[str, str]]) -> None:
    meant: dict[int, tuple[str, str]] = {}
    for types, found in zip(history, steps(*history), strict=True):
        assert len(set(found.values())) == len(found)
        for name, number in found.items():
            assert meant.setdefault(number, (name, types[name])) == (name, types[name])


@pytest.mark.parametrize("name", ["taxi", "船", "a_b"])
def test_the_package_is_ascii_and_kept_when_the_module_moves(name: str) -> None:
    first = wire(name, contract(), module="taxi.a")
    assert first.package.isascii()
    assert wire(name, contract(), first, module="other.b").package == first.package
