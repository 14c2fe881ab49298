"""The gRPC port: calls in, answers out, and nothing is lost when another takes over."""

from __future__ import annotations

import asyncio
import functools
import socket
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
import uvloop

from funade import clock
from funade.events import EventLog
from funade.serve.grpc import call as rpc
from funade.serve.grpc.port import Port
from funade.serve.limits import Limits
from funade.serve.settings import ServerSettings
from support.wait import backlog, until

SETTINGS = ServerSettings("", {}, limits=Limits(body_bytes=100_000, head_bytes=8192), drain_s=3.0)


class Place:
    """A loop on a thread of its own, a listening socket, and ports on it one after another."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        self.loop = uvloop.new_event_loop()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.target = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.calls: list[rpc.Call] = []
        self.ports: list[Port] = []

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def do(self, what: Callable[[], Any]) -> Any:
        """Call on the loop's thread."""

        async def called() -> Any:
            return what()

        return asyncio.run_coroutine_threadsafe(called(), self.loop).result(120)

    def open(self, name: str = "first") -> Port:
        """Another port on the same listening socket; its answers name it."""

        def echo(message: bytes, call: rpc.Call) -> None:
            call.reply(message, (("port", name), ("said", call.metadata.get("word", ""))))

        def held(message: bytes, call: rpc.Call) -> None:
            self.calls.append(call)

        def refused(message: bytes, call: rpc.Call) -> None:
            call.fail(rpc.INVALID_ARGUMENT, "größer - at $[3].fare_yen", (("path", "$"),))

        def broken(message: bytes, call: rpc.Call) -> None:
            raise KeyError("a private detail")

        async def count(messages: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
            for number in range(3):
                yield b"%d" % number

        methods: rpc.Methods = {f"/e.E/{m.__name__}": m for m in (echo, held, refused, broken)}
        events = EventLog(clock.system, str(self.log))

        def made() -> Port:
            port = Port(self.loop, events, self.listener.dup(), methods, {"/s.S/count": count}, SETTINGS)
            port.start()
            return port

        self.ports.append(self.do(made))
        return self.ports[-1]

    def end(self) -> None:
        for port in self.ports:
            self.do(port.stop)
            self.do(port.cut)
        for port in self.ports:
            until(functools.partial(self.do, functools.partial(getattr, port, "empty")))
        self.listener.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(120)
        self.loop.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.end()


@pytest.fixture
def channel(place: Place) -> Iterator[grpc.Channel]:
    place.open()
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(place.target, options=options) as found:
        yield found


def asking(channel: grpc.Channel, method: str = "echo") -> Any:
    return channel.unary_unary(f"/e.E/{method}")


def failure(call: Any, *arguments: Any, **more: Any) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **{"timeout": 120} | more)
    return caught.value


def test_a_call_is_answered_with_trailing_metadata(channel: grpc.Channel) -> None:
    answer, call = asking(channel).with_call(b"\0hello", timeout=120, metadata=(("word", "yes"), ("x-bin", b"\xff")))
    assert (answer, dict(call.trailing_metadata())) == (b"\0hello", {"port": "first", "said": "yes"})


def test_an_empty_message_is_a_message(channel: grpc.Channel) -> None:
    assert asking(channel)(b"", timeout=120) == b""


def test_a_refusal_bears_code_text_and_metadata(channel: grpc.Channel) -> None:
    error = failure(asking(channel, "refused"), b"")
    assert (error.code(), error.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "größer - at $[3].fare_yen")
    assert ("path", "$") in [tuple(pair) for pair in error.trailing_metadata()]


def test_a_method_that_raises_is_an_internal_error_without_details(place: Place, channel: grpc.Channel) -> None:
    error = failure(asking(channel, "broken"), b"")
    assert error.code() == grpc.StatusCode.INTERNAL
    assert "private" not in error.details()
    assert "a private detail" in place.log.read_text()


def test_an_unknown_method_is_unimplemented(channel: grpc.Channel) -> None:
    assert failure(asking(channel, "nothing"), b"").code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_message_over_the_limit_is_refused_and_the_next_is_answered(channel: grpc.Channel) -> None:
    assert failure(asking(channel), b"x" * 100_001).code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(asking(channel)(b"x" * 99_000, timeout=120)) == 99_000


def test_too_much_metadata_is_refused_and_the_next_call_is_answered(channel: grpc.Channel) -> None:
    assert failure(asking(channel), b"", metadata=(("a", "x" * 20_000),)).code() in (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
    )
    assert asking(channel)(b"next", timeout=120) == b"next"


