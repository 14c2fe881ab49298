"""The Open Inference Protocol's messages for gRPC, described here and made when they are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

SERVICE = "inference.GRPCInferenceService"
CALLS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")

# Message → its fields: "number kind name"; `[]` says repeated, `map` text to InferParameter, `|` one of several.
_OF_MODEL = ("1 string name", "2 string version")
_MESSAGES: Mapping[str, Sequence[str]] = {
    "ServerLiveRequest": (),
    "ServerLiveResponse": ("1 bool live",),
    "ServerReadyRequest": (),
    "ServerReadyResponse": ("1 bool ready",),
    "ModelReadyRequest": _OF_MODEL,
    "ModelReadyResponse": ("1 bool ready",),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": ("1 string name", "2 string version", "3 string[] extensions"),
    "ModelMetadataRequest": _OF_MODEL,
    "ModelMetadataResponse": (
        "1 string name",
        "2 string[] versions",
        "3 string platform",
        "4 ModelMetadataResponse.TensorMetadata[] inputs",
        "5 ModelMetadataResponse.TensorMetadata[] outputs",
    ),
    "ModelMetadataResponse.TensorMetadata": ("1 string name", "2 string datatype", "3 int64[] shape"),
    "InferParameter": (
        "1 bool| bool_param", "2 int64| int64_param", "3 string| string_param", "4 double| double_param",
        "5 uint64| uint64_param",
    ),
    "InferTensorContents": (
        "1 bool[] bool_contents", "2 int32[] int_contents", "3 int64[] int64_contents", "4 uint32[] uint_contents",
        "5 uint64[] uint64_contents", "6 float[] fp32_contents", "7 double[] fp64_contents",
        "8 bytes[] bytes_contents",
    ),
    "ModelInferRequest": (
        "1 string model_name", "2 string model_version", "3 string id", "4 map parameters",
        "5 ModelInferRequest.InferInputTensor[] inputs", "6 ModelInferRequest.InferRequestedOutputTensor[] outputs",
        "7 bytes[] raw_input_contents",
    ),
    "ModelInferRequest.InferInputTensor": (
        "1 string name", "2 string datatype", "3 int64[] shape", "4 map parameters", "5 InferTensorContents contents",
    ),
    "ModelInferRequest.InferRequestedOutputTensor": ("1 string name", "2 map parameters"),
    "ModelInferResponse": (
        "1 string model_name", "2 string model_version", "3 string id", "4 map parameters",
        "5 ModelInferResponse.InferOutputTensor[] outputs", "6 bytes[] raw_output_contents",
    ),
    "ModelInferResponse.InferOutputTensor": (
        "1 string name", "2 string datatype", "3 int64[] shape", "4 map parameters", "5 InferTensorContents contents",
    ),
}  # fmt: skip

CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
"""Datatype → the list of ``InferTensorContents`` that holds its values."""


@cache
def file() -> FileDescriptorProto:
    """The file that describes messages and service."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    made = FileDescriptorProto(name="funade/open_inference.proto", package="inference", syntax="proto3")
    found: dict[str, DescriptorProto] = {}
    for path, fields in _MESSAGES.items():
        above, _, name = path.rpartition(".")
        message = (found[above].nested_type if above else made.message_type).add(name=name)
        found[path] = message
        for text in fields:
            _describe(message, path, text)
    service = made.service.add(name=SERVICE.rpartition(".")[2])
    for call in CALLS:
        service.method.add(name=call, input_type=f".inference.{call}Request", output_type=f".inference.{call}Response")
    return made


def _describe(message: DescriptorProto, path: str, text: str) -> None:
    number, kind, name = text.split()
    field = message.field.add(name=name, number=int(number))
    field.label = field.LABEL_REPEATED if kind.endswith("[]") or kind == "map" else field.LABEL_OPTIONAL
    if kind == "map":
        _entry(message)
        kind = f"{path}.ParametersEntry"
    elif kind.endswith("|"):
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
    _type(field, kind.rstrip("[]|"))


def _entry(message: DescriptorProto) -> None:
    entry = message.nested_type.add(name="ParametersEntry")
    entry.options.map_entry = True
    for number, name, kind in ((1, "key", "string"), (2, "value", "InferParameter")):
        field = entry.field.add(name=name, number=number)
        field.label = field.LABEL_OPTIONAL
        _type(field, kind)


def _type(field: FieldDescriptorProto, kind: str) -> None:
    if kind[0].isupper():
        field.type = field.TYPE_MESSAGE
        field.type_name = f".inference.{kind}"
    else:
        field.type = field.Type.Value(f"TYPE_{kind.upper()}")


@cache
def messages() -> dict[str, Any]:
    """The classes of the outermost messages by name, in a pool of their own."""
    from google.protobuf import descriptor_pool, message_factory

    pool: Any = descriptor_pool.DescriptorPool()
    pool.Add(file())
    names = [name for name in _MESSAGES if "." not in name]
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}")) for name in names}
