"""No bytes break a connection, and the heads it remembers change nothing."""

from __future__ import annotations

import os

import pytest

from funade.serve.http.head import HeadCache
from fuzz.http import Forgetful, corpus, door, fed, tried
from support.client import Client
from support.server import Running


def test_every_input_of_the_corpus_is_read_alike_whole_in_bytes_and_by_its_head() -> None:
    with door(Forgetful()) as plain, door(HeadCache()) as knowing:
        for data in corpus():
            whole = fed(plain, [data])
            assert fed(knowing, [data]) == whole
            assert fed(knowing, [data]) == whole
            bytewise = fed(plain, [data[i : i + 1] for i in range(len(data))])
            assert (bytewise.queued, bytewise.amid) == (whole.queued, whole.amid) or whole.closed


def test_a_connect_with_a_body_is_refused_and_the_worker_lives(server: Running) -> None:
    with Client(server.port) as client:
        client.send(b'CONNECT /v1/arrival HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{"km": 1}')
        assert client.response().status == 501
    with Client(server.port) as client:
        assert client.ask({"km": 3}).json["eta"] == 6.0


def _seconds() -> float:
    return float(os.environ.get("FUNADE_FUZZ_S", "30"))


def test_a_few_mutated_inputs_break_nothing() -> None:
    assert sum(1 for _ in tried(2.0, seed=1)) > 100


@pytest.mark.slow
def test_mutated_inputs_break_nothing() -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")
    count = sum(1 for _ in tried(_seconds(), seed))
    print(f"{count} inputs")
    assert count > 1000