def test_the_deadline_is_known_and_when_it_is_over_the_call_is_done(place: Place, channel: grpc.Channel) -> None:
    assert failure(asking(channel, "held"), b"", timeout=1.0).code() == grpc.StatusCode.DEADLINE_EXCEEDED
    (call,) = place.calls
    within = place.do(lambda: call.within_s)
    assert within is not None and 0 <= within < 1.01  # grpcio's clients round up what they ask for
    until(lambda: place.do(lambda: call.done))
    place.do(lambda: call.reply(b"late"))  # says nothing to anybody


def test_without_a_deadline_there_is_none(place: Place, channel: grpc.Channel) -> None:
    asked = asking(channel, "held").future(b"")
    until(lambda: place.calls)
    assert place.do(lambda: place.calls[0].within_s) is None
    place.do(lambda: place.calls[0].reply(b"now"))
    assert asked.result(120) == b"now"


def test_a_call_that_its_client_gave_up_is_done(place: Place, channel: grpc.Channel) -> None:
    asked = asking(channel, "held").future(b"")
    until(lambda: place.calls)
    asked.cancel()
    until(lambda: place.do(lambda: place.calls[0].done))


def test_calls_are_answered_in_any_order(place: Place, channel: grpc.Channel) -> None:
    asked = [asking(channel, "held").future(b"") for _ in range(200)]
    until(lambda: len(place.calls) == 200)
    for index in reversed(range(200)):
        place.do(functools.partial(place.calls[index].reply, b"%d" % index))
    assert sorted(int(one.result(120)) for one in asked) == list(range(200))


def test_a_streaming_method_is_carried_too(channel: grpc.Channel) -> None:
    assert list(channel.unary_stream("/s.S/count")(b"", timeout=120)) == [b"0", b"1", b"2"]


def test_after_stop_a_begun_call_is_finished(place: Place, channel: grpc.Channel) -> None:
    asked = asking(channel, "held").future(b"", timeout=120)
    until(lambda: place.calls)
    states: list[grpc.ChannelConnectivity] = []
    channel.subscribe(states.append)
    until(lambda: states)
    place.do(place.ports[0].stop)
    until(lambda: states[-1] is not grpc.ChannelConnectivity.READY)
    assert not place.do(lambda: place.ports[0].empty)
    place.do(lambda: place.calls[0].reply(b"finished"))
    assert asked.result(120) == b"finished"
    until(lambda: place.do(lambda: place.ports[0].empty))


def test_what_is_cut_is_unavailable(place: Place, channel: grpc.Channel) -> None:
    asked = asking(channel, "held").future(b"", timeout=120)
    until(lambda: place.calls)
    place.do(place.ports[0].stop)
    place.do(place.ports[0].cut)
    assert asked.exception(120).code() == grpc.StatusCode.UNAVAILABLE


def test_a_client_that_was_sent_away_finds_the_next_port(place: Place, channel: grpc.Channel) -> None:
    assert dict(asking(channel).with_call(b"", timeout=120)[1].trailing_metadata())["port"] == "first"
    place.do(place.ports[0].stop)
    until(lambda: place.do(lambda: place.ports[0].empty))
    place.open("second")
    answer = asking(channel).with_call(b"", timeout=120, wait_for_ready=True)
    assert dict(answer[1].trailing_metadata())["port"] == "second"


def test_connections_made_while_nobody_accepts_wait_for_the_next_port(place: Place) -> None:
    first = place.open()
    place.do(first.stop)
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.insecure_channel(place.target, options=options) for _ in range(20)]
    with ThreadPoolExecutor(20) as threads:
        asked = [threads.submit(asking(one).with_call, b"hi", timeout=120) for one in channels]
        until(lambda: backlog(int(place.target.rpartition(":")[2])) == len(channels))
        place.open("second")
        found = {dict(one.result(120)[1].trailing_metadata())["port"] for one in asked}
    for one in channels:
        one.close()
    assert found == {"second"}


def test_two_ports_share_one_listening_socket(place: Place) -> None:
    place.open("first")
    place.open("second")
    seen: set[Any] = set()
    for _ in range(200):
        with grpc.insecure_channel(place.target, options=[("grpc.use_local_subchannel_pool", 1)]) as one:
            seen.add(dict(asking(one).with_call(b"", timeout=120)[1].trailing_metadata())["port"])
        if len(seen) == 2:
            break
    place.do(place.ports[0].stop)
    with grpc.insecure_channel(place.target, options=[("grpc.use_local_subchannel_pool", 1)]) as one:
        answer = asking(one).with_call(b"", timeout=120, wait_for_ready=True)
    assert dict(answer[1].trailing_metadata())["port"] == "second"


def test_a_port_that_was_never_started_can_be_stopped(place: Place) -> None:
    events = EventLog(clock.system, str(place.log))
    made = place.do(lambda: Port(place.loop, events, place.listener.dup(), {}, {}, SETTINGS))
    place.do(made.stop)
    until(lambda: place.do(lambda: made.empty))
