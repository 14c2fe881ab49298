"""The protocol's messages: the same on the wire as everybody's, and whatever comes ends a call clearly."""

from __future__ import annotations

# ruff: noqa: E501  (a case a line)
import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from funade.serve.answer.request import ApiAnswers, Notes
from funade.serve.answer.runtime import Runtime
from funade.serve.grpc import call as rpc
from funade.serve.oip.grpc import FILE, MESSAGES, services
from support import stock
from support.release import TENSORS, release
from support.runtimes import runtime_of

INFER = "/inference.GRPCInferenceService/ModelInfer"


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """A runtime whose queues are looked into by hand."""
    loop = asyncio.new_event_loop()
    yield runtime_of(release(7, TENSORS), loop, tmp_path_factory.mktemp("runtime") / "log")
    loop.close()


class Call:
    """One call that nobody carries."""

    def __init__(self) -> None:
        self.within_s: float | None = None
        self.metadata: Mapping[str, str] = {}
        self.done = False
        self.said: tuple[int, Any] = (-1, b"")
        self.trailing: rpc.Metadata = ()

    def reply(self, message: bytes, metadata: rpc.Metadata = ()) -> None:
        self.done, self.said, self.trailing = True, (0, message), metadata

    def fail(self, code: int, text: str, metadata: rpc.Metadata = ()) -> None:
        self.done, self.said, self.trailing = True, (code, text), metadata


def ask(runtime: Runtime, body: bytes, path: str = INFER) -> tuple[int, Any]:
    """How a call ends; an inference that was let in is worked for here."""
    call = Call()
    next(service.methods[path] for service in services(runtime) if path in service.methods)(body, call)
    for queue in runtime.queues.values():
        for one in queue.take():
            taken = queue.api.take(one.rows)
            given = queue.api.give(taken.columns, len(one.rows))
            answered = ApiAnswers(given.columns, queue.api.answers.structs)
            one.answer(one.write(answered, 0, len(one.rows)), 26, Notes(defaults="waiting; rows=0"))
    assert call.done
    return call.said


def request(*inputs: dict[str, Any], raw: tuple[bytes, ...] = (), **more: Any) -> Any:
    return MESSAGES["ModelInferRequest"](model_name="cook", inputs=inputs, raw_input_contents=raw, **more)


def tensor(name: str, datatype: str, values: list[Any], contents: str, shape: tuple[int, ...] = (1,)) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "contents": {contents: values}}


ORDER = (
    tensor("dishes", "INT32", [2], "int_contents"),
    tensor("spice", "FP32", [0.5], "fp32_contents"),
    tensor("table", "BYTES", [b"A1"], "bytes_contents"),
    tensor("kind", "BYTES", [b"eat in"], "bytes_contents"),
)


