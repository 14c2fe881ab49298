"""What all HTTP connections of a worker share."""

from __future__ import annotations

from collections.abc import Callable

from funade.serve.answer.runtime import Runtime
from funade.serve.http.head import HeadCache
from funade.serve.http.response import Responses
from funade.serve.http.routes import Routes
from funade.serve.tls import Tls


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
        self.now = runtime.loop.time()
        self.held = 0
        self.handing = False
