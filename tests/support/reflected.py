"""Messages of a gRPC server, made as its reflection describes them."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha import reflection_pb2 as pb


class Reflected:
    """The services behind a channel.

    Args:
        channel: to the server.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self._ask = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=pb.ServerReflectionRequest.SerializeToString,
            response_deserializer=pb.ServerReflectionResponse.FromString,
        )
        (listed,) = self._answers(pb.ServerReflectionRequest(list_services=""))
        self.services: list[str] = [service.name for service in listed.list_services_response.service]
        self._pool: Any = descriptor_pool.DescriptorPool()
        asked = [pb.ServerReflectionRequest(file_containing_symbol=name) for name in self.services]
        replies = [answer.file_descriptor_response for answer in self._answers(*asked)]
        files = {file for reply in replies for file in reply.file_descriptor_proto}
        for file in sorted(files, key=lambda file: descriptor_pb2.FileDescriptorProto.FromString(file).name):
            self._pool.AddSerializedFile(file)

    def service(self, api: str) -> str:
        """The full name of an api's service."""
        (service,) = [name for name in self.services if name.endswith(f".{api}.Api")]
        return service

    def type(self, name: str) -> Any:
        """The class of a message, by its full name."""
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(name))

    def message(self, name: str, values: dict[str, Any]) -> bytes:
        """A message's bytes; ``values`` as Protobuf's JSON has them."""
        made: bytes = json_format.ParseDict(values, self.type(name)()).SerializeToString(deterministic=True)
        return made

    def _answers(self, *asked: Any) -> list[Any]:
        return list(self._ask(iter(asked), timeout=120))
