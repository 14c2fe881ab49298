"""The Open Inference Protocol's messages for gRPC, as ``open_inference.proto`` declares them."""

from __future__ import annotations

from pathlib import Path

from funade.serve.grpc.messages import messages

SERVICE = "inference.GRPCInferenceService"

FILE = Path(__file__).with_name("open_inference.binpb").read_bytes()
"""The file's serialised ``FileDescriptorProto``; ``tests/support/protoc.py`` compiles it."""

MESSAGES = messages(FILE)
"""Name → class of each outermost message."""

CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
"""Datatype → the list of ``InferTensorContents`` that holds its values."""
