"""What a worker offers over gRPC: each module's services, one line a module."""

from __future__ import annotations

import socket

from funade.serve.answer.runtime import Runtime
from funade.serve.grpc import typed
from funade.serve.grpc.call import Service
from funade.serve.grpc.door import GrpcDoor
from funade.serve.oip import grpc as oip
from funade.serve.queue import grpc as queue
from funade.serve.queue.submit import Submitter
from funade.serve.settings import ServerSettings


def door(runtime: Runtime, submitter: Submitter | None, settings: ServerSettings, listener: socket.socket) -> GrpcDoor:
    """The door of all services; ``submitter`` is what callers of the queue ask, None where there is no queue."""
    return GrpcDoor(runtime, services(runtime, submitter), listener, settings)


def services(runtime: Runtime, submitter: Submitter | None) -> list[Service]:
    """What the door carries besides health and reflection."""
    return [typed.service(runtime), *oip.services(runtime), *queue.services(runtime, submitter)]
