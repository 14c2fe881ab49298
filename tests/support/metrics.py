"""Reads a page of metrics with nothing but the format's own rules."""

from __future__ import annotations

import re

from support.client import Client, Response

SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\]|\\.)*",?)*)\})? (\S+)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


def samples(text: str) -> dict[str, float]:
    """``name{label="value",…}`` (labels in the page's order) → value; every other line must be a comment."""
    found: dict[str, float] = {}
    typed: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            typed.add(line.split()[2])
        elif not line.startswith("# "):
            match = SAMPLE.fullmatch(line)
            assert match, line
            name = match[1]
            bases = {name, re.sub("_(bucket|sum|count|total|info)$", "", name)}
            assert bases & typed, f"{name} has no type"
            key = line.rpartition(" ")[0]
            assert key not in found, f"{key} stands twice"
            found[key] = float(match[3])
    return found


def summed(found: dict[str, float], name: str, **labels: str) -> float:
    """The sum of a metric's samples that bear these labels."""
    total = 0.0
    for key, value in found.items():
        base, _, rest = key.partition("{")
        if base == name and labels.items() <= dict(LABEL.findall(rest)).items():
            total += value
    return total


def get(client: Client, path: str, **headers: str) -> Response:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return client.send(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n{lines}\r\n".encode()).response()


def scrape(port: int) -> dict[str, float]:
    with Client(port) as client:
        response = get(client, "/metrics")
    assert response.status == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return samples(response.body.decode())
