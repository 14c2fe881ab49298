"""Asks a server with two stock clients and prints what they heard: ``python http_clients.py PORT``."""

from __future__ import annotations

import json
import sys
from typing import Any

import httpx
import requests


def heard(client: Any, base: str) -> list[Any]:
    said = []
    for api, body in (
        ("arrival", {"km": 2}),
        ("arrival", [{"km": 1}, {"km": 3}]),
        ("arrival", {"km": "x"}),
        ("plane", {}),
    ):
        answer = client.post(f"{base}/v1/{api}", json=body)
        said.append([answer.status_code, answer.json(), answer.headers.get("funade-release")])
    page = client.get(f"{base}/v1/arrival")
    return [*said, [page.status_code, page.json()["owner"], page.headers["content-type"]]]


if __name__ == "__main__":
    address = f"http://127.0.0.1:{sys.argv[1]}"
    with requests.Session() as session, httpx.Client() as client:
        print(json.dumps({"requests": heard(session, address), "httpx": heard(client, address)}))
