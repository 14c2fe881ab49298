"""Bytes thrown at everything that reads what comes over gRPC, in this process: each ends its call, and rightly.

``PYTHONPATH=tests python -m fuzz.grpc SECONDS SEED`` mutates the corpus, keeps what behaves as nothing
before it did, and ends with the number of inputs tried. Rows are compared with those of ``fuzz_reference``, what the
relay passes on with what it was given.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import sys
import tempfile
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from funade import clock
from funade.errors import AnswerError, ContractViolation
from funade.queue.queue import SqliteQueue
from funade.serve.answer.request import ApiAnswers, Notes
from funade.serve.grpc import call as rpc
from funade.serve.grpc import health, reflection
from funade.serve.grpc import typed as grpc_typed
from funade.serve.grpc.door import guarded
from funade.serve.grpc.stream import StreamMethods
from funade.serve.oip import grpc as oip_grpc
from funade.serve.oip.grpc import MESSAGES, SERVICE
from funade.serve.queue import grpc as queue_rpc
from funade.serve.queue.submit import Submitter
from funade.store.queue_records import Receipt, Submission
from funade.store.queue_rules import QueueRules
from fuzz import fuzzing, http2, protobuf, reference
from fuzz.protobuf import Broken
from fuzz.reference import Wrong
from fuzz.relay import relayed
from fuzz.stream import Carrier, Heard
from support.release import TENSORS, TYPED, release
from support.runtimes import runtime_of

CORPUS = Path(__file__).parent / "corpus" / "grpc"
APIS = ("everything", "closed", "cook", "mirror")
_LONGEST = 600
_REFUSED = (rpc.INVALID_ARGUMENT, rpc.NOT_FOUND)


class Call:
    """One call that nobody carries."""

    def __init__(self, within_s: float | None = None) -> None:
        self.within_s = within_s
        self.metadata: Mapping[str, str] = {}
        self.done = False
        self.code = -1
        self.body = b""
        self.text = ""

    def reply(self, message: bytes, metadata: rpc.Metadata = ()) -> None:
        """Ends well, once."""
        assert not self.done
        self.done, self.code, self.body = True, 0, message
        _sendable(metadata)

    def fail(self, code: int, text: str, metadata: rpc.Metadata = ()) -> None:
        """Ends with a status, once, in one line that fits into a head."""
        assert not self.done
        self.done, self.code, self.text = True, code, text
        assert code > 0 and 0 < len(text) <= _LONGEST and text.isprintable(), text
        text.encode()
        _sendable(metadata)


def _sendable(metadata: rpc.Metadata) -> None:
    for name, value in metadata:
        assert name.isascii() and name.islower() and value.isascii() and value.isprintable(), (name, value)
        assert len(value) <= _LONGEST


class Queued(NamedTuple):
    """A request that was let in."""

    api: str
    ask: Any
    within_s: float | None


class Place:
    """A runtime whose queues only note what they get, and every method of its door.

    Args:
        loop: where streams run.
        folder: for the log and the queue's file.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, folder: Path) -> None:
        loaded = release(1, (*TYPED, *TENSORS))
        self.log = folder / "log"
        self.runtime = runtime_of(loaded, loop, self.log)
        self.loop = loop
        self.queued: list[Queued] = []
        for name, queue in self.runtime.queues.items():
            queue.add = partial(self._add, name)  # type: ignore[method-assign]
        self.wires = {name: grpc_typed.wire_of(self.runtime, name) for name in APIS}
        self.types = {
            name: grpc_typed.messages(api.contract, self.wires[name]) for name, api in self.runtime.loaded.apis.items()
        }
        self.queue = SqliteQueue(
            folder / "queue.db", clock=clock.system, rules=QueueRules(callbacks=("https://hooks.example/a",))
        )
        background: Any = AtOnce()
        submitter = Submitter(self.runtime, self.queue, background, background, lambda: None)
        asked = health.Health(["a.Api"])
        services = [
            grpc_typed.service(self.runtime),
            *oip_grpc.services(self.runtime),
            *queue_rpc.services(self.runtime, submitter),
        ]
        files = [file for service in services for file in service.files]
        self.streams: StreamMethods = {
            f"/{health.SERVICE}/Watch": asked.watch,
            **reflection.methods(["a.Api"], [*files, health.FILE]),
        }
        self.methods: dict[str, rpc.Method] = {
            **{path: method for service in services for path, method in service.methods.items()},
            "/grpc.health.v1.Health/Check": asked.check,
        }

    def _add(self, name: str, ask: Any, within_s: float | None = None) -> None:
        self.queued.append(Queued(name, ask, within_s))

    def ended(self, path: str, body: bytes, within_s: float | None = None) -> tuple[Call, Queued | None]:
        """How a method takes bytes in: it ends the call, or queues one request."""
        self.queued.clear()
        call = Call(within_s)
        self.methods[path](body, call)
        assert call.done + len(self.queued) == 1
        if not call.done:
            return call, self.queued[0]
        assert call.code in (0, *_REFUSED), call.text
        return call, None


