"""One unary gRPC call as the methods that answer it see it, and what its statuses are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

Metadata = Sequence[tuple[str, str]]

# What gRPC calls its statuses, as numbers: no library is imported to say one.
INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED = 3, 4, 5, 7, 8
UNIMPLEMENTED, INTERNAL, UNAVAILABLE, UNAUTHENTICATED = 12, 13, 14, 16

STATUSES: Mapping[int, int] = {
    400: INVALID_ARGUMENT,
    401: UNAUTHENTICATED,
    403: PERMISSION_DENIED,
    404: NOT_FOUND,
    409: 10,
    413: RESOURCE_EXHAUSTED,
    422: INVALID_ARGUMENT,
    429: RESOURCE_EXHAUSTED,
    500: INTERNAL,
    501: UNIMPLEMENTED,
    503: UNAVAILABLE,
    504: DEADLINE_EXCEEDED,
}
"""What an HTTP status is over gRPC; 413 is what a limit refuses."""


class Call(Protocol):
    """One unary call in progress; every method on the loop's thread.

    ``within_s`` is the time that was left when it arrived, None without a deadline; ``metadata`` has lower-case keys,
    text values only; ``done`` says that it was answered or that the client is gone: then ``reply`` and ``fail`` do
    nothing.
    """

    done: bool

    @property
    def within_s(self) -> float | None:
        """Seconds left when the call arrived; None without a deadline."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the client said besides the message; keys in lower case."""

    def reply(self, message: bytes, metadata: Metadata = ()) -> None:
        """End the call well, with one message and trailing metadata."""

    def fail(self, code: int, text: str, metadata: Metadata = ()) -> None:
        """End the call with a status (the numbers above), a text and trailing metadata."""


Method = Callable[[bytes, Call], None]
"""Called on the loop with a request's bytes; ends the call now or later, exactly once."""

Methods = Mapping[str, Method]
"""``/package.Service/Method`` → what answers it; a module offers ``methods(runtime) -> Methods``."""


class Service(NamedTuple):
    """What a module adds to the gRPC door: methods, the files that describe them (serialised), and who may call."""

    methods: Methods
    files: Sequence[bytes] = ()
    role: str = "predict"
