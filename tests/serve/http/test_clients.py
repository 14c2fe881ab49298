"""The clients that people use get answers, errors and pages: curl, requests, httpx, Node's own."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

from support import stock
from support.server import Running


def _right(said: list[Any]) -> None:
    one, many, wrong, unknown = said[:4]
    assert (one[0], one[1]["eta"], one[2]) == (200, 4.0, "1")
    assert (many[0], [row["eta"] for row in many[1]]) == (200, [2.0, 6.0])
    assert (wrong[0], wrong[1]["path"]) == (422, "$.km")
    assert (unknown[0], unknown[1]["error"]) == (404, "path `/v1/plane` is not known; did you mean `/v1/plain`?")


def test_requests_and_httpx_are_answered(server: Running) -> None:
    for said in json.loads(stock.ask("http_clients.py", server.port)).values():
        _right(said)
        assert said[4] == [200, "drivers", "application/json"]


def test_curl_is_answered(server: Running) -> None:
    if shutil.which("curl") is None:
        stock.absent("curl is not installed")

    def curl(*arguments: str) -> list[Any]:
        shape = "\\n%{http_code}\\n%header{funade-release}"
        done = subprocess.run(
            ["curl", "--silent", "--show-error", "--write-out", shape, *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        body, status, release = done.stdout.rsplit("\n", 2)
        return [int(status), json.loads(body), release]

    base = f"http://127.0.0.1:{server.port}/v1"
    said = [
        curl("--json", json.dumps(body), f"{base}/{api}")
        for api, body in (
            ("arrival", {"km": 2}),
            ("arrival", [{"km": 1}, {"km": 3}]),
            ("arrival", {"km": "x"}),
            ("plane", {}),
        )
    ]
    _right(said)
    many = json.dumps([{"km": km} for km in range(20_000)])
    done = subprocess.run(
        ["curl", "--silent", "--json", "@-", f"{base}/arrival"], input=many, capture_output=True, text=True, check=True
    )
    assert [row["eta"] for row in json.loads(done.stdout)] == [2.0 * km for km in range(20_000)]


def test_node_asks_for_one_for_many_wrongly_and_on_one_connection(server: Running) -> None:
    heard = json.loads(stock.node("node.mjs", server.port))
    assert (heard["one"]["status"], heard["one"]["body"]["eta"], heard["one"]["prediction"]) == (200, 3.0, True)
    assert [row["eta"] for row in heard["many"]["body"]] == [2.0, 4.0]
    assert heard["wrong"] == {
        "status": 422,
        "prediction": False,
        "body": {"error": "request expected `float`, got `str`", "path": "$[1].km"},
    }
    assert heard["connections"] == 1
