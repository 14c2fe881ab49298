"""What a server is begun with: one struct, built once from a project's configuration and passed whole."""

from __future__ import annotations

from typing import Any

import msgspec

from funade.serve.limits import Limits
from funade.store.queue_rules import QueueRules

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")


class ServerSettings(msgspec.Struct, frozen=True):
    """Where a server listens, how many workers it has, how they load a release, and what they offer.

    ``loader`` ("package.module:function") is given ``argument`` with ``release`` added and returns the release.
    ``folder`` is where the server says what it is; ``log`` a file, "" for standard error. ``hosts`` are host names
    that requests may name besides the loopback's own and ``host``. ``store`` is the address of the store that answers
    are logged in, for ``log_days`` days (0: for ever). ``grpc_port`` 0 opens no gRPC door. ``queue`` is the address of
    the store whose queue is offered and ``queue_rules`` its bounds; ``certificate`` and ``key`` are PEM files,
    ``tokens`` is the file of tokens, and ``predict`` says whether asking for answers needs one ("open" or "token").
    "" where there is none.

    A worker has ``drain_s`` seconds to finish what is begun and ``up_s`` to load the release.
    """

    loader: str
    argument: dict[str, Any]
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 2
    drain_s: float = 30.0
    up_s: float = 60.0
    folder: str = ""
    log: str = ""
    hosts: tuple[str, ...] = ()
    limits: Limits = Limits()
    store: str = ""
    log_days: int = 0
    grpc_port: int = 0
    queue: str = ""
    queue_rules: QueueRules = QueueRules()
    certificate: str = ""
    key: str = ""
    tokens: str = ""
    predict: str = "open"

    @property
    def host_names(self) -> frozenset[bytes] | None:
        """The host names that requests may name, in lower case; None for any.

        On an address other than the loopback's any is taken when no ``hosts`` are given.
        """
        if not self.hosts and self.host not in _LOOPBACK:
            return None
        return frozenset(name.lower().encode() for name in (*_LOOPBACK, self.host, *self.hosts))
