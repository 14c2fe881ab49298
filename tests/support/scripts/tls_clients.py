"""Stock clients that ask over TLS until their standard input closes: ``tls_clients.py PORT CERTIFICATE LOG``.

Run with the Python that has ``requests`` and ``httpx``. Each client keeps its connection and tries once more where it
was closed before any byte of an answer. A line of the log: the client, the release that answered, or what went wrong.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

import httpx
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry  # type: ignore[import-not-found]


def by_requests(certificate: str) -> Any:
    session = requests.Session()
    session.trust_env = False
    session.verify = certificate
    session.mount("https://", HTTPAdapter(max_retries=Retry(total=1, allowed_methods=None, backoff_factor=0)))
    return session.post


def by_httpx(certificate: str) -> Any:
    import ssl

    client = httpx.Client(verify=ssl.create_default_context(cafile=certificate), timeout=120, trust_env=False)

    def post(url: str, json: Any) -> httpx.Response:
        try:
            return client.post(url, json=json)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError, httpx.ConnectError):
            return client.post(url, json=json)

    return post


def ask(name: str, post: Any, url: str, log: IO[str], over: threading.Event) -> None:
    number = 0
    while not over.is_set():
        number += 1
        try:
            response = post(url, json={"km": number})
            right = response.status_code == 200 and response.json()["eta"] == number * 2
            release = response.headers["funade-release"]
            right = right and response.json()["model"] == int(release)
            log.write(f"{name} {release}\n" if right else f"{name} failed {response.status_code} {response.text}\n")
        except Exception as error:
            log.write(f"{name} failed {type(error).__name__}: {error}\n")
        time.sleep(0.005)


def main(port: str, certificate: str, path: str) -> None:
    over = threading.Event()
    with Path(path).open("w", buffering=1) as log:
        clients = [("requests", by_requests), ("httpx", by_httpx)] * 3
        asking = [
            threading.Thread(target=ask, args=(n, made(certificate), f"https://localhost:{port}/v1/arrival", log, over))
            for n, made in clients
        ]
        for thread in asking:
            thread.start()
        sys.stdin.read()
        over.set()
        for thread in asking:
            thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
