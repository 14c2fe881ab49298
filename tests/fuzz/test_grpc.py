"""No bytes over gRPC break what reads them: messages, tensors, the relay's frames, a running server."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from funade.serve.grpc import call as rpc
from funade.serve.oip.grpc import MESSAGES
from fuzz import fuzzing, http2, live
from fuzz import grpc as fuzz_grpc
from fuzz.grpc import CORPUS, opened
from support import stock
from support.grpc_client import CLOSED, ask
from support.release import TYPED
from support.server import Running


def test_every_input_of_the_corpus_ends_its_call_rightly() -> None:
    found = fuzzing.replayed(CORPUS, opened)
    let_in = {name for name, kind in found if isinstance(kind, tuple) and kind[0] == 0}
    assert {"infer", *(f"{many}-{api}" for many in ("one", "many") for api in fuzz_grpc.APIS)} <= let_in


def _seconds() -> float:
    return float(os.environ.get("FUNADE_FUZZ_S", "30"))


def test_a_few_mutated_inputs_break_nothing() -> None:
    assert sum(1 for _ in fuzzing.tried(CORPUS, opened, 2.0, seed=1)) > 1000


@pytest.mark.slow
def test_mutated_inputs_break_nothing() -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")
    count = sum(1 for _ in fuzzing.tried(CORPUS, opened, _seconds(), seed))
    print(f"{count} inputs")
    assert count > 10_000


# -- what was found


@pytest.fixture
def place(tmp_path: Path) -> Iterator[fuzz_grpc.Place]:
    loop = asyncio.new_event_loop()
    made = fuzz_grpc.Place(loop, tmp_path)
    yield made
    made.queue.close()
    loop.close()


@pytest.mark.parametrize("shapes", [((1, 2), (1,)), ((1,), (2,))])
def test_a_tensors_name_of_any_length_is_refused_in_one_short_line(
    place: fuzz_grpc.Place, shapes: tuple[tuple[int, ...], ...]
) -> None:
    inputs = [{"name": "a\n" * 100_000, "datatype": "FP64", "shape": shape} for shape in shapes]
    body = MESSAGES["ModelInferRequest"](model_name="closed", inputs=inputs).SerializeToString()
    call, _ = place.ended("/inference.GRPCInferenceService/ModelInfer", body)
    assert call.code == rpc.INVALID_ARGUMENT and len(call.text) < 300


def test_a_model_whose_name_is_megabytes_long_is_refused_in_one_short_line(place: fuzz_grpc.Place) -> None:
    body = MESSAGES["ModelInferRequest"](model_name="cook" * 1_000_000).SerializeToString()
    began = time.process_time()
    call, _ = place.ended("/inference.GRPCInferenceService/ModelInfer", body)
    print(f"{(time.process_time() - began) * 1e3:.1f} ms")
    assert call.code == rpc.NOT_FOUND and len(call.text) < 300


@pytest.mark.parametrize("path", fuzz_grpc.STREAMS)
def test_bytes_that_are_no_message_end_a_stream_in_words(place: fuzz_grpc.Place, path: str) -> None:
    code, text = fuzz_grpc.streamed(place, fuzz_grpc.STREAMS[path], [b"\xff"])
    assert (code, text) == (rpc.INVALID_ARGUMENT, b"request expected a message, got other bytes")


# -- a running server


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with one worker; no input was a defect of it, and none is written about."""
    folder = tmp_path_factory.mktemp("server")
    port = stock.free_port()
    made = Running(folder, apis=TYPED, workers=1, grpc_port=port)
    try:
        made.serving(1)
        stderr, made.process.stderr = made.process.stderr, None
        assert stderr is not None
        with stderr, ThreadPoolExecutor(1) as reading:
            said = reading.submit(stderr.read)
            yield made
            made.end()
            assert said.result() == ""
    finally:
        if made.process.poll() is None:
            made.end()
    assert made.events("defect") == []


def _answered(running: Running, pids: object) -> None:
    """A stock client is, by the worker that was there before."""
    with grpc.insecure_channel(f"127.0.0.1:{running.settings.grpc_port}") as channel:
        answer, _ = ask(channel, CLOSED, {"a": 2.0})
    assert answer.score == 2.0
    assert running.state.workers == pids


def _thrown(running: Running, count: int, seed: int) -> None:
    pids = running.state.workers
    known = fuzzing.corpus(CORPUS, "http2")
    asyncio.run(live.thrown(running.settings.grpc_port, known, count, seed))
    _answered(running, pids)


def _begun(heard: bytes) -> bool:
    """Whether an answer has come."""
    return http2.HEADERS in [frame.kind for frame in http2.frames(heard)[0]]


def test_streams_of_the_corpus_are_answered_and_leave_the_worker(running: Running) -> None:
    pids = running.state.workers
    for index, data in enumerate(fuzzing.corpus(CORPUS, "http2")):
        heard = asyncio.run(live.said(running.settings.grpc_port, [data], silent_s=120, enough=_begun))
        assert _begun(heard), (index, heard)
    _answered(running, pids)


def test_a_few_mutated_streams_leave_the_worker(running: Running) -> None:
    _thrown(running, 100, seed=1)


@pytest.mark.slow
def test_mutated_streams_leave_the_worker(running: Running) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")
    _thrown(running, round(100 * _seconds()), seed)
