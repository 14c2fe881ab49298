"""The gRPC door: every service of a worker, health and reflection, on one port."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from funade.serve.answer.runtime import Runtime
from funade.serve.grpc import call as rpc
from funade.serve.grpc import health, reflection
from funade.serve.grpc.port import Port
from funade.serve.settings import ServerSettings


class GrpcDoor(Port):
    """A ``door.Door`` on the supervisor's listening socket: these services, health and reflection."""

    def __init__(
        self, runtime: Runtime, services: Sequence[rpc.Service], listener: socket.socket, settings: ServerSettings
    ) -> None:
        methods = {path: guarded(runtime, s.role, method) for s in services for path, method in s.methods.items()}
        names = sorted({path.split("/")[1] for path in methods})
        files = [file for service in services for file in service.files]
        self._health = health.Health(names)
        super().__init__(
            runtime.loop,
            runtime.recorder.events,
            listener,
            methods={**methods, f"/{health.SERVICE}/Check": self._health.check},
            streams={
                f"/{health.SERVICE}/Watch": self._health.watch,
                **reflection.methods([*names, health.SERVICE], [*files, health.FILE]),
            },
            settings=settings,
        )

    def start(self) -> None:
        """Accept from now on."""
        self._health.serving(True)
        super().start()

    def retire(self) -> None:
        """Accept no more; send clients elsewhere, finish what is begun."""
        self._health.serving(False)
        self.stop()

    def shut(self) -> None:
        """As ``retire``."""
        self.retire()


def guarded(runtime: Runtime, role: str, method: rpc.Method) -> rpc.Method:
    """The method behind the check of the caller's token."""
    refusal = runtime.tokens.refusal

    def guard(message: bytes, call: rpc.Call) -> None:
        if refusal(role, None) is not None:
            refused = refusal(role, call.metadata.get("authorization"))
            if refused is not None:
                runtime.recorder.meter.refused("", refused[0], "grpc")
                call.fail(rpc.STATUSES[refused[0]], refused[1])
                return
        method(message, call)

    return guard