class AtOnce:
    """Looks things up at once; what is to be kept is not."""

    def ask(self, act: Callable[[list[Any]], list[Any]], item: Any, then: Callable[[Any], None]) -> None:
        """Tell what came of it."""
        then(Receipt("0" * 32, "waiting") if isinstance(item, Submission) else act([item])[0])


@contextlib.contextmanager
def opened() -> Iterator[dict[str, fuzzing.Target]]:
    """Everything that reads."""
    loop = asyncio.new_event_loop()
    with tempfile.TemporaryDirectory() as folder:
        at = Place(loop, Path(folder))
        spoilt, message = fuzzing.Target, protobuf.mutated
        found = {f"one-{name}": spoilt(partial(_one, at, name), message, 6) for name in APIS}
        found |= {f"many-{name}": spoilt(partial(_many, at, name), message, 3) for name in APIS}
        found["infer"] = spoilt(partial(_infer, at), message, 12)
        for name, path in _TOLD.items():
            found[name] = spoilt(partial(_told, at, path), message)
        for name, path in STREAMS.items():
            found[name] = spoilt(partial(_streamed, at, path), message)
        found["guard"] = spoilt(partial(_asked, at), message)
        found["relay"] = spoilt(partial(relayed, loop), http2.mutated, 12)
        try:
            yield found
        finally:
            at.queue.close()
            loop.close()
        assert not at.log.exists() or at.log.read_text() == ""


def _words(text: str) -> str:
    """A text without what is an input's own."""
    plain = re.split("[`'\"]|, got| - at ", text, maxsplit=1)[0]
    return re.sub("[0-9]+", "?", plain)


# -- typed messages


def _one(at: Place, name: str, body: bytes, rng: random.Random) -> Hashable:
    path = f"/{at.wires[name].package}.Api/"
    call, queued = at.ended(path + "One", body, rng.choice((None, 0.0, 1.5)))
    said, rows = _expected(at, name, [body], "$")
    kind = _compared(at, call, queued, said, rows)
    if rng.random() < 0.3 and not (said and "bytes that are none" in said):
        wrapped = protobuf.joined([protobuf.Part(1, protobuf.LENGTH, body)] * 2)
        call, queued = at.ended(path + "Many", wrapped)
        assert _compared(at, call, queued, said.replace(" - at $", " - at $[0]"), rows * 2)[:2] == kind[:2]
    return kind


def _many(at: Place, name: str, body: bytes, rng: random.Random) -> Hashable:
    call, queued = at.ended(f"/{at.wires[name].package}.Api/Many", body)
    try:
        known = [part for part in protobuf.parts(body) if (part.number, part.kind) == (1, protobuf.LENGTH)]
        bodies = [part.body for part in known]
    except Broken:
        bodies = [b"\xff"]
    return _compared(at, call, queued, *_expected(at, name, bodies, "$[0]"))


def _expected(at: Place, name: str, bodies: list[bytes], first: str) -> tuple[str, list[Any]]:
    """The text that messages must be refused with, or "" and their rows."""
    api = at.runtime.loaded.apis[name]
    try:
        told = [reference.row(api, at.wires[name], body) for body in bodies]
        return "", reference.decoded(api, told[0] if first == "$" else told)
    except Broken:
        return f"request expected a message of {at.wires[name].package}.Api, got bytes that are none - at $", []
    except ContractViolation as error:
        return f"{error.what} - at {error.facts['path']}", []


def _compared(at: Place, call: Call, queued: Queued | None, said: str, rows: list[Any]) -> tuple[Hashable, ...]:
    if queued is None:
        assert (call.code, call.text) == (rpc.INVALID_ARGUMENT, said), (call.code, call.text, said)
        return call.code, _words(call.text)
    assert said == "", f"let in what was to be refused: {said}"
    assert repr(queued.ask.rows) == repr(rows)
    _within(queued, call.within_s)
    given = _answered(at, queued, call)
    if call.code == 0:
        type_ = at.types[queued.api]["Answer" if queued.ask.single else "Answers"].FromString(call.body)
        answers = [type_] if queued.ask.single else list(type_.rows)
        assert len(answers) == len(rows)
        if queued.api == "mirror":
            _mirrored(rows, answers)
    return call.code, "", min(len(rows), 3), given


def _within(queued: Queued, within_s: float | None) -> None:
    left = queued.within_s
    assert left is None if within_s is None else left is not None and 0 <= left <= within_s


def _answered(at: Place, queued: Queued, call: Call) -> Hashable:
    """Work for a request as a batch of its own."""
    name, ask, _ = queued
    api = at.runtime.loaded.apis[name]
    if not ask.rows:
        return "no rows"
    taken = api.take(ask.rows)
    for field in api.contract.takes_fields:
        column = taken.columns[field.name]
        assert len(column) == len(ask.rows)
        if field.type == "float" and not field.values:
            assert column.dtype == np.float64 and not np.isinf(column).any()
            assert field.nullable or not np.isnan(column).any()
    try:
        with np.errstate(all="ignore"):
            given = api.give(taken.columns, len(ask.rows))
    except AnswerError:  # a function that gives back a whole number that was missing or beyond 2**53
        ask.refuse(500, "no answer")
        return "wrong"
    if given.faults:
        ask.refuse(500, "no answer")
    else:
        answers = ApiAnswers(given.columns, api.answers.structs)
        ask.answer(ask.write(answers, 0, len(ask.rows)), 26, Notes(defaults="a; rows=0"))
    assert call.done
    return bool(given.faults), sum(mask.any() for mask in (taken.defaults or {}).values())


