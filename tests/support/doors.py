"""Every door of a server, asked with the same rows: one function a door, whose replies are read alike."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any, NamedTuple

import grpc

from support.doors_project import Served
from support.exchanges import Connection
from support.metrics import samples
from support.reflected import Reflected
from support.wait import until

Row = dict[str, Any]

_HTTP_OF = {
    "OK": 200, "INVALID_ARGUMENT": 422, "RESOURCE_EXHAUSTED": 413, "INTERNAL": 500, "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}  # fmt: skip
_UNKNOWN = b"\x98\x06\x01"  # field 99 = 1


class Asked(NamedTuple):
    """Rows of an api; ``within_ms`` is how long the client waits, ``padding`` how many bytes it sends besides rows."""

    api: str
    rows: list[Row]
    within_ms: int | None = None
    padding: int = 0


class Reply(NamedTuple):
    """What came back: a status as HTTP has it (0: nothing came), and who spoke besides the function, rows left out."""

    status: int
    fallback: str = ""
    guard: str = ""


class Doors:
    """Connections to one server.

    Args:
        server: the server.
    """

    def __init__(self, server: Served) -> None:
        self.server = server
        self.http = Connection(server.port)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}")
        self.reflected = Reflected(self.channel)

    def close(self) -> None:
        """Close them."""
        self.http.close()
        self.channel.close()

    def metrics(self) -> dict[str, float]:
        """The page of metrics, by name and labels; asked for anew where a worker has just ended."""
        return until(self._scraped)

    def _scraped(self) -> dict[str, float] | None:
        with closing(Connection(self.server.port)) as connection, suppress(ConnectionError):
            page = connection.ask(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n")
            return samples(_parted(page)[2].decode())
        return None

    # -- HTTP

    def http_one(self, asked: Asked) -> Reply:
        """One object."""
        (row,) = asked.rows
        return self._post(f"/v1/{asked.api}", json.dumps(row).encode(), asked)

    def http_array(self, asked: Asked) -> Reply:
        """An array."""
        return self._post(f"/v1/{asked.api}", json.dumps(asked.rows).encode(), asked)

    def oip_json(self, asked: Asked) -> Reply:
        """Tensors as JSON."""
        body = json.dumps({"inputs": [tensor._asdict() for tensor in tensors(asked.rows)]}).encode()
        return self._post(f"/v2/models/{asked.api}/infer", body, asked)

    def oip_binary(self, asked: Asked) -> Reply:
        """Tensors as bytes, and answers too."""
        raws = [tensor.raw() for tensor in tensors(asked.rows)]
        inputs = [
            {"name": t.name, "shape": t.shape, "datatype": t.datatype, "parameters": {"binary_data_size": len(raw)}}
            for t, raw in zip(tensors(asked.rows), raws, strict=True)
        ]
        head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
        length = f"inference-header-content-length: {len(head)}\r\ncontent-type: application/octet-stream\r\n"
        return self._post(f"/v2/models/{asked.api}/infer", head + b"".join(raws), asked, length)

    def queue_http(self, asked: Asked) -> Reply:
        """One object, submitted and looked at until it has ended."""
        status, id = self.submit(asked)
        return self.looked_at(id) if id else Reply(status)

    def submit(self, asked: Asked) -> tuple[int, str]:
        """Leave one object in the queue; gives the status, and the request's id where it was kept."""
        (row,) = asked.rows
        token = f"authorization: Bearer {self.server.tokens['submit']}\r\n"
        sent = _request(f"/v1/{asked.api}/submit", json.dumps(row).encode(), asked, token)
        status, _, body = _parted(self._send(sent))
        return status, json.loads(body)["id"] if status == 202 else ""

    def state(self, id: str) -> str:
        """How a queued request stands: waiting, claimed, done or dead."""
        return str(self._looked(id, "0")["state"])

    def looked_at(self, id: str) -> Reply:
        """How a queued request ended; a dead letter is an error of the server's."""
        request = self._looked(id, "30s")
        assert request["state"] in ("done", "dead"), request
        status = 200 if request["state"] == "done" else 500
        return Reply(status, _reasons(request.get("fallback", "")), _reasons(request.get("guard", "")))

    def _looked(self, id: str, wait: str) -> dict[str, Any]:
        token = f"authorization: Bearer {self.server.tokens['submit']}\r\n"
        head = f"GET /v1/queue/{id}?wait={wait} HTTP/1.1\r\nhost: localhost\r\n{token}\r\n".encode()
        response = until(lambda: self._send(head))  # again, where the worker that was asked has ended
        request: dict[str, Any] = json.loads(_parted(response)[2])
        return request

    def _post(self, path: str, body: bytes, asked: Asked, extra: str = "") -> Reply:
        status, headers, _ = _parted(self._send(_request(path, body, asked, extra)))
        return Reply(status, _reasons(headers.get("funade-fallback", "")), _reasons(headers.get("funade-guard", "")))

    def _send(self, sent: bytes) -> bytes:
        """The response; b"" where the server ended the connection instead."""
        try:
            return self.http.ask(sent, 1)
        except ConnectionError:
            self.http.close()
            return b""

    # -- gRPC

    def grpc_one(self, asked: Asked) -> Reply:
        """One message."""
        (row,) = asked.rows
        return self._call(f"/{self.reflected.service(asked.api)}/One", self._row(asked.api, row), asked)

    def grpc_many(self, asked: Asked) -> Reply:
        """Repeated rows."""
        once = {id(row): row for row in asked.rows}  # a row may stand there a hundred thousand times
        messages = {key: self._row(asked.api, row) for key, row in once.items()}
        rows = [messages[id(row)] for row in asked.rows]
        message = b"".join(b"\x0a" + _varint(len(row)) + row for row in rows)
        return self._call(f"/{self.reflected.service(asked.api)}/Many", message, asked)

    def oip_grpc(self, asked: Asked) -> Reply:
        """Tensors as bytes in a message."""
        request = self.reflected.type("inference.ModelInferRequest")(model_name=asked.api)
        for tensor in tensors(asked.rows):
            request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
            request.raw_input_contents.append(tensor.raw())
        if asked.within_ms:
            request.parameters["timeout"].int64_param = asked.within_ms * 1000
        message = request.SerializeToString()
        return self._call("/inference.GRPCInferenceService/ModelInfer", message, asked._replace(within_ms=None))

    def queue_grpc(self, asked: Asked) -> Reply:
        """An array, submitted and looked at until it has ended."""
        submit = self.reflected.type("funade.queue.SubmitRequest")(api=asked.api, body=json.dumps(asked.rows).encode())
        status, _, reply = self._called("/funade.queue.Queue/Submit", submit.SerializeToString(), asked)
        if status != 200:
            return Reply(status)
        id = self.reflected.type("funade.queue.SubmitReply").FromString(reply).id
        look = self.reflected.type("funade.queue.LookRequest")(id=id, wait_seconds=30).SerializeToString()
        _, _, reply = self._called("/funade.queue.Queue/Look", look, asked._replace(padding=0))
        request = self.reflected.type("funade.queue.LookReply").FromString(reply)
        assert request.state in ("done", "dead"), request
        return Reply(200 if request.state == "done" else 500, _reasons(request.fallback), _reasons(request.guard))

    def _row(self, api: str, row: Row) -> bytes:
        """A row as a message; a name that its type does not have is a field that the server does not know."""
        package = self.reflected.service(api).rpartition(".")[0]
        kind = self.reflected.type(f"{package}.Request")
        known = {name: value for name, value in row.items() if name in kind.DESCRIPTOR.fields_by_name}
        message: bytes = kind(**known).SerializeToString()
        return message + (_UNKNOWN if known != row else b"")

    def _call(self, path: str, message: bytes, asked: Asked) -> Reply:
        status, trailing, _ = self._called(path, message, asked)
        return Reply(status, _reasons(trailing.get("funade-fallback", "")), _reasons(trailing.get("funade-guard", "")))

    def _called(self, path: str, message: bytes, asked: Asked) -> tuple[int, dict[str, str], bytes]:
        """The status, trailing metadata and answer.

        The deadline is sent as metadata, so that the server alone keeps it: the client hears what the server says. It
        is ten times what is asked, since a tenth of it is all that the server has left to say so.
        """
        metadata = [("authorization", f"Bearer {self.server.tokens['submit']}")]
        within = [("grpc-timeout", f"{10 * asked.within_ms}m")] if asked.within_ms is not None else []
        options: dict[str, Any] = {"metadata": metadata + within} | ({} if within else {"timeout": 60})
        method = self.channel.unary_unary(path)
        call: Any
        try:
            reply, call = method.with_call(message + b"\0" * asked.padding, wait_for_ready=True, **options)
        except grpc.RpcError as error:
            reply, call = b"", error
        trailing = dict(call.trailing_metadata() or ())
        status = _HTTP_OF[call.code().name]
        lost = status == 503 and "try again" not in (
            call.details() or ""
        )  # the client's own words for a lost connection
        return 0 if lost else status, trailing, reply


