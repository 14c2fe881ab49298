"""HTTP over TLS: who is answered, and what a switch does to connections that cannot be handed over."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from funade.errors import ServeError
from funade.serve import tls
from funade.serve.limits import Limits
from support import stock
from support.certificate import certificate
from support.client import Client, post
from support.server import Running
from support.wait import until

Run = Callable[..., Running]


@pytest.fixture
def pem(tmp_path: Path) -> tuple[str, str]:
    return certificate(tmp_path / "pem")


class Encrypted(Client):
    """One raw connection, encrypted."""

    def __init__(self, port: int, trusted: str) -> None:
        super().__init__(port)
        made = ssl.create_default_context(cafile=trusted)
        self.sock = made.wrap_socket(self.sock, server_hostname="localhost", suppress_ragged_eofs=False)


def test_an_encrypted_connection_is_answered_and_a_plain_one_is_not(run: Run, pem: tuple[str, str]) -> None:
    server = run(workers=1, certificate=pem[0], key=pem[1])
    server.serving(1)
    with Encrypted(server.port, pem[0]) as client:
        assert [client.ask({"km": 1}).json["eta"], client.ask({"km": 2}).json["eta"]] == [2.0, 4.0]
        assert client.ask({"kn": 2}).status == 422
    with Client(server.port) as plain:
        try:
            plain.ask({"km": 1})
        except OSError:
            pass
        else:
            raise AssertionError("an unencrypted request was answered")
    with socket.create_connection(("127.0.0.1", server.port)) as old:
        made = ssl.create_default_context(cafile=pem[0])
        made.maximum_version = ssl.TLSVersion.TLSv1_2
        with made.wrap_socket(old, server_hostname="localhost") as talking:
            assert talking.version() == "TLSv1.2"
    with Encrypted(server.port, pem[0]) as client:
        assert client.ask({"km": 1}).status == 200


def test_a_client_that_does_not_begin_to_encrypt_is_closed_and_keeps_nobody_out(run: Run, pem: tuple[str, str]) -> None:
    server = run(workers=1, certificate=pem[0], key=pem[1], limits=Limits(head_s=2.0))
    server.serving(1)
    silent = [socket.create_connection(("127.0.0.1", server.port), timeout=120) for _ in range(20)]
    with Encrypted(server.port, pem[0]) as client:
        assert client.ask({"km": 1}).status == 200
    for sock in silent:
        try:
            assert sock.recv(100) == b""
        except ConnectionError:
            pass
        finally:
            sock.close()


def test_an_idle_connection_is_closed_at_a_switch_and_says_so(run: Run, pem: tuple[str, str]) -> None:
    server = run(workers=1, certificate=pem[0], key=pem[1])
    with Encrypted(server.port, pem[0]) as client:
        assert client.ask({"km": 1}).headers["funade-release"] == "1"
        server.switch(2)
        server.serving(2)
        assert client.sock.recv(1) == b""  # close_notify: a connection cut off raises instead
    with Encrypted(server.port, pem[0]) as client:
        assert client.ask({"km": 1}).headers["funade-release"] == "2"


def test_a_request_begun_is_answered_by_its_release_which_then_closes(run: Run, pem: tuple[str, str]) -> None:
    server = run(workers=1, certificate=pem[0], key=pem[1])
    with Encrypted(server.port, pem[0]) as client, Encrypted(server.port, pem[0]) as large:
        assert large.ask({"km": 1}).status == 200
        client.send(b"POST /v1/arrival HTTP/1.1\r\nhost: localhost\r\ncontent-length: 30\r\n\r\n")
        hold = server.hold()
        large.send(post({"km": 2, "does": hold.act}))
        hold.begun()
        server.switch(2)
        server.serving(2)
        hold.open()
        client.send(b'{"km": 2}' + b" " * 21)
        for one in (client, large):
            answer = one.response()
            assert (answer.status, answer.headers["connection"], answer.json["model"]) == (200, "close", 1)
            assert one.sock.recv(1) == b""


def test_a_renewed_certificate_is_shown_to_new_connections(run: Run, pem: tuple[str, str], tmp_path: Path) -> None:
    server = run(workers=1, certificate=pem[0], key=pem[1])
    with Encrypted(server.port, pem[0]) as old:
        assert old.ask({"km": 1}).status == 200
        fresh = certificate(tmp_path / "fresh")
        shutil.copy(fresh[0], pem[0])  # for a moment the two do not belong together
        until(lambda: server.events("certificate not read") or None)
        shutil.copy(fresh[1], pem[1])

        def shown() -> bool | None:
            try:
                with Encrypted(server.port, fresh[0]) as client:
                    return client.ask({"km": 1}).status == 200
            except ssl.SSLError:
                return None

        until(shown)
        assert old.ask({"km": 1}).status == 200


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("c", ""), "TLS expected both a certificate and a key, got one; set both in [serve] of funade.toml"),
        (("", "k"), "TLS expected both a certificate and a key, got one; set both in [serve] of funade.toml"),
        (("c", "none"), "got: none cannot be read"),
        (("c", "c"), "got: "),
        (("c", "locked"), "got: "),
        (("c", "other"), "got: KEY_VALUES_MISMATCH"),
    ],
)
def test_files_that_are_not_what_they_must_be_are_one_error(
    pem: tuple[str, str], tmp_path: Path, given: tuple[str, str], said: str
) -> None:
    locked = str(tmp_path / "locked.pem")
    subprocess.run(
        ["openssl", "ec", "-in", pem[1], "-aes256", "-passout", "pass:x", "-out", locked],
        check=True,
        capture_output=True,
    )
    files = {"c": pem[0], "k": pem[1], "locked": locked, "other": certificate(tmp_path / "other")[1]}
    with pytest.raises(ServeError) as refused:
        tls.context(*(files.get(name, name) for name in given))
    assert said in str(refused.value)


def test_wrong_files_end_the_start_before_the_port_is_taken(run: Run, pem: tuple[str, str]) -> None:
    server = run(certificate=pem[0], key=pem[0])
    _, said = server.process.communicate(timeout=120)
    assert server.process.returncode == 1
    assert len(said.splitlines()) == 1
    assert said.startswith("ServeError: TLS expected a PEM certificate and its key without a password, got:")
    assert "started" not in (server.folder / "log").read_text()


@pytest.mark.slow
def test_stock_clients_with_one_retry_lose_nothing_in_10_switches(
    run: Run, pem: tuple[str, str], tmp_path: Path
) -> None:
    if not stock.PYTHON.exists():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("the stock clients are not installed")
    server = run(certificate=pem[0], key=pem[1])
    server.serving(1)
    log = tmp_path / "answers"
    arguments = [str(stock.PYTHON), str(stock.script("tls_clients.py")), str(server.port), pem[0], str(log)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE) as clients:
        until(lambda: (log.exists() and log.read_text().count("\n") > 50) or None)
        for release in range(2, 12):
            server.switch(release)
            server.serving(release)
            until(lambda: f" {release}\n" in log.read_text() or None)  # noqa: B023
        assert clients.stdin is not None
        clients.stdin.close()
        assert clients.wait(120) == 0
    lines = log.read_text().splitlines()
    assert [line for line in lines if "failed" in line] == []
    for name in ("requests", "httpx"):
        assert {line.split()[1] for line in lines if line.startswith(name)} == {str(n) for n in range(1, 12)}
