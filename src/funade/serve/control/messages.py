"""What a supervisor and its workers say to each other."""

from __future__ import annotations

from typing import Any

import msgspec

from funade.queue.rules import QueueRules
from funade.serve.limits import Limits


class Begin(msgspec.Struct, frozen=True):
    """What a worker is started with, as its one argument.

    ``loader`` names the function ("package.module:function") that, given ``argument``, returns the release. ``folder``
    is the server's own, ``store`` the address of the store that answers are logged in; ``grpc_port`` 0 opens no gRPC
    door, and ``grpc_listener`` is its listening socket; ``queue`` is the address of the store whose queue is offered
    and ``queue_rules`` its bounds; ``certificate`` and ``key`` are PEM files, ``tokens`` the file of tokens; "" where
    there is none.
    """

    loader: str
    argument: dict[str, Any]
    release: int
    listener: int
    control: int
    drain_s: float = 30.0
    log: str = ""
    hosts: tuple[str, ...] = ()
    limits: Limits = Limits()
    folder: str = ""
    store: str = ""
    grpc_host: str = "127.0.0.1"
    grpc_port: int = 0
    grpc_listener: int = -1
    queue: str = ""
    queue_rules: QueueRules = QueueRules()
    certificate: str = ""
    key: str = ""
    tokens: str = ""
    predict: str = "open"


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """Worker: the release is loaded and answered its golden rows; waiting to accept."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """Worker: the release did not load or answered golden rows differently."""

    error: str


class Retired(msgspec.Struct, frozen=True, tag="retired"):
    """Worker: accepts no more connections."""


class Handed(msgspec.Struct, frozen=True, tag="handed"):
    """Worker: one connection (with this message) to be served by the new release; ``unread`` comes first."""

    unread: bytes


class Start(msgspec.Struct, frozen=True, tag="start"):
    """Supervisor: accept connections."""


class Retire(msgspec.Struct, frozen=True, tag="retire"):
    """Supervisor: accept no more, hand every connection back at its next message boundary, then end."""


class Take(msgspec.Struct, frozen=True, tag="take"):
    """Supervisor: serve this connection; ``unread`` was read from it before."""

    unread: bytes


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Supervisor: accept no more, finish what is begun, close, then end."""


Message = Ready | Failed | Retired | Handed | Start | Retire | Take | Stop
