"""Tensors to rows and back: whatever a client sends gets rows or one clear refusal."""

from __future__ import annotations

# ruff: noqa: E501  (a case a line)
import json
import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funade.errors import ContractViolation
from funade.serve.oip import json as oip_json
from funade.serve.oip.model import Model
from funade.serve.oip.tensor import Tensor, columns_of, values_of
from support.release import TENSORS, release

APIS = release(3, TENSORS).apis
COOK = Model(APIS["cook"], 3)
MIRROR = Model(APIS["mirror"], 3)


def order(**changed: Any) -> list[dict[str, Any]]:
    """The tensors of one order as JSON."""
    row: dict[str, tuple[str, list[Any]]] = {
        "dishes": ("INT64", [1]), "spice": ("FP64", [0.5]), "table": ("BYTES", ["A1"]), "kind": ("BYTES", ["eat in"]),
    }  # fmt: skip
    return [{"name": n, "shape": [len(d)], "datatype": t, "data": d} for n, (t, d) in (row | changed).items()]


def read(inputs: Any, binary: bytes = b"", length: bytes | None = None, **more: Any) -> list[Any]:
    """The rows of a request over HTTP."""
    head = json.dumps({"inputs": inputs, **more}).encode()
    told = str(len(head)).encode() if binary and length is None else length
    return COOK.rows(oip_json.read(COOK, head + binary, told, None).tensors)


def binary(name: str, datatype: str, raw: bytes, shape: tuple[int, ...] = (1,)) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": len(raw)}}


def texts(*values: str) -> bytes:
    return b"".join(struct.pack("<I", len(v.encode())) + v.encode() for v in values)


def test_rows_are_those_of_the_same_json() -> None:
    (row,) = read(order(note=("BYTES", ["¥"]), level=("UINT8", [3])))
    (same,), _ = APIS["cook"].decode(
        json.dumps([{"dishes": 1, "spice": 0.5, "table": "A1", "kind": "eat in", "note": "¥", "level": 3}]).encode()
    )
    assert row == same


def test_tensors_may_come_as_a_column_and_as_bytes_and_as_json_together() -> None:
    given = order(spice=("FP64", [0.25, 0.5]), kind=("BYTES", ["eat in", "take away"]))
    given[0] = binary("dishes", "UINT16", np.array([3, 4], "<u2").tobytes(), (2, 1))
    given[2] = binary("table", "BYTES", texts("A1", "Z99"), (2,))
    given[1]["shape"], given[1]["data"] = [2, 1], [[0.25], [0.5]]
    rows = read(given, np.array([3, 4], "<u2").tobytes() + texts("A1", "Z99"))
    assert [(r.dishes, r.spice, r.table) for r in rows] == [(3, 0.25, "A1"), (4, 0.5, "Z99")]


def test_what_is_missing_has_its_declared_default() -> None:
    lost = {"name": "guests.missing", "shape": [1], "datatype": "BOOL", "data": [True]}
    waiting = {"name": "waiting", "shape": [1], "datatype": "FP64", "data": [None]}
    for sent in (order(), [*order(guests=("INT64", [9])), lost], [*order(), waiting]):
        taken = APIS["cook"].take(read(sent))
        assert (taken.columns["guests"].tolist(), taken.columns["waiting"].tolist()) == ([2], [5.0])
    assert read(order(guests=("INT64", [9])))[0].guests == 9