DOORS: dict[str, Callable[[Doors, Asked], Reply]] = {
    "http one": Doors.http_one,
    "http array": Doors.http_array,
    "grpc one": Doors.grpc_one,
    "grpc many": Doors.grpc_many,
    "oip json": Doors.oip_json,
    "oip binary": Doors.oip_binary,
    "oip grpc": Doors.oip_grpc,
    "queue http": Doors.queue_http,
    "queue grpc": Doors.queue_grpc,
}

SINGLE = ("http one", "grpc one", "queue http")
"""Doors that carry one object here; the others carry rows."""


class Tensor(NamedTuple):
    """One field of rows."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]

    def raw(self) -> bytes:
        """Its values as bytes."""
        if self.datatype == "BYTES":
            texts = [text.encode() for text in self.data]
            return b"".join(struct.pack("<I", len(text)) + text for text in texts)
        return struct.pack(f"<{len(self.data)}{'q' if self.datatype == 'INT64' else 'd'}", *self.data)


def tensors(rows: list[Row]) -> list[Tensor]:
    """A tensor for each field that any row has; 0 or "" where a row has none."""
    kinds = {name: type(value) for row in rows for name, value in row.items()}
    datatypes = {int: "INT64", float: "FP64", str: "BYTES"}
    return [
        Tensor(name, [len(rows)], datatypes[kind], [row.get(name, kind()) for row in rows])
        for name, kind in kinds.items()
    ]


def _request(path: str, body: bytes, asked: Asked, extra: str) -> bytes:
    """A request; with padding only its head, which says how much would follow."""
    if asked.within_ms is not None:
        extra += f"funade-timeout-ms: {asked.within_ms}\r\n"
    length = len(body) + asked.padding
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n{extra}\r\n".encode()
    return head if asked.padding else head + body


def _parted(response: bytes) -> tuple[int, dict[str, str], bytes]:
    if not response:
        return 0, {}, b""
    top, _, body = response.partition(b"\r\n\r\n")
    first, *lines = top.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


def _reasons(text: str) -> str:
    """``guard; rows=1 3, error; rows=2`` without its rows."""
    return re.sub(r"; rows=[0-9 +]*", "", text)


def _varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])
