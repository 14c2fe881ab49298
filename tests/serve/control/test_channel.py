"""Messages and open files arrive whole, in order, and no file is left open."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

from funade.serve.control.channel import Channel
from funade.serve.control.messages import Message, Take


def _opened() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_files_arrive_with_their_messages_however_large() -> None:
    async def exchange() -> list[tuple[bytes, bytes]]:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        got: list[tuple[bytes, bytes]] = []
        done = loop.create_future()

        def heard(message: Message, file: int | None) -> None:
            assert isinstance(message, Take) and file is not None
            got.append((message.unread, os.read(file, 10)))
            os.close(file)

        sender = Channel(ours, loop, lambda *_: None, lambda: None)
        receiver = Channel(theirs, loop, heard, lambda: done.set_result(None))
        for i in range(200):
            read, write = os.pipe()
            os.write(write, b"%d" % i)
            os.close(write)
            sender.send(Take(b"%d" % i * (1 + i * 100)), read)
        while not sender.empty:
            await asyncio.sleep(0.001)
        sender.close()
        await done
        assert not receiver.open
        return got

    before = _opened()
    got = asyncio.run(exchange())
    assert [unread for unread, _ in got] == [b"%d" % i * (1 + i * 100) for i in range(200)]
    assert [content for _, content in got] == [b"%d" % i for i in range(200)]
    assert _opened() == before


def test_files_that_nobody_takes_are_closed() -> None:
    async def drop() -> None:
        ours, theirs = socket.socketpair()
        channel = Channel(ours, asyncio.get_running_loop(), lambda *_: None, lambda: None)
        for _ in range(50):
            channel.send(Take(b"x" * 50_000), os.open("/dev/null", os.O_RDONLY))
        channel.close()
        channel.send(Take(b""), os.open("/dev/null", os.O_RDONLY))
        theirs.close()

    before = _opened()
    asyncio.run(drop())
    assert _opened() == before
