"""What is asked over HTTP."""

# ruff: noqa: E501  (a case a line)

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from serve.recorded.rows import EVERYTHING, ORDER, SAID, everything, order, ride
from support.exchanges import HttpExchange, text_of

APIS = ("everything", "cook", "suggest", "strict", "alone", "kept")


def body_of(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()


def request(line: str, body: Any = None, **headers: str) -> bytes:
    """A request; a body has its length said unless a header does."""
    data = b"" if body is None else body_of(body)
    fields = {"host": "localhost"} | {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None and not {"content-length", "transfer-encoding"} & set(fields):
        fields["content-length"] = str(len(data))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value is not None)
    return f"{line} HTTP/1.1\r\n{lines}\r\n".encode() + data


def http(name: str, sent: bytes, **more: Any) -> HttpExchange:
    return HttpExchange(name, text_of(sent), **more)


def post(name: str, api: str, body: Any, **headers: str) -> HttpExchange:
    return http(name, request(f"POST /v1/{api}", body, **headers))


def exchanges() -> Iterator[HttpExchange]:
    yield from _pages()
    for name, (api, value) in SAID.items():
        yield post(name, api, value)
    for name, (api, body) in BODIES.items():
        yield post(name, api, body)
    for name, (sent, responses) in RAW.items():
        yield http(name, sent, responses=responses)
    yield http("a body too large", request("POST /v1/cook", b"", content_length="4194305"))
    yield http(
        "a chunk too large", request("POST /v1/cook", b"400001\r\n", transfer_encoding="chunked"), filler=0x400001
    )
    yield http("a head too large", b"GET /healthz HTTP/1.1\r\nhost: localhost\r\ncookie: ", filler=40_000)
    yield post("late at once", "suggest", ride(), funade_timeout_ms="0")
    yield post("late at once, an array", "suggest", [ride(), ride(2)], funade_timeout_ms="0")
    yield post("late at once, no fallback", "alone", ride(), funade_timeout_ms="0")
    yield post("late at once, durable", "kept", ride(), funade_timeout_ms="0")
    for number, api in enumerate(("suggest", "alone", "kept")):
        late = request(f"POST /v1/{api}", ride(zone=f"gate {number}"), funade_timeout_ms="50")
        yield http(f"late while {api} works", late, gate=f"gate {number}")
    yield post("in time", "suggest", ride(), funade_timeout_ms="60000")


def _pages() -> Iterator[HttpExchange]:
    pages = ("/healthz", "/readyz", "/openapi.json", "/docs", *(f"/v1/{api}" for api in APIS))
    for path in pages:
        yield http(f"GET {path}", request(f"GET {path}"))
    for path in ("/healthz", "/openapi.json", "/docs", "/v1/suggest"):
        yield http(f"HEAD {path}", request(f"HEAD {path}"), head=True)
    for line in (
        "GET /v1/sugest", "POST /v1/sugest", "GET /", "GET /v1/", "GET /nothing/like/it", "GET /v1/%E8%B7%9D", "GET /open%61pi.json",
        "DELETE /v1/suggest", "PUT /healthz", "POST /healthz", "OPTIONS /v1/suggest", "PATCH /openapi.json",
        "GET /v1/suggest/submit", "GET /healthz?a=1&a=2", f"GET /v1/queue/{'f' * 32}?{'&'.join(f'k{n}=1' for n in range(101))}",
    ):  # fmt: skip
        yield http(line[:60], request(line))
    yield http("HEAD /nothing", request("HEAD /nothing"), head=True)


# Name → (api, body): what only JSON can say wrong.
BODIES: dict[str, tuple[str, Any]] = {
    "no JSON": ("cook", b"dishes=1"),
    "no body": ("cook", b""),
    "a truncated body": ("cook", b'{"dishes": 1'),
    "a truncated array": ("cook", b'[{"dishes": 1}'),
    "more behind the body": ("cook", json.dumps(ORDER).encode() + b" x"),
    "white space around": ("cook", b" \r\n\t" + json.dumps(ORDER).encode() + b"\n "),
    "a number": ("cook", b"1"),
    "null": ("cook", b"null"),
    "a text": ("cook", b'"dishes"'),
    "an array of numbers": ("cook", b"[1]"),
    "an array of null": ("cook", [ORDER, None]),
    "an array in an array": ("cook", [[ORDER]]),
    "too many levels": ("cook", b"[" * 1500),
    "too many levels inside": ("everything", b'{"note":' * 500),
    "NaN": ("cook", b'{"dishes": 2, "spice": NaN, "table": "A1", "kind": "eat in"}'),
    "Infinity": ("cook", b'{"dishes": 2, "spice": Infinity, "table": "A1", "kind": "eat in"}'),
    "a number out of range": ("everything", json.dumps(EVERYTHING).encode().replace(b"1200.5", b"1e999")),
    "a whole number out of range": ("everything", everything(often=2**63)),
    "a whole number far out of range": ("everything", everything(often=10**40)),
    "a fraction for a whole number": ("cook", order(dishes=1.5)),
    "a whole fraction for a whole number": ("cook", order(dishes=2.0)),
    "a text for a number": ("cook", order(spice="0.5")),
    "a truth for a number": ("everything", everything(riders=True)),
    "a number for a truth": ("everything", everything(paid=1)),
    "a number for a text": ("cook", [ORDER, order(table=1)]),
    "a number for a moment": ("everything", everything(at=1646103600)),
    "null for a number": ("cook", order(spice=None)),
    "null for a defaulted number": ("suggest", ride(demand=None, rides_30d=None)),
    "null for what has a plain default": ("everything", everything(tip=None)),
    "null for a choice": ("everything", everything(level=None)),
    "an object for a text": ("everything", everything(note={"a": 1})),
    "an array for a number": ("everything", everything(km=[1.0])),
    "an unknown field, open": ("suggest", ride(colour="red")),
    "an unknown field, closed": ("cook", order(dish=1)),
    "an unknown field, closed, in one row": ("cook", [ORDER, order(colour="red")]),
    "a field twice": ("cook", json.dumps(ORDER).encode()[:-1] + b', "dishes": 3}'),
    "a mark before": ("cook", b"\xef\xbb\xbf" + json.dumps(ORDER).encode()),
    "no UTF-8": ("everything", json.dumps(EVERYTHING).encode().replace(b"h\\u00e9", b"h\xe9")),
    "a lone surrogate": ("everything", json.dumps(EVERYTHING).encode().replace(b"\\u00e9", b"\\ud800")),
    "escapes": ("everything", json.dumps(everything(note='"\\/\n\u2028')).encode()),
}

_ROW = json.dumps(ORDER).encode()
_ASK = request("POST /v1/cook", ORDER)
_CHUNKED = b"%x\r\n%b\r\n" % (len(_ROW), _ROW)

# Name → (bytes, responses): what is said by heads alone.
RAW: dict[str, tuple[bytes, int]] = {
    "the same head again": (_ASK + _ASK + _ASK, 3),
    "a bad request between good ones": (_ASK + request("POST /v1/cook", b"{") + request("GET /readyz") + _ASK, 4),
    "a query is not looked at": (request("POST /v1/cook?a=1", ORDER), 1),
    "a whole URL": (request("POST http://localhost/v1/cook", ORDER), 1),
    "JSON said with a charset": (request("POST /v1/cook", ORDER, content_type="Application/JSON; charset=utf-8"), 1),
    "another content type": (request("POST /v1/cook", ORDER, content_type="text/plain"), 1),
    "a form": (request("POST /v1/cook", b"dishes=1", content_type="application/x-www-form-urlencoded"), 1),
    "compressed": (request("POST /v1/cook", ORDER, content_encoding="gzip"), 1),
    "said to be uncompressed": (request("POST /v1/cook", ORDER, content_encoding="identity"), 1),
    "a token that nobody needs": (request("POST /v1/cook", ORDER, authorization="Bearer nothing"), 1),
    "milliseconds that are none": (request("POST /v1/cook", ORDER, funade_timeout_ms="soon"), 1),
    "negative milliseconds": (request("POST /v1/cook", ORDER, funade_timeout_ms="-1"), 1),
    "a fraction of milliseconds": (request("POST /v1/cook", ORDER, funade_timeout_ms="1.5"), 1),
    "too many milliseconds": (request("POST /v1/cook", ORDER, funade_timeout_ms="1000000000"), 1),
    "the most milliseconds": (request("POST /v1/cook", ORDER, funade_timeout_ms="999999999"), 1),
    "milliseconds twice": (request("POST /v1/cook", ORDER, funade_timeout_ms="9", Funade_Timeout_Ms="9"), 1),
    "expects to go on": (request("POST /v1/cook", ORDER, expect="100-continue"), 2),
    "expects something else": (request("POST /v1/cook", ORDER, expect="200-ok"), 1),
    "expects to go on with too much": (request("POST /v1/cook", b"", expect="100-continue", content_length="5000000"), 1),
    "chunks": (request("POST /v1/cook", _CHUNKED + b"0\r\n\r\n", transfer_encoding="chunked"), 1),
    "chunks and trailers": (request("POST /v1/cook", _CHUNKED + b"0\r\nhost: evil\r\n\r\n", transfer_encoding="chunked"), 1),
    "chunks and a length": (request("POST /v1/cook", _ROW, transfer_encoding="chunked", content_length="9"), 1),
    "another coding": (request("POST /v1/cook", _ROW, transfer_encoding="gzip"), 1),
    "a bad chunk": (request("POST /v1/cook", b"zz\r\n", transfer_encoding="chunked"), 1),
    "a length that is none": (request("POST /v1/cook", b"", content_length="ten"), 1),
    "a long length": (request("POST /v1/cook", b"", content_length="9" * 19), 1),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", 1),
    "a host that is none": (request("GET /healthz", host="a b"), 1),
    "another host": (request("GET /healthz", host="evil.example"), 1),
    "two hosts": (b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n", 1),
    "another origin": (request("POST /v1/cook", ORDER, origin="http://evil.example"), 1),
    "its own origin": (request("POST /v1/cook", ORDER, origin="http://localhost"), 1),
    "too many headers": (request("GET /healthz", **{f"x{n}": "1" for n in range(101)}), 1),
    "asks to close": (request("POST /v1/cook", ORDER, connection="close"), 1),
    "HTTP/1.0": (b"GET /readyz HTTP/1.0\r\n\r\n", 1),
    "HTTP/1.0 kept": (b"GET /readyz HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", 1),
    "HTTP/2.0": (b"GET /readyz HTTP/2.0\r\nhost: localhost\r\n\r\n", 1),
    "HTTP/0.9": (b"GET /readyz\r\n\r\n", 1),
    "CONNECT": (b"CONNECT localhost:80 HTTP/1.1\r\nhost: localhost\r\n\r\n", 1),
    "another method": (b"FETCH /v1/cook HTTP/1.1\r\nhost: localhost\r\n\r\n", 1),
    "no request": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 1),
    "an upgrade": (request("POST /v1/cook", ORDER, connection="upgrade", upgrade="h2c"), 1),
    "an upgrade without a body": (request("GET /readyz", connection="upgrade", upgrade="websocket"), 1),
    "a bad header": (b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nbad header: 1\r\n\r\n", 1),
    "a bare line end": (b"GET /healthz HTTP/1.1\nhost: localhost\n\n", 1),
    "empty lines before": (b"\r\n\r\n" + request("GET /healthz"), 1),
}  # fmt: skip
