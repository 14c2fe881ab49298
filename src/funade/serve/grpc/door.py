"""The gRPC door: the services of every api, health and reflection, behind one port."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from funade.errors import ServeError
from funade.serve.answer.runtime import Runtime
from funade.serve.door import Door
from funade.serve.grpc import port as rpc
from funade.serve.grpc.grpcio import GrpcioPort
from funade.serve.settings import ServerSettings

if TYPE_CHECKING:
    from google.protobuf.descriptor_pool import DescriptorPool

Services = Callable[[Runtime], Iterable[rpc.Service]]

_HEALTH = "grpc.health.v1.Health"


def doors(runtime: Runtime, settings: ServerSettings, listener: socket.socket | None, services: Services) -> list[Door]:
    """The gRPC door where the server has a port for one, else none.

    Raises:
        ServeError: the library is not installed.
    """
    if listener is None:
        return []
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # else its core writes a line of a client's own for any bad bytes
    if find_spec("grpc_reflection") is None:
        raise ServeError(
            "gRPC door expected `grpc_reflection`, got none installed", do="run: pip install 'funade[grpc]'"
        )
    certificate = (settings.certificate, settings.key) if settings.certificate else None
    return [GrpcDoor(runtime, services(runtime), listener, certificate, drain_s=settings.drain_s)]


class GrpcDoor:
    """A ``door.Door``.

    Args:
        desk: the worker's.
        services: what is offered besides health and reflection.
        listener: the supervisor's listening socket.
        certificate: PEM files of the certificate and its key; None for no TLS.
        drain_s: how long begun calls may take after the door is closed.
    """

    def __init__(
        self,
        runtime: Runtime,
        services: Iterable[rpc.Service],
        listener: socket.socket,
        certificate: tuple[str, str] | None,
        *,
        drain_s: float,
    ) -> None:
        given = list(services)
        methods = {
            path: _guarded(runtime, service.role, method)
            for service in given
            for path, method in service.methods.items()
        }
        self._health = Health({path.split("/")[1] for path in methods})
        others = [self._health.watching(), *reflection(files_of(given), [*self._health.names, _HEALTH])]
        bounds = rpc.PortBounds(
            message_bytes=runtime.limits.body_bytes,
            metadata_bytes=runtime.limits.head_bytes,
            connections=runtime.limits.connections,
            drain_s=drain_s,
        )
        carried = {**methods, f"/{_HEALTH}/Check": self._health.check}
        self._port = GrpcioPort(
            runtime.loop, runtime.events, carried, others, listener, bounds, certificate=certificate
        )

    def start(self) -> None:
        """Accept from now on."""
        self._health.serving(True)
        self._port.start()

    def retire(self) -> None:
        """Accept no more; send clients elsewhere, finish what is begun."""
        self._health.serving(False)
        self._port.stop()

    def shut(self) -> None:
        """As ``retire``."""
        self.retire()

    def cut(self) -> None:
        """End what is left with UNAVAILABLE."""
        self._port.cut()

    def tick(self) -> None:
        """About a second went by."""
        self._port.tick()

    @property
    def empty(self) -> bool:
        """Whether nothing is left."""
        return self._port.empty


def _guarded(runtime: Runtime, role: str, method: rpc.Method) -> rpc.Method:
    """The one check in front of every method."""
    refusal = runtime.tokens.refusal

    def guarded(message: bytes, call: rpc.Call) -> None:
        if refusal(role, None) is not None:
            refused = refusal(role, call.metadata.get("authorization"))
            if refused is not None:
                runtime.meter.refused("", refused[0], "grpc")
                call.fail(rpc.STATUSES[refused[0]], refused[1])
                return
        method(message, call)

    return guarded


# -- health


class Health:
    """gRPC's health service: one status for the server ("") and each service.

    Args:
        names: the services' full names.
    """

    def __init__(self, names: Iterable[str]) -> None:
        from grpc_health.v1 import health_pb2 as pb

        self.names = sorted(names)
        self._pb: Any = pb
        self._known = {"", _HEALTH, *self.names}
        self._serving = False
        self._changed: set[asyncio.Event] = set()

    def serving(self, yes: bool) -> None:
        """Say so to those who ask and those who watch."""
        if yes != self._serving:
            self._serving = yes
            for changed in self._changed:
                changed.set()

    def check(self, message: bytes, call: rpc.Call) -> None:
        """Answer ``Check``."""
        from google.protobuf.message import DecodeError

        try:
            name = self._pb.HealthCheckRequest.FromString(message).service
        except DecodeError:
            call.fail(rpc.INVALID_ARGUMENT, "request expected a HealthCheckRequest, got bytes that are none")
            return
        if name in self._known:
            call.reply(self._said(name).SerializeToString())
        else:
            call.fail(rpc.NOT_FOUND, "no such service here")

    def _said(self, name: str) -> Any:
        kinds = self._pb.HealthCheckResponse
        if name not in self._known:
            return kinds(status=kinds.SERVICE_UNKNOWN)
        return kinds(status=kinds.SERVING if self._serving else kinds.NOT_SERVING)

    def watching(self) -> Any:
        """``Watch``, for grpcio's ``aio``."""
        import grpc

        pb = self._pb
        watch = grpc.unary_stream_rpc_method_handler(
            self._watch,
            request_deserializer=pb.HealthCheckRequest.FromString,
            response_serializer=pb.HealthCheckResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(_HEALTH, {"Watch": watch})

    async def _watch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        changed = asyncio.Event()
        self._changed.add(changed)
        try:
            while True:
                changed.clear()
                yield self._said(request.service)
                if not self._serving:  # its client shall watch the newer release
                    return
                await changed.wait()
        finally:
            self._changed.discard(changed)


# -- reflection


def files_of(services: Sequence[rpc.Service]) -> DescriptorPool:
    """The files that describe the services, health and reflection, in one pool."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto
    from google.protobuf.descriptor_pool import DescriptorPool
    from grpc_health.v1 import health_pb2
    from grpc_reflection.v1alpha import reflection_pb2

    pool: Any = DescriptorPool()
    alpha = reflection_pb2.DESCRIPTOR.serialized_pb
    # The two versions differ in their package alone.
    stable = FileDescriptorProto.FromString(alpha)
    stable.name, stable.package = "grpc/reflection/v1/reflection.proto", "grpc.reflection.v1"
    for message in (*stable.message_type, *(nested for m in stable.message_type for nested in m.nested_type)):
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(".v1alpha.", ".v1.")
    for method in stable.service[0].method:
        method.input_type = method.input_type.replace(".v1alpha.", ".v1.")
        method.output_type = method.output_type.replace(".v1alpha.", ".v1.")
    own = [file for service in services for file in service.files]
    for file in dict.fromkeys((*own, health_pb2.DESCRIPTOR.serialized_pb, alpha, stable.SerializeToString())):
        pool.AddSerializedFile(file)
    found: DescriptorPool = pool
    return found


def reflection(pool: DescriptorPool, names: Sequence[str]) -> rpc.Others:
    """Reflection as grpcurl asks for it, ``v1`` and ``v1alpha``, for grpcio's ``aio``."""
    import grpc
    from grpc_reflection.v1alpha import reflection as answers
    from grpc_reflection.v1alpha import reflection_pb2 as pb

    services = [f"grpc.reflection.{version}.ServerReflection" for version in ("v1", "v1alpha")]
    told = answers.aio.ReflectionServicer([*names, *services], pool=pool)
    found = grpc.stream_stream_rpc_method_handler(
        told.ServerReflectionInfo,
        request_deserializer=pb.ServerReflectionRequest.FromString,
        response_serializer=pb.ServerReflectionResponse.SerializeToString,
    )
    return [grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": found}) for name in services]