def _mirrored(rows: list[Any], answers: list[Any]) -> None:
    """What comes back is what was sent; times are told in another way."""
    for row, answer in zip(rows, answers, strict=True):
        for name in ("whole", "number", "truth", "text", "maybe_whole", "maybe_number", "maybe_truth", "maybe_text"):
            value = getattr(row, name)
            if value is None:
                assert not answer.HasField(name)
            else:
                assert repr(getattr(answer, name)) == repr(value), name


# -- the Open Inference Protocol


def _infer(at: Place, body: bytes, rng: random.Random) -> Hashable:
    from google.protobuf.message import DecodeError

    within_s = rng.choice((None, 0.0, 1.5))
    call, queued = at.ended(f"/{SERVICE}/ModelInfer", body, within_s)
    try:
        message = MESSAGES["ModelInferRequest"].FromString(body)
    except DecodeError:
        assert call.code == rpc.INVALID_ARGUMENT and "bytes that are none" in call.text
        return call.code, "none"
    api = at.runtime.loaded.apis.get(message.model_name)
    if api is None or message.model_version not in ("", "1"):
        assert call.code == rpc.NOT_FOUND
        return call.code, _words(call.text)
    try:
        told, names = reference.inferred(api, message)
        rows = reference.decoded(api, told)
    except Wrong:
        assert call.code == rpc.INVALID_ARGUMENT
        return call.code, _words(call.text)
    except ContractViolation as error:
        assert (call.code, call.text) == (rpc.INVALID_ARGUMENT, f"{error.what} - at {error.facts['path']}")
        return call.code, _words(call.text)
    assert queued is not None, call.text
    assert repr(queued.ask.rows) == repr(rows)
    if within_s is not None:
        assert queued.within_s is not None and 0 <= queued.within_s <= within_s
    given = _answered(at, queued, call)
    if call.code == 0:
        _outputs(MESSAGES["ModelInferResponse"].FromString(call.body), message, names, len(rows))
    return call.code, min(len(rows), 3), len(message.raw_input_contents) > 0, given


def _outputs(answer: Any, message: Any, names: list[str], count: int) -> None:
    raw = len(message.raw_input_contents) > 0
    assert (answer.model_name, answer.id) == (message.model_name, message.id)
    assert [(output.name, list(output.shape)) for output in answer.outputs] == [(name, [count]) for name in names]
    assert len(answer.raw_output_contents) == (len(names) if raw else 0)
    assert all(output.HasField("contents") != raw for output in answer.outputs)


# -- what is told

_TOLD = {
    "live": f"/{SERVICE}/ServerLive",
    "ready": f"/{SERVICE}/ModelReady",
    "metadata": f"/{SERVICE}/ModelMetadata",
    "health": "/grpc.health.v1.Health/Check",
    "submit": f"/{queue_rpc.SERVICE}/Submit",
    "look": f"/{queue_rpc.SERVICE}/Look",
}
STREAMS = {
    "watch": "/grpc.health.v1.Health/Watch",
    "reflect": "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
}
_OTHER = (7, 10)  # PERMISSION_DENIED of a callback, ABORTED of a key


def _told(at: Place, path: str, body: bytes, rng: random.Random) -> Hashable:
    call = Call(rng.choice((None, 0.0)))
    at.methods[path](body, call)
    assert call.done and call.code in (0, *_REFUSED, *_OTHER), call.text
    return call.code, _words(call.text)


def _asked(at: Place, body: bytes, rng: random.Random) -> Hashable:
    """Metadata: nobody is let in by it."""
    call = Call()
    call.metadata = {"authorization": body.decode("ascii", "replace")}
    guarded(at.runtime, "operate", lambda message, call: call.reply(b""))(b"", call)
    assert call.code in (rpc.UNAUTHENTICATED, rpc.PERMISSION_DENIED)
    return call.code, call.text


def streamed(at: Place, path: str, given: list[bytes]) -> tuple[int, bytes]:
    """How a stream ends whose client sends these messages."""
    stream = Heard(Carrier(given), at.streams[path], at.loop.create_future())
    at.loop.run_until_complete(stream.run())
    assert stream.said is not None and stream.said[0] in (0, *_REFUSED), stream.said
    return stream.said


def _streamed(at: Place, path: str, body: bytes, rng: random.Random) -> Hashable:
    return streamed(at, path, fuzzing.cut(body, rng) if rng.random() < 0.2 else [body])


if __name__ == "__main__":
    fuzzing.main(CORPUS, opened, float(sys.argv[1]), int(sys.argv[2]))
