"""The configuration of an HAProxy that stands before several servers of one store."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from funade.errors import Misuse
from funade.serve.limits import Limits

_PEER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})(?::(\d{1,5}))?")

_SAFE = (
    "method GET HEAD",
    r"path_reg ^/v1/[^/]+$",
    r"path_reg ^/v2/models/[^/]+(/versions/[^/]+)?/infer$",
    "req.hdr(idempotency-key) -m found",
)
"""Requests that change nothing, or that a server knows again: they may be sent a second time."""

_SAFE_CALLS = ("path_end /One /Many", "path_beg /inference. /grpc.", "req.hdr(idempotency-key) -m found")

_BUFFER = 65536


class Peer(NamedTuple):
    """One server: its host, HTTP port and gRPC port, 0 where it has none."""

    host: str
    port: int
    grpc: int = 0


class Frontend(NamedTuple):
    """Where HAProxy listens for HTTP and, where every server answers it, for gRPC.

    ``admin`` is the path of its command socket, "" for none. ``ca`` is the PEM file of who signed the servers'
    certificates, "@system-ca" for those that the system trusts, "" where the servers do not speak TLS.
    """

    http: str = ":8000"
    grpc: str = ":8001"
    admin: str = ""
    ca: str = ""


def peer(text: str, grpc: int = 0) -> Peer:
    """A server from ``HOST:PORT`` or ``HOST:PORT:GRPC_PORT``; ``grpc`` stands for the last where it is not said.

    Raises:
        Misuse: the text is neither.

    >>> peer("10.0.0.1:8080:8081")
    Peer(host='10.0.0.1', port=8080, grpc=8081)
    """
    match = _PEER.fullmatch(text)
    if match is None or not all(0 < int(port) < 65536 for port in match.groups()[1:] if port):
        raise Misuse(f"server expected HOST:PORT or HOST:PORT:GRPC_PORT, got {text!r}")
    return Peer(match[1], int(match[2]), int(match[3]) if match[3] else grpc)


def configuration(peers: Sequence[Peer], front: Frontend) -> str:
    """The whole file; ``haproxy -c`` has nothing to say about it.

    A request whose server dies before it answers is sent to another, unless it might then be done twice.
    """
    parts = [_top(front), _http(peers, front)]
    if all(server.grpc for server in peers):
        parts.append(_grpc(peers, front))
    return "\n".join(parts)


def _top(front: Frontend) -> str:
    limits = Limits()
    admin = f"    stats socket {front.admin} mode 660 level admin\n" if front.admin else ""
    return f"""\
# Written by: funade export haproxy

resolvers system
    parse-resolv-conf

global
{admin}    tune.bufsize {_BUFFER}    # a larger request is sent once only

defaults
    mode http
    option dontlognull
    option splice-auto
    timeout connect 2s
    timeout check 2s
    timeout queue 5s
    timeout http-request {limits.head_s:g}s
    timeout client {limits.idle_s:g}s
    timeout http-keep-alive {limits.idle_s:g}s
    timeout server {limits.call_s + 5:g}s
    retries 3
    option redispatch 1
    default-server inter 1s fastinter 200ms fall 2 rise 2 on-error mark-down observe layer4 error-limit 5 slowstart 2s
    default-server resolvers system init-addr last,libc,none    # a name may be found later
"""


def _http(peers: Sequence[Peer], front: Frontend) -> str:
    tls = _tls("http/1.1", front.ca) if front.ca else ""
    joined = "\n".join(f"    server server{n} {s.host}:{s.port} check{tls}" for n, s in enumerate(peers, 1))
    return f"""\
frontend funade
    bind {front.http}
    default_backend funade

backend funade
    balance leastconn
    option httpchk
    http-check send meth GET uri /readyz ver HTTP/1.1 hdr host localhost
    http-check expect status 200
    retry-on conn-failure empty-response 503
    http-request disable-l7-retry if {_none_of(_SAFE)}
{joined}
"""


def _grpc(peers: Sequence[Peer], front: Frontend) -> str:
    tls = _tls("h2", front.ca) if front.ca else " proto h2"
    joined = "\n".join(f"    server server{n} {s.host}:{s.grpc} check{tls}" for n, s in enumerate(peers, 1))
    asked, serving = _health()
    return f"""\
frontend funade_grpc
    bind {front.grpc} proto h2
    default_backend funade_grpc

backend funade_grpc
    balance roundrobin
    retry-on conn-failure empty-response
    http-request disable-l7-retry if {_none_of(_SAFE_CALLS)}
    timeout server 1h    # a watched health stays open; calls have deadlines of their own
    # grpc.health.v1.Health/Check, written in HTTP/2 frames, must answer SERVING
    option tcp-check
    tcp-check connect
    tcp-check send-binary {asked.hex()}
    tcp-check expect binary {serving.hex()}
{joined}
"""


def _none_of(conditions: Sequence[str]) -> str:
    return " ".join(f"!{{ {condition} }}" for condition in conditions)


def _tls(protocol: str, ca: str) -> str:
    return f" ssl verify required ca-file {ca} alpn {protocol} check-alpn {protocol}"


def _health() -> tuple[bytes, bytes]:
    """What asks a gRPC server whether it serves, from the first byte of a connection; and what a good answer holds."""
    fields = {":path": "/grpc.health.v1.Health/Check", ":authority": "localhost", "te": "trailers"}
    fields["content-type"] = "application/grpc"
    head = b"\x83\x86" + b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())
    begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b"")
    return begin + _frame(1, 4, 1, head) + _frame(0, 1, 1, bytes(5)), bytes.fromhex("00000000020801")


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body
