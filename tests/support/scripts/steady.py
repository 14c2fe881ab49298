"""A client that asks at a steady rate on kept-alive connections and writes down every answer.

Run as a process of its own: ``python steady.py PORT RATE CONNECTIONS LOG API=JSON …``; it ends when its standard
input closes. Each line of the log is JSON: when it was asked (monotonic seconds), how long it took, the api, the
status, the release that answered, the body, why the fallback spoke if it did; or what went wrong.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import IO, Any


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, api: str, body: bytes) -> dict[str, Any]:
    lines = [f"POST /v1/{api} HTTP/1.1", "host: 127.0.0.1", "content-type: application/json"]
    head = "\r\n".join([*lines, f"content-length: {len(body)}", "", ""])
    writer.write(head.encode() + body)
    status = (await reader.readline()).split()
    if len(status) < 2:
        raise ConnectionError("closed instead of an answer")
    headers: dict[str, str] = {}
    while (line := (await reader.readline()).strip()) != b"":
        name, _, value = line.partition(b":")
        headers[name.decode().lower()] = value.decode().strip()
    content = await reader.readexactly(int(headers["content-length"]))
    release, fallback = int(headers.get("funade-release", 0)), headers.get("funade-fallback", "")
    return {"status": int(status[1]), "release": release, "body": json.loads(content), "fallback": fallback}


async def connection(port: int, every: float, phase: float, bodies: list[tuple[str, bytes]], log: IO[str]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(phase)
    due, number = time.monotonic(), 0
    while True:
        api, body = bodies[number % len(bodies)]
        asked = time.monotonic()
        line: dict[str, Any] = {"asked": asked, "api": api}
        try:
            line |= await ask(reader, writer, api, body)
        except (OSError, ValueError, EOFError, KeyError) as error:
            line["failed"] = f"{type(error).__name__}: {error}"
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        line["took"] = time.monotonic() - asked
        log.write(json.dumps(line) + "\n")
        number += 1
        due = max(due + every, time.monotonic() - 1)
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def main(port: int, rate: float, connections: int, log: IO[str], bodies: list[tuple[str, bytes]]) -> None:
    every = connections / rate
    asking = [
        asyncio.create_task(connection(port, every, every * i / connections, bodies, log)) for i in range(connections)
    ]
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for one in asking:
        one.cancel()
    await asyncio.gather(*asking, return_exceptions=True)


if __name__ == "__main__":
    port_, rate_, connections_, log_, *apis = sys.argv[1:]
    pairs = [(name, body.encode()) for name, _, body in (text.partition("=") for text in apis)]
    with Path(log_).open("w", buffering=1) as file:
        asyncio.run(main(int(port_), float(rate_), int(connections_), file, pairs))
