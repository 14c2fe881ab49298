"""gRPC's reflection service, as grpcurl asks for it: versions ``v1`` and ``v1alpha``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection, reflection_pb2

from funade.serve.grpc.stream import StreamMethods

_PB: Any = reflection_pb2  # its classes are made when it is imported
_SERVICES = [f"grpc.reflection.{version}.ServerReflection" for version in ("v1", "v1alpha")]


def methods(names: Iterable[str], files: Iterable[bytes]) -> StreamMethods:
    """What answers both versions: with these services and its own.

    The files describe them, serialised; none imports another.
    """
    servicer = reflection.aio.ReflectionServicer([*names, *_SERVICES], pool=_pool(files))

    async def reflect(messages: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        async for answer in servicer.ServerReflectionInfo(_requests(messages), None):
            yield answer.SerializeToString()

    return {f"/{service}/ServerReflectionInfo": reflect for service in _SERVICES}


async def _requests(messages: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    async for message in messages:
        yield _PB.ServerReflectionRequest.FromString(message)


def _pool(files: Iterable[bytes]) -> Any:
    pool: Any = DescriptorPool()
    alpha: bytes = _PB.DESCRIPTOR.serialized_pb
    for file in dict.fromkeys((*files, alpha, _stable(alpha))):
        pool.AddSerializedFile(file)
    return pool


def _stable(alpha: bytes) -> bytes:
    """The file of ``v1``, which differs from ``v1alpha`` in its package alone."""
    file = FileDescriptorProto.FromString(alpha)
    file.name, file.package = "grpc/reflection/v1/reflection.proto", "grpc.reflection.v1"
    for message in (*file.message_type, *(nested for m in file.message_type for nested in m.nested_type)):
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(".v1alpha.", ".v1.")
    for method in file.service[0].method:
        method.input_type = method.input_type.replace(".v1alpha.", ".v1.")
        method.output_type = method.output_type.replace(".v1alpha.", ".v1.")
    return file.SerializeToString()