BAD: dict[str, tuple[Any, str, str]] = {
    "no tensors": ([], "expected one tensor at least, got none", "$.inputs"),
    "no list": (None, "expected `array`, got `null`", "$.inputs"),
    "a number": ([1], "expected `object`, got `int`", "$.inputs[0]"),
    "no shape": ([{"name": "a", "datatype": "BOOL"}], "expected field `shape`, got none", "$.inputs[0]"),
    "negative": ([order()[0] | {"shape": [-1]}], "expected shape [N] or [N, 1] for `dishes`, got [-1]", "$.inputs[0].shape"),
    "no axis": ([order()[0] | {"shape": []}], "expected shape [N] or [N, 1] for `dishes`, got []", "$.inputs[0].shape"),
    "wide": ([order()[0] | {"shape": [1, 2]}], "expected shape [N] or [N, 1] for `dishes`, got [1, 2]", "$.inputs[0].shape"),
    "huge": ([order()[0] | {"shape": [2**62, 1]}], f"expected at most 100000 rows, got {2**62}", "$.inputs[0].shape"),
    "overflow": ([order()[0] | {"shape": [2**63, 2**63]}], f"expected shape [N] or [N, 1] for `dishes`, got [{2**63}, {2**63}]", "$.inputs[0].shape"),
    "claims more": ([order()[0] | {"shape": [9]}], "expected 9 values for `dishes`, as its shape says, got 1", "$.inputs[0]"),
    "no data": ([{"name": "dishes", "shape": [1], "datatype": "INT64"}], "expected `data` for `dishes`, got none", "$.inputs[0]"),
    "datatype": (order(dishes=("FP64", [1])), "expected datatype INT8 to INT64 or UINT8 to UINT64 for `dishes`, got FP64", "$.inputs[0].datatype"),
    "no datatype": (order(dishes=("COMPLEX", [1])), "expected datatype INT8 to INT64 or UINT8 to UINT64 for `dishes`, got COMPLEX", "$.inputs[0].datatype"),
    "fraction": (order(dishes=("INT64", [1.5])), "expected an INT64 for `dishes`, got 1.5", "$[0].dishes"),
    "truth": (order(dishes=("INT64", [True])), "expected an INT64 for `dishes`, got True", "$[0].dishes"),
    "nested": (order(dishes=("INT64", [[[1]]])), "expected an INT64 for `dishes`, got [[1]]", "$[0].dishes"),
    "range": (order(dishes=("INT8", [128])), "expected an INT8 for `dishes`, got 128", "$[0].dishes"),
    "no number": (order(spice=("FP32", ["1"])), "expected a number for `spice`, got 1", "$[0].spice"),
    "too large": (order(spice=("FP32", [1e39])), "expected a finite number, got infinity", "$[0].spice"),
    "beyond": (order(spice=("FP64", [10**400])), "expected finite numbers for `spice`, got one out of range", "$.inputs[1]"),
    "null": (order(spice=("FP64", [None])), "expected `float`, got `null`", "$[0].spice"),
    "no text": (order(table=("BYTES", [1])), "expected a text for `table`, got 1", "$[0].table"),
    "pattern": (order(table=("BYTES", ["a1"])), "expected `str` matching regex '^[A-Z][0-9]{1,3}$'", "$[0].table"),
    "choice": (order(kind=("BYTES", ["fly"])), "expected one of 'eat in', 'take away', got 'fly'", "$[0].kind"),
    "bound": (order(spice=("FP64", [1.0])), "expected `float` < 1.0", "$[0].spice"),
    "twice": ([*order(), order()[0]], "expected tensor `dishes` once, got it twice", "$.inputs[4].name"),
    "unknown": (order(dish=("INT64", [1])), "expected no tensor `dish`; did you mean `dishes`?", "$.inputs[4].name"),
    "lengths": (order(spice=("FP64", [0.5, 0.5])), "expected 1 values for `spice`, as for `dishes`, got 2", "$.inputs[1].shape"),
    "mask": (order(**{"dishes.missing": ("BOOL", [True])}), "expected no tensor `dishes.missing`; did you mean `dishes`?", "$.inputs[4].name"),
    "parameter": ([order()[0] | {"parameters": {"a": {}}}], "expected `bool | int | float | str`, got `object`", "$.inputs[0].parameters[...]"),
    "shared": ([order()[0] | {"parameters": {"shared_memory_region": "r"}}], "expected no parameter `shared_memory_region`; send and take values in the message", "$.inputs[0].parameters"),
    "headless": ([binary("dishes", "INT8", b"1")], "expected the header inference-header-content-length with binary tensors, got none", "$.inputs[0].parameters.binary_data_size"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(BAD))
def test_a_wrong_request_is_refused_with_its_path(name: str) -> None:
    inputs, text, path = BAD[name]
    with pytest.raises(ContractViolation) as caught:
        read(inputs)
    assert (caught.value.what, caught.value.facts["path"]) == (f"request {text}", path)


BYTES: dict[str, tuple[dict[str, Any], bytes, bytes | None, str]] = {
    "truncated": (binary("dishes", "INT64", b"12345678"), b"1234", None, "expected 8 bytes for `dishes`, got a truncated body"),
    "too many": (binary("dishes", "INT64", b"12345678"), b"123456789", None, "expected 8 bytes of tensors, as its JSON says, got 9"),
    "too few": (binary("dishes", "INT64", b"1234"), b"1234", None, "expected 8 bytes for 1 values of INT64, got 4"),
    "negative": (binary("dishes", "INT8", b"1") | {"parameters": {"binary_data_size": -1}}, b"1", None, "expected a size in bytes, 0 or more"),
    "a fraction": (binary("dishes", "INT8", b"1") | {"parameters": {"binary_data_size": 1.0}}, b"1", None, "expected a size in bytes, 0 or more"),
    "huge": (binary("dishes", "INT8", b"1") | {"parameters": {"binary_data_size": 2**63}}, b"1", None, f"expected {2**63} bytes for `dishes`, got a truncated body"),
    "both": (binary("dishes", "INT8", b"1") | {"data": [1]}, b"1", None, "expected `data` or `binary_data_size`, got both"),
    "no length": (binary("dishes", "INT8", b"1"), b"1", b"x", "expected inference-header-content-length of at most the body's 106 bytes, got another value"),
    "long length": (binary("dishes", "INT8", b"1"), b"1", b"9999", "expected inference-header-content-length of at most the body's 106 bytes, got another value"),
    "short length": (binary("dishes", "INT8", b"1"), b"1", b"10", "expected JSON, got a truncated body"),
    "text too long": (binary("table", "BYTES", b"\xff\xff\xff\xffA"), b"\xff\xff\xff\xffA", None, "expected 1 texts for `table`, each headed by its length in four bytes, got 0 whole ones"),
    "text too short": (binary("table", "BYTES", b"\x01"), b"\x01", None, "expected 1 texts for `table`, each headed by its length in four bytes, got 0 whole ones"),
    "texts too many": (binary("table", "BYTES", texts("a", "b")), texts("a", "b"), None, "expected 1 texts for `table`, each headed by its length in four bytes, got 1 whole ones"),
    "no UTF-8": (binary("table", "BYTES", b"\x01\0\0\0\xff"), b"\x01\0\0\0\xff", None, "expected UTF-8, got another encoding (byte 0)"),
    "a half": (binary("guests.missing", "BOOL", b"\x02"), b"\x02", None, "expected a byte 0 or 1 for `guests.missing`, got 2"),
    "infinite": (binary("spice", "FP16", b"\x00\x7c"), b"\x00\x7c", None, "expected a finite number, got infinity"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(BYTES))
def test_wrong_bytes_are_refused(name: str) -> None:
    tensor, blob, length, text = BYTES[name]
    with pytest.raises(ContractViolation) as caught:
        read([tensor], blob, length)
    assert caught.value.what == f"request {text}"


def test_outputs_are_those_asked_for() -> None:
    assert COOK.wanted(["by"]) == ("by",)
    for names, text in ((["eta"], "no output `eta`; there are minutes, by"), (["by", "by"], "output `by` once")):
        with pytest.raises(ContractViolation, match=f"request expected {text}"):
            COOK.wanted(names)


def test_a_requests_own_time_limit_counts_where_it_is_less() -> None:
    def limit(asked: float | None, **parameters: Any) -> float | None:
        body = json.dumps({"inputs": order(), "parameters": parameters}).encode()
        return oip_json.read(COOK, body, None, asked).within_s

    assert limit(None, timeout=1_500_000) == 1.5
    assert limit(1.0, timeout=1_500_000) == 1.0
    assert limit(1.0, timeout=0) == 1.0
    assert limit(None) is None
    for wrong in (-1, 1.5, True, "1"):
        with pytest.raises(ContractViolation, match="expected whole microseconds"):
            limit(None, timeout=wrong)


_VALUES = {
    "whole": st.integers(-(2**63), 2**63 - 1),
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "truth": st.booleans(),
    "text": st.text(st.characters(codec="utf-8")),
}


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(list(_VALUES)), st.data(), st.booleans())
def test_values_come_back_as_they_were_sent(name: str, data: st.DataObject, raw: bool) -> None:
    values = data.draw(st.lists(_VALUES[name], min_size=1, max_size=20))
    field = next(f for f in APIS["mirror"].contract.gives_fields if f.name == name)
    (column,) = columns_of(field, np.array(values, object if name == "text" else None))
    sent = Tensor(name, column.datatype, [len(values)], column.raw() if raw else None, column.listed(), "$")
    back = values_of(sent, field.type, len(values))
    assert back == values
    assert [math.copysign(1, v) for v in back if type(v) is float] == [
        math.copysign(1, v) for v in values if type(v) is float
    ]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_spoilt_requests_are_refused_or_read(data: st.DataObject) -> None:
    given = order()
    given[0] = binary("dishes", "INT8", b"\x03")
    head = json.dumps({"id": "1", "inputs": given, "outputs": [{"name": "by"}], "parameters": {"timeout": 5}}).encode()
    body = bytearray(head + b"\x03")
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    length = data.draw(st.sampled_from([str(len(head)).encode(), None, b"0", str(len(body)).encode()]))
    try:
        rows = COOK.rows(oip_json.read(COOK, bytes(body), length, None).tensors)
    except ContractViolation as error:
        assert error.what.startswith("request expected")
        assert str(error.facts["path"]).startswith("$")
    else:
        assert len(rows) == 1
