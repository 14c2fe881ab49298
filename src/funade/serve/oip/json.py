"""The Open Inference Protocol over HTTP: its requests and responses as JSON, with tensors' bytes behind it if asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from funade.serve.oip.model import NOT_HERE, PLATFORM, Model, within
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
    request = _decoded(body[:size])
    tensors, at = [], size
    for index, sent in enumerate(request.inputs):
        path = f"$.inputs[{index}]"
        _refuse(sent.parameters, path)
        raw = _raw(sent, body, at, path, headed=length is not None)
        at += len(raw or b"")
        tensors.append(Tensor(sent.name, sent.datatype, sent.shape, raw, sent.data, path))
    if at != len(body):
        raise wrong(f"expected {at - size} bytes of tensors, as its JSON says, got {len(body) - size}", "$")
    for index, output in enumerate(request.outputs):
        _refuse(output.parameters, f"$.outputs[{index}]")
    names = model.wanted([output.name for output in request.outputs])
    if "timeout" in request.parameters:
        within_s = within(within_s, request.parameters["timeout"], "$.parameters.timeout")
    return JsonInference(request.id, tensors, names, _binary(request, names), within_s)


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
    if message == "Input data was truncated":
        return "expected JSON, got a truncated body"
    if message.startswith("Expected"):
        return f"e{message[1:]}"
    return f"expected numbers in range, got: {message[:1].lower()}{message[1:]}"


def _refuse(parameters: Mapping[str, Any], path: str) -> None:
    for name in NOT_HERE:
        if parameters.get(name):
            raise wrong(f"expected no parameter `{name}`; send and take values in the message", f"{path}.parameters")


def _raw(sent: _Input, body: bytes, at: int, path: str, *, headed: bool) -> bytes | None:
    size = sent.parameters.get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise wrong("expected a size in bytes, 0 or more", f"{path}.parameters.binary_data_size")
    if not headed:
        what = "expected the header inference-header-content-length with binary tensors, got none"
        raise wrong(what, f"{path}.parameters.binary_data_size")
    if at + size > len(body):
        what = f"expected {size} bytes for `{sent.name[:60]}`, got a truncated body"
        raise wrong(what, f"{path}.parameters.binary_data_size")
    if sent.data is not None:
        raise wrong("expected `data` or `binary_data_size`, got both", path)
    return body[at : at + size]


def _binary(request: _Request, names: Sequence[str]) -> frozenset[str]:
    whole = request.parameters.get("binary_data_output", False)
    own = {output.name: output.parameters.get("binary_data", whole) for output in request.outputs}
    return frozenset(name for name in names if own.get(name, whole) is True)


class OutputBody(NamedTuple):
    """Outputs: a JSON array of them, then the bytes of those that are binary (None: none is)."""

    outputs: bytes
    binary: bytes | None


def write(columns: Sequence[TensorColumn], binary: frozenset[str]) -> OutputBody:
    """Tensors of answers."""
    outputs, blobs = [], []
    for column in columns:
        output: dict[str, Any] = {"name": column.name, "datatype": column.datatype, "shape": [len(column.values)]}
        if column.name in binary:
            blobs.append(column.raw())
            output["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            output["data"] = column.listed()
        outputs.append(output)
    return OutputBody(msgspec.json.encode(outputs), b"".join(blobs) if blobs else None)


def response(model: Model, id: str, parameters: Mapping[str, Any], outputs: bytes) -> bytes:
    """The JSON of a response."""
    head: dict[str, Any] = {"model_name": model.name, "model_version": model.version}
    if id:
        head["id"] = id
    return msgspec.json.encode({**head, "parameters": parameters, "outputs": msgspec.Raw(outputs)})


def metadata(model: Model) -> bytes:
    """A model's name, version and tensors."""
    facts: dict[str, Any] = {"name": model.name, "versions": [model.version], "platform": PLATFORM}
    for key, metas in (("inputs", model.inputs), ("outputs", model.outputs)):
        facts[key] = [{"name": meta.name, "datatype": meta.datatype, "shape": [-1]} for meta in metas]
    return msgspec.json.encode(facts)
