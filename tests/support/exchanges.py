"""Requests as bytes and what a server sent back, kept in files: recorded once, replayed against a later server."""

from __future__ import annotations

import base64
import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import msgspec

import funade
from support.doors_project import Served

_BASE64 = "base64:"


class HttpExchange(msgspec.Struct, tag="http", omit_defaults=True):
    """One request over HTTP, or several sent together.

    ``filler`` zeros follow what is ``sent``. ``got`` are ``responses`` responses, and whatever else comes where the
    server closes; a response to HEAD (``head``) has no body. The ``gate``, if any, is opened after them.
    """

    name: str
    sent: str
    got: str = ""
    responses: int = 1
    head: bool = False
    filler: int = 0
    gate: str = ""


class GrpcExchange(msgspec.Struct, tag="grpc", omit_defaults=True):
    """One unary call: the request's message and metadata; the answer's message or error, and trailing metadata."""

    name: str
    path: str
    sent: str
    metadata: list[tuple[str, str]] = []
    filler: int = 0
    gate: str = ""
    code: str = ""
    details: str = ""
    trailing: list[tuple[str, str]] = []
    got: str = ""


Exchange = HttpExchange | GrpcExchange


def text_of(data: bytes) -> str:
    """Bytes as they stand in a file: text where they are UTF-8, else base64."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = _BASE64
    if text.startswith(_BASE64) or re.search(r"[\0-\x08\x0e-\x1f\x7f]", text):
        return _BASE64 + base64.b64encode(data).decode()
    return text


def bytes_of(text: str) -> bytes:
    """The bytes that ``text_of`` gave the text of."""
    return base64.b64decode(text.removeprefix(_BASE64)) if text.startswith(_BASE64) else text.encode()


def read(path: Path) -> list[Exchange]:
    """The exchanges of a file."""
    return msgspec.json.decode(path.read_bytes(), type=list[Exchange])


def write(path: Path, exchanges: Iterable[Exchange]) -> None:
    """Keep exchanges, one a line."""
    lines = ",\n".join(msgspec.json.encode(exchange).decode() for exchange in exchanges)
    path.write_text(f"[\n{lines}\n]\n", "utf-8")


def profile_of(record: str) -> str:
    """The project's profile that a file's exchanges were recorded with."""
    return "locked" if record == "locked" else ""


class Canonical:
    """What cannot be equal in two runs, put in one form that has the same length, and back.

    The date; funade's version; when queued requests came and ended; the worker's mark in prediction ids; ids of queued
    requests, which are numbered as they appear; tokens, which are sent as ``TOKEN-ROLE``.

    Args:
        tokens: role → the server's token.
    """

    def __init__(self, tokens: dict[str, str]) -> None:
        self._tokens = tokens
        self._ids: dict[bytes, bytes] = {}

    def of(self, data: bytes) -> bytes:
        """What a server sent."""
        data = data.replace(funade.__version__.encode(), b"0.0.0")
        data = re.sub(rb"\r\ndate: [^\r]{29}", b"\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT", data)
        data = re.sub(rb'(_at":")\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+', rb"\g<1>1970-01-01T00:00:00.000+", data)
        data = re.sub(rb"[0-9a-f]{12}-(?=[0-9a-f])", b"0" * 12 + b"-", data)
        return re.sub(rb"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])", lambda match: self._numbered(match[0]), data)

    def inferred(self, message: bytes) -> bytes:
        """A ``ModelInferResponse``: its parameters, field 4, are a map, whose order Protobuf leaves open."""
        fields = list(_fields(self.of(message)))
        parameters = sorted(field for field in fields if field[0] >> 3 == 4)
        return b"".join(parameters + [field for field in fields if field[0] >> 3 != 4])

    def actual(self, data: bytes) -> bytes:
        """What is to be sent to this server."""
        for id, number in self._ids.items():
            data = data.replace(number, id)
        for role, token in self._tokens.items():
            data = data.replace(f"TOKEN-{role}".encode(), token.encode())
        return data

    def _numbered(self, id: bytes) -> bytes:
        return self._ids.setdefault(id, b"%032x" % (len(self._ids) + 1))


def _fields(message: bytes) -> Iterator[bytes]:
    """The fields of a message whose fields all have a length."""
    start = 0
    while start < len(message):
        end, size, shift = start + 1, 0, 0
        while True:
            size |= (message[end] & 127) << shift
            end, shift = end + 1, shift + 7
            if message[end - 1] < 128:
                break
        yield message[start : end + size]
        start = end + size


def replayed(exchanges: Sequence[Exchange], server: Served) -> Iterator[Exchange]:
    """The exchanges with what this server answers, in order, over one connection while it lasts."""
    canonical = Canonical(server.tokens)
    with _connection(server.port) as connection, grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        for exchange in exchanges:
            if isinstance(exchange, HttpExchange):
                sent = canonical.actual(bytes_of(exchange.sent)) + b"0" * exchange.filler
                got = canonical.of(connection.ask(sent, exchange.responses, head=exchange.head))
                yield msgspec.structs.replace(exchange, got=text_of(got))
            else:
                yield _called(channel, exchange, canonical)
            if exchange.gate:
                server.open_gate(exchange.gate)


class Connection:
    """A connection that is opened anew once the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sock: socket.socket | None = None

    def ask(self, sent: bytes, responses: int = 1, *, head: bool = False) -> bytes:
        """Send bytes; gives the responses, and all that follows where the last one closes."""
        self.send(sent)
        return self.receive(responses, head=head)

    def send(self, data: bytes) -> None:
        """Send bytes."""
        if self._sock is None:
            self._sock = socket.create_connection(("127.0.0.1", self._port), timeout=120)
        self._sock.sendall(data)

    def receive(self, responses: int = 1, *, head: bool = False) -> bytes:
        """The next responses."""
        assert self._sock is not None
        got, end = b"", 0
        for _ in range(responses):
            while (top := got.find(b"\r\n\r\n", end)) < 0:
                got += self._more()
            lines = got[end:top].lower().split(b"\r\n")
            sizes = [int(line[15:]) for line in lines if line.startswith(b"content-length:")]
            end = top + 4 + (0 if head else sum(sizes))
            while len(got) < end:
                got += self._more()
        if b"connection: close" in lines:
            while data := self._sock.recv(65536):
                got += data
            self.close()
        return got

    def close(self) -> None:
        """Close it, if it is open."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _more(self) -> bytes:
        assert self._sock is not None
        data = self._sock.recv(65536)
        if not data:
            raise ConnectionError("closed by the server")
        return data


@contextmanager
def _connection(port: int) -> Iterator[Connection]:
    connection = Connection(port)
    try:
        yield connection
    finally:
        connection.close()


def _called(channel: grpc.Channel, exchange: GrpcExchange, canonical: Canonical) -> GrpcExchange:
    """The call, made anew; messages go as they are."""
    metadata = [(key, canonical.actual(value.encode()).decode()) for key, value in exchange.metadata]
    sent = canonical.actual(bytes_of(exchange.sent)) + b"0" * exchange.filler
    call: Any
    try:
        message, call = channel.unary_unary(exchange.path).with_call(sent, metadata=metadata, timeout=120)
    except grpc.RpcError as error:
        message, call = b"", error
    canonical_of = canonical.inferred if exchange.path.endswith("/ModelInfer") else canonical.of
    trailing = [(key, value) for key, value in call.trailing_metadata() or () if not key.endswith("-bin")]
    return msgspec.structs.replace(
        exchange,
        code=call.code().name,
        details=canonical.of((call.details() or "").encode()).decode(),
        trailing=[(key, canonical.of(value.encode()).decode()) for key, value in trailing],
        got=text_of(canonical_of(message)),
    )
