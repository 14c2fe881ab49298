"""What all HTTP connections of a worker share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from funade.serve.answer.runtime import Runtime
from funade.serve.http.head import HeadCache
from funade.serve.http.response import Responses
from funade.serve.http.routes import Routes
from funade.serve.tls import Tls


class OpenConnection(Protocol):
    """One open connection as the door sees it."""

    def leave(self) -> None:
        """Be handed over at the next message boundary."""

    def shut(self) -> None:
        """Close when nothing is being answered or received."""

    def cut(self) -> None:
        """Answer 503 to whatever is not answered yet, and close."""

    def sweep(self, now: float) -> None:
        """End a client that is too slow; ``now`` is the loop's time."""


class HttpShared:
    """What all HTTP connections of a worker share.

    ``now`` is the loop's time, at most about a second old; ``held`` counts bytes of half-received bodies. While
    ``handing``, connections leave at their next message boundary; ``responses.closing`` ends each after its response.

    ``hosts`` are the host names that a request may name, None for any. ``hand`` is called with a connection's open file
    and the bytes read from it but not answered. ``tls`` is None where connections are not encrypted.
    """

    def __init__(
        self,
        runtime: Runtime,
        routes: Routes,
        *,
        hosts: frozenset[bytes] | None,
        hand: Callable[[int, bytes], None],
        tls: Tls | None = None,
    ) -> None:
        self.runtime = runtime
        self.loop = runtime.loop
        self.limits = runtime.limits
        self.routes = routes
        self.responses = Responses(runtime.loaded.release, runtime.recorder.mark)
        self.heads = HeadCache()
        self.hosts = hosts
        self.hand = hand
        self.tls = tls
        self.connections: set[OpenConnection] = set()
        self.now = runtime.loop.time()
        self.held = 0
        self.handing = False
