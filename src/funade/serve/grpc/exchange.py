"""One call that asks for answers over gRPC, and what ends its answer."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from funade.serve.answer.request import PLAIN, Notes
from funade.serve.answer.runtime import Runtime
from funade.serve.grpc import call as rpc


class Trailers:
    """What ends every answer of a worker."""

    def __init__(self, runtime: Runtime) -> None:
        self._release = (("funade-release", str(runtime.loaded.release)), ("funade-arm", "current"))
        self._prediction = runtime.recorder.prediction

    def of(self, number: int, notes: Notes = PLAIN) -> rpc.Metadata:
        """Release, arm, prediction id, and what else is to be said."""
        trailers = (*self._release, ("funade-prediction", self._prediction(number)))
        if notes is PLAIN:
            return trailers
        return (*trailers, *((name, _plain(text)) for name, text in notes.headers()))

    def refused(self, path: str) -> rpc.Metadata:
        """Of a refusal: release, and the path of the value where there is one."""
        return (*self._release, ("funade-path", _plain(path))) if path else self._release


def _plain(text: str) -> str:
    """Text as metadata can carry it: printable ASCII."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    return shown if shown.isascii() else shown.encode("ascii", "backslashreplace").decode()


class GrpcExchange:
    """One call that asks for answers; subclasses read its message and write the answer."""

    __slots__ = ("_call", "_trailers", "rows", "since", "single", "timer", "within_s")
    door = "grpc"

    def __init__(self, call: rpc.Call, trailers: Trailers) -> None:
        self._call = call
        self._trailers = trailers
        self.rows: list[Any] = []
        self.single = False
        self.within_s: float | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.since = time.monotonic()

    @property
    def done(self) -> bool:
        """Whether it was answered or nobody waits any more."""
        return self._call.done

    def answer(self, body: bytes, number: int, notes: Notes = PLAIN) -> None:
        """Reply with predictions."""
        if self.timer is not None:
            self.timer.cancel()
        self._call.reply(body, self._trailers.of(number, notes))

    def refuse(self, status: int, error: str, path: str = "") -> None:
        """End the call with an error; what breaks the contract has its path in the text as well."""
        if self.timer is not None:
            self.timer.cancel()
        text = f"{error} - at {path}" if status == 422 else error
        self._call.fail(rpc.STATUSES.get(status, rpc.INTERNAL), text, self._trailers.refused(path))
