"""The document says exactly what a request may hold."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
import pytest

import funade as fn
from funade.contract.contract import contract_of
from funade.contract.openapi import ALWAYS, ERRORS, Paths, openapi, operation, ref, response


class Asked(msgspec.Struct):
    whole: int
    some: Annotated[int, msgspec.Meta(ge=1, lt=9)]
    choice: Literal[1, 2]
    local: Annotated[datetime, msgspec.Meta(tz=False)]
    zoned: Annotated[datetime, msgspec.Meta(tz=True)]


class Given(msgspec.Struct):
    score: float


CONTRACT = contract_of(Asked, Given, place="x")


def properties(**contracts: Any) -> dict[str, Any]:
    schemas = openapi(contracts)["components"]["schemas"]
    found: dict[str, Any] = schemas[f"{next(iter(contracts))}.takes"]["properties"]
    return found


def test_whole_numbers_have_64_bits_or_their_own_bounds() -> None:
    found = properties(ask=CONTRACT)
    assert found["whole"] == {"type": "integer", "format": "int64", "minimum": -(2**63), "maximum": 2**63 - 1}
    assert json.dumps(found["some"]) == json.dumps(
        {"type": "integer", "format": "int64", "minimum": 1, "exclusiveMaximum": 9}
    )
    assert found["choice"] == {"type": "integer", "enum": [1, 2]}


def test_a_whole_number_that_may_be_missing_has_as_many_digits_as_its_column_keeps() -> None:
    class Ask(msgspec.Struct):
        plain: int | None
        low: Annotated[int, msgspec.Meta(ge=5)] | None
        wide: Annotated[int, msgspec.Meta(gt=-(2**60), lt=2**60)] | None
        other: Annotated[int, fn.default(3)]

    class Back(msgspec.Struct):
        plain: int | None

    contract = contract_of(Ask, Back, place="x")
    found = {name: (p["minimum"], p["maximum"]) for name, p in properties(ask=contract).items()}
    most = 2**53
    assert found == {
        "plain": (-most, most), "low": (5, most), "wide": (-most, most), "other": (-(2**63), 2**63 - 1),
    }  # fmt: skip
    assert not any("exclusive" in key for p in properties(ask=contract).values() for key in p)
    gives = openapi({"ask": contract})["components"]["schemas"]["ask.gives"]
    assert gives["properties"]["plain"]["maximum"] == 2**63 - 1


def test_a_time_without_an_offset_is_no_date_time_of_json_schema() -> None:
    found = properties(ask=CONTRACT)
    assert found["zoned"] == {"type": "string", "format": "date-time"}
    assert "format" not in found["local"]
    for text, good in (("2022-03-01T12:00:00", True), ("2022-03-01T12:00:00.5", True), ("2022-03-01T12:00:00Z", False)):
        assert bool(re.search(found["local"]["pattern"], text)) is good
        try:
            msgspec.convert(text, Annotated[datetime, msgspec.Meta(tz=False)])
        except msgspec.ValidationError:
            assert not good
        else:
            assert good


def test_names_of_schemas_are_plain_whatever_an_api_is_called() -> None:
    found = openapi({"到着": CONTRACT})
    assert all(re.fullmatch(r"[a-zA-Z0-9._-]+", name) for name in found["components"]["schemas"])
    assert "/v1/到着" in found["paths"]


def test_parts_add_their_paths_and_schemas() -> None:
    page = operation("page", "A page.", {200: response("It.", ref("Page"))}, refused=[404], role="operate")
    found = openapi({}, parts=[Paths({"/page": {"get": page}}, {"Page": {"type": "object"}})])
    assert found["paths"] == {"/page": {"get": page}}
    assert found["components"]["schemas"]["Page"] == {"type": "object"}
    assert [int(status) for status in page["responses"]] == sorted({200, 404, *ALWAYS})
    assert page["security"] == [{"token": []}]


@pytest.mark.parametrize("status", ERRORS)
def test_every_error_is_described_once(status: int) -> None:
    found = openapi({})["components"]["responses"][str(status)]
    assert found["content"]["application/json"]["schema"] == ref("Error")
    assert ("Retry-After" in found["headers"]) == (status == 503)
