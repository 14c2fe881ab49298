"""Callbacks delivered: a thread of its own tells those who asked to be told, and nobody waits for it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections import Counter
from functools import cache

from funade import __version__
from funade.errors import FunadeError
from funade.events import EventLog
from funade.queue.status import status_json
from funade.serve.queue.allowed_urls import Target, may_reach, prefixes, refusal, target
from funade.store.ports.queue import Queue
from funade.store.queue_records import Callback, Delivery

_MOST = 64
_MOST_TO_ONE = 8
_WITHIN_S = 10.0
_DOWN_S = 5.0
_PAUSE_S = 1.0


class CallbackSender:
    """Delivers the callbacks of a queue, each by one POST that follows no redirect; any 2xx is delivered.

    A host that does not answer is left alone for a few seconds, and gets few calls at once: others are told meanwhile.
    """

    def __init__(self, queue: Queue, events: EventLog) -> None:
        self._queue = queue
        self._calls = queue.callbacks
        self._events = events
        self._allowed = prefixes(queue.rules.callbacks)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due: asyncio.Event
        self._telling: set[asyncio.Task[None]] = set()
        self._to: Counter[str] = Counter()
        self._down: dict[str, float] = {}
        self._closing = False

    def wake(self) -> None:
        """There is something to deliver; called on any thread."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._due = asyncio.Event()
            threading.Thread(target=self._run, args=(self._loop,), daemon=True, name="funade-callbacks").start()
        self._loop.call_soon_threadsafe(self._due.set)

    def close(self) -> None:
        """Begin no more; what is begun is abandoned, and told again by another worker."""
        self._closing = True

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(self._deliver())

    async def _deliver(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                while not self._closing and self._calls.due() and self._begin(_MOST - len(self._telling)):
                    pass
            except FunadeError as error:
                self._events.failed("callbacks", error)
                await asyncio.sleep(_PAUSE_S)

    def _begin(self, most: int) -> int:
        """Tell so many at most of those who are due; how many."""
        calls = self._calls.claim(most) if most else []
        for call in calls:
            telling = asyncio.get_running_loop().create_task(self._tell(call))
            self._telling.add(telling)
            telling.add_done_callback(self._told)
        return len(calls)

    def _told(self, telling: asyncio.Task[None]) -> None:
        self._telling.discard(telling)
        self._due.set()
        if not telling.cancelled() and (error := telling.exception()) is not None:
            self._events.failed("callbacks", error)

    async def _tell(self, call: Callback) -> None:
        error, counted = refusal(call.url, self._allowed), True
        if not error:
            where = target(call.url)
            if self._to[where.authority] >= _MOST_TO_ONE or self._down.get(where.authority, 0.0) > time.monotonic():
                error, counted = "its host is busy or did not answer others", False
            else:
                error = await self._try(where, call)
        if error and counted and call.attempt >= self._queue.rules.call_tries:
            self._events.event("callback dead", request=call.request.id, error=error)
        self._calls.settle([Delivery(call.request.id, call.attempt, error, counted)])

    async def _try(self, where: Target, call: Callback) -> str:
        """Why it was not delivered; "" where it was."""
        self._to[where.authority] += 1
        try:
            async with asyncio.timeout(_WITHIN_S):
                status = await _post(where, status_json(call.request), private=self._queue.rules.private)
            return "" if 200 <= status < 300 else f"status {status}"
        except TimeoutError:
            self._down[where.authority] = time.monotonic() + _DOWN_S
            return f"no answer within {_WITHIN_S:g} s"
        except (OSError, ValueError) as error:
            self._down[where.authority] = time.monotonic() + _DOWN_S
            self._events.failed(f"callback to {where.authority}", error)  # what it says of the network is not told on
            return "its host could not be reached"
        finally:
            self._to[where.authority] -= 1


async def _post(where: Target, body: bytes, *, private: bool) -> int:
    """The status of a POST; only the first line of what comes back is read."""
    address = await _address(where, private=private)
    secure = {"ssl": _trusting(), "server_hostname": where.host} if where.scheme == "https" else {}
    reader, writer = await asyncio.open_connection(address, where.port, limit=4096, **secure)  # type: ignore[arg-type]
    try:
        asked = where.path + (f"?{where.query}" if where.query else "")
        head = f"POST {asked} HTTP/1.1\r\nhost: {where.authority}\r\nuser-agent: funade/{__version__}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        first = (await reader.readline()).split(None, 2)
        if len(first) < 2 or not first[0].startswith(b"HTTP/1.") or not first[1].isdigit():
            raise ValueError("the host answered with no HTTP")
        return int(first[1])
    finally:
        writer.transport.abort()


@cache
def _trusting() -> ssl.SSLContext:
    """What the system trusts; read once."""
    return ssl.create_default_context()


async def _address(where: Target, *, private: bool) -> str:
    """The address to connect to: looked up once, so that what is checked is what is reached."""
    if not where.named and where.host != "localhost":
        return where.host
    places = await asyncio.get_running_loop().getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)
    addresses = [str(place[4][0]) for place in places]
    reached = [a for a in addresses if not where.named or may_reach(a, private=private)]
    if not reached:
        raise ValueError(f"the name leads to an address that callbacks may not reach ({addresses[0]})")
    return reached[0]
