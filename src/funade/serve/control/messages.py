"""What a supervisor and its workers say to each other, besides ``Ready`` and ``ErrorReport`` of every child."""

from __future__ import annotations

import msgspec

from funade.process.child import Ready
from funade.process.error_report import ErrorReport
from funade.serve.settings import ServerSettings


class Begin(msgspec.Struct, frozen=True):
    """What a worker is begun with: what its server is, and what is its own.

    ``listener``, ``grpc_listener`` (-1 for none) and ``control`` are open sockets that it inherits; ``folder`` is where
    the workers of this server count, "" for nowhere.
    """

    settings: ServerSettings
    release: int
    listener: int
    control: int
    grpc_listener: int = -1
    folder: str = ""


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


Message = Ready | ErrorReport | Retired | Handed | Start | Retire | Take | Stop