def test_messages_are_the_same_on_the_wire_as_tritonclients(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(FILE)
    assert stock.ask("triton_wire.py", tmp_path / "file").split() == ["14", "6"]


def test_contents_are_answered_with_contents(runtime: Runtime) -> None:
    code, body = ask(runtime, request(*ORDER, id="9").SerializeToString())
    answer = MESSAGES["ModelInferResponse"].FromString(body)
    assert (code, answer.model_name, answer.model_version, answer.id) == (0, "cook", "7", "9")
    assert [(o.name, o.datatype, list(o.shape)) for o in answer.outputs] == [
        ("minutes", "FP64", [1]),
        ("by", "BYTES", [1]),
    ]
    assert list(answer.outputs[0].contents.fp64_contents) == [2 * 1.5 + 5 + 0.1 * 2]
    assert list(answer.outputs[1].contents.bytes_contents) == [b"wok"]
    assert {name: value.string_param for name, value in answer.parameters.items()} == {
        "funade-release": "7", "funade-prediction": "000000000000-1a", "funade-defaults": "waiting; rows=0",
    }  # fmt: skip


def test_bytes_are_answered_with_bytes(runtime: Runtime) -> None:
    bare = [{key: value for key, value in one.items() if key != "contents"} for one in ORDER]
    raw = (np.int32(2).tobytes(), np.float32(0.5).tobytes(), b"\x02\0\0\0A1", b"\x06\0\0\0eat in")
    code, body = ask(runtime, request(*bare, raw=raw, outputs=[{"name": "by"}]).SerializeToString())
    answer = MESSAGES["ModelInferResponse"].FromString(body)
    assert (code, list(answer.raw_output_contents)) == (0, [b"\x03\0\0\0wok"])


def changed(index: int, **given: Any) -> Any:
    inputs = list(ORDER)
    inputs[index] = {**inputs[index], **given}
    return request(*inputs)


WRONG = {
    "no message": (b"\xff", "request expected a message of inference.GRPCInferenceService/ModelInfer, got bytes that are none"),
    "raw": (request(*ORDER, raw=(b"1",)), "request expected as many raw_input_contents as inputs, 4, got 1 - at $.raw_input_contents"),
    "both": (request(ORDER[0], raw=(b"1",)), "request expected `contents` or raw_input_contents, got both - at $.inputs[0]"),
    "other list": (changed(0, contents={"int64_contents": [2]}), "request expected `int_contents` for INT32, got int64_contents - at $.inputs[0].contents"),
    "two lists": (changed(0, contents={"int_contents": [2], "int64_contents": [2]}), "request expected `int_contents` for INT32, got int_contents, int64_contents - at $.inputs[0].contents"),
    "no list": (changed(0, contents={}), "request expected 1 values for `dishes`, as its shape says, got 0 - at $.inputs[0]"),
    "datatype": (changed(0, datatype="COMPLEX"), "request expected datatype INT8 to INT64 or UINT8 to UINT64 for `dishes`, got COMPLEX - at $.inputs[0].datatype"),
    "narrow": (changed(0, datatype="INT8", contents={"int_contents": [300]}), "request expected an INT8 for `dishes`, got 300 - at $[0].dishes"),
    "bound": (changed(0, contents={"int_contents": [21]}), "request expected `int` <= 20 - at $[0].dishes"),
    "UTF-8": (changed(2, contents={"bytes_contents": [b"\xff"]}), "request expected UTF-8, got another encoding (byte 0) - at $[0].table"),
    "infinity": (changed(1, contents={"fp32_contents": [float("inf")]}), "request expected a finite number, got infinity - at $[0].spice"),
    "negative": (changed(0, shape=(-1,)), "request expected shape [N] or [N, 1] for `dishes`, got [-1] - at $.inputs[0].shape"),
    "overflow": (changed(0, shape=(2**62, 2**62)), f"request expected shape [N] or [N, 1] for `dishes`, got [{2**62}, {2**62}] - at $.inputs[0].shape"),
    "memory": (changed(0, parameters={"shared_memory_region": {"string_param": "r"}}), "request expected no parameter `shared_memory_region`; send and take values in the message - at $.inputs[0].parameters"),
    "time": (request(*ORDER, parameters={"timeout": {"string_param": "1"}}), "request expected whole microseconds for `timeout`, got another value - at $.parameters.timeout"),
    "outputs": (request(*ORDER, outputs=[{"name": "eta"}]), "request expected no output `eta`; there are minutes, by - at $.outputs[0].name"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(WRONG))
def test_a_wrong_call_is_an_invalid_argument(runtime: Runtime, name: str) -> None:
    asked, text = WRONG[name]
    assert ask(runtime, asked if isinstance(asked, bytes) else asked.SerializeToString()) == (
        rpc.INVALID_ARGUMENT,
        text,
    )


def test_a_claim_of_endless_rows_costs_nothing(runtime: Runtime) -> None:
    code, text = ask(runtime, request({**ORDER[0], "shape": (2**62,)}).SerializeToString())
    assert (code, text) == (
        rpc.INVALID_ARGUMENT,
        f"request expected at most 100000 rows, got {2**62} - at $.inputs[0].shape",
    )


def test_other_models_and_versions_are_not_found_and_not_ready(runtime: Runtime) -> None:
    for name, version, text in (
        ("coook", "", "model `coook` is not known; did you mean `cook`?"),
        ("cook", "6", "model `cook` has version 7, the current release, got 6; leave it out"),
    ):
        asked = MESSAGES["ModelInferRequest"](model_name=name, model_version=version)
        assert ask(runtime, asked.SerializeToString()) == (rpc.NOT_FOUND, text)
        asked = MESSAGES["ModelMetadataRequest"](name=name, version=version)
        path = INFER.replace("ModelInfer", "ModelMetadata")
        assert ask(runtime, asked.SerializeToString(), path) == (rpc.NOT_FOUND, text)
        assert ask(runtime, asked.SerializeToString(), INFER.replace("ModelInfer", "ModelReady")) == (0, b"")


_shared = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_shared
@given(st.data())
def test_spoilt_messages_end_their_call(runtime: Runtime, data: st.DataObject) -> None:
    body = bytearray(request(*ORDER, id="1", outputs=[{"name": "by"}]).SerializeToString())
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    code, _ = ask(runtime, bytes(body))
    assert code in (0, rpc.INVALID_ARGUMENT, rpc.NOT_FOUND)
