"""The Open Inference Protocol over HTTP: its requests and responses as JSON, with tensors' bytes behind it if asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from funade.serve.oip.model import PLATFORM, Model, within
from funade.serve.oip.tensor import Tensor, TensorColumn, wrong


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, bool | int | float | str] = {}
    data: list[Any] | None = None


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, bool | int | float | str] = {}


class _Request(msgspec.Struct):
    inputs: list[_Input]
    id: str = ""
    parameters: dict[str, bool | int | float | str] = {}
    outputs: list[_Output] = []


_DECODER = msgspec.json.Decoder(_Request)

_NOT_HERE = ("shared_memory_region", "classification")
"""Parameters that ask for something else than values in the message."""


class JsonInference(NamedTuple):
    """What a client asks of a model; ``binary`` are the outputs wanted as bytes."""

    id: str
    tensors: Sequence[Tensor]
    names: tuple[str, ...]
    binary: frozenset[str]
    within_s: float | None


def read(model: Model, body: bytes, length: bytes | None, within_s: float | None) -> JsonInference:
    """A request's body; its first ``length`` bytes are JSON, or the whole.

    Raises:
        ContractViolation: whatever is wrong with it.
    """
    size = _length(length, body)
    asked = _decoded(body[:size])
    tensors, at = [], size
    for index, given in enumerate(asked.inputs):
        path = f"$.inputs[{index}]"
        _refuse(given.parameters, path)
        raw = _raw(given, body, at, path, headed=length is not None)
        at += len(raw or b"")
        tensors.append(Tensor(given.name, given.datatype, given.shape, raw, given.data, path))
    if at != len(body):
        raise wrong(f"expected {at - size} bytes of tensors, as its JSON says, got {len(body) - size}", "$")
    for index, output in enumerate(asked.outputs):
        _refuse(output.parameters, f"$.outputs[{index}]")
    names = model.wanted([output.name for output in asked.outputs])
    if "timeout" in asked.parameters:
        within_s = within(within_s, asked.parameters["timeout"], "$.parameters.timeout")
    return JsonInference(asked.id, tensors, names, _binary(asked, names), within_s)


def _length(length: bytes | None, body: bytes) -> int:
    if length is None:
        return len(body)
    if not length.isdigit() or len(length) > 12 or int(length) > len(body):
        what = f"expected inference-header-content-length of at most the body's {len(body)} bytes, got another value"
        raise wrong(what, "$")
    return int(length)


def _decoded(head: bytes) -> _Request:
    try:
        if not head.isascii():
            head.decode()  # msgspec does not look into values it skips
        return _DECODER.decode(head)
    except UnicodeDecodeError as error:
        raise wrong(f"expected UTF-8, got another encoding (byte {error.start})", "$") from None
    except RecursionError:
        raise wrong("expected a flat request, got too many levels", "$") from None
    except msgspec.MsgspecError as error:
        message, _, path = str(error).partition(" - at `")
        raise wrong(_words(message), path.rstrip("`") or "$") from None


def _words(message: str) -> str:
    if match := re.fullmatch(r"Object missing required field `(.+)`", message):
        return f"expected field `{match[1]}`, got none"
    if message.startswith("JSON is malformed: "):
        return f"expected JSON, got {message[19:]}"
    return {"Input data was truncated": "expected JSON, got a truncated body"}.get(message, _lower(message))


def _lower(message: str) -> str:
    if message.startswith("Expected"):
        return f"e{message[1:]}"
    return f"expected numbers in range, got: {message[:1].lower()}{message[1:]}"


def _refuse(parameters: Mapping[str, Any], path: str) -> None:
    for name in _NOT_HERE:
        if parameters.get(name):
            raise wrong(f"expected no parameter `{name}`; send and take values in the message", f"{path}.parameters")


def _raw(given: _Input, body: bytes, at: int, path: str, *, headed: bool) -> bytes | None:
    size = given.parameters.get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise wrong("expected a size in bytes, 0 or more", f"{path}.parameters.binary_data_size")
    if not headed:
        what = "expected the header inference-header-content-length with binary tensors, got none"
        raise wrong(what, f"{path}.parameters.binary_data_size")
    if at + size > len(body):
        what = f"expected {size} bytes for `{given.name[:60]}`, got a truncated body"
        raise wrong(what, f"{path}.parameters.binary_data_size")
    if given.data is not None:
        raise wrong("expected `data` or `binary_data_size`, got both", path)
    return body[at : at + size]


def _binary(asked: _Request, names: Sequence[str]) -> frozenset[str]:
    whole = asked.parameters.get("binary_data_output", False)
    own = {output.name: output.parameters.get("binary_data", whole) for output in asked.outputs}
    return frozenset(name for name in names if own.get(name, whole) is True)


class OutputBody(NamedTuple):
    """Outputs: a JSON array of them, then the bytes of those that are binary (None: none is)."""

    outputs: bytes
    binary: bytes | None


def write(columns: Sequence[TensorColumn], binary: frozenset[str]) -> OutputBody:
    """Tensors of answers."""
    told, blobs = [], []
    for column in columns:
        one: dict[str, Any] = {"name": column.name, "datatype": column.datatype, "shape": [len(column.values)]}
        if column.name in binary:
            blobs.append(column.raw())
            one["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            one["data"] = column.listed()
        told.append(one)
    return OutputBody(msgspec.json.encode(told), b"".join(blobs) if blobs else None)


def response(model: Model, id: str, parameters: Mapping[str, Any], outputs: bytes) -> bytes:
    """The JSON of a response."""
    found: dict[str, Any] = {"model_name": model.name, "model_version": model.version}
    if id:
        found["id"] = id
    return msgspec.json.encode({**found, "parameters": parameters, "outputs": msgspec.Raw(outputs)})


def metadata(model: Model) -> bytes:
    """A model's name, version and tensors."""
    found: dict[str, Any] = {"name": model.name, "versions": [model.version], "platform": PLATFORM}
    for key, metas in (("inputs", model.inputs), ("outputs", model.outputs)):
        found[key] = [{"name": meta.name, "datatype": meta.datatype, "shape": [-1]} for meta in metas]
    return msgspec.json.encode(found)
