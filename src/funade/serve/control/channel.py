"""A control socket: framed messages, each with at most one open file, between supervisor and worker."""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import socket
import struct
from collections import deque
from collections.abc import Callable

import msgspec

from funade.serve.control.messages import Message

_HEAD = struct.Struct("<IB")
_PIECE = 256 * 1024
_MOST_FILES = 64

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


class Channel:
    """One end of a socket pair on an event loop; messages arrive in the order they were sent.

    ``open`` turns false when the other end is gone or ``close`` was called.

    Args:
        sock: a connected Unix stream socket; the channel owns it.
        loop: the loop whose thread calls every method.
        heard: called with each message and its file, or None.
        ended: called once when the other end is gone.
    """

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        heard: Callable[[Message, int | None], None],
        ended: Callable[[], None],
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = loop
        self._heard = heard
        self._ended = ended
        self._read = bytearray()
        self._files: deque[int] = deque()
        self._unsent: deque[tuple[bytes, int | None]] = deque()
        self.open = True
        loop.add_reader(sock.fileno(), self._readable)

    def send(self, message: Message, file: int | None = None) -> None:
        """Send a message; ``file`` now belongs to the channel, which closes it once it is sent."""
        if not self.open:
            _close(file)
            return
        body = _encode(message)
        self._unsent.append((_HEAD.pack(len(body), file is not None) + body, file))
        if len(self._unsent) == 1:
            self._flush()

    def close(self) -> None:
        """Let go of the socket and of every file not yet sent or taken."""
        if not self.open:
            return
        self.open = False
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        for file in [*self._files, *(f for _, f in self._unsent)]:
            _close(file)
        self._files.clear()
        self._unsent.clear()

    @property
    def empty(self) -> bool:
        """Whether everything sent has left this process."""
        return not self._unsent

    def _flush(self) -> None:
        while self._unsent:
            data, file = self._unsent[0]
            extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file]))] if file is not None else []
            try:
                sent = self._sock.sendmsg([data], extra)
            except (BlockingIOError, InterruptedError):
                self._loop.add_writer(self._sock.fileno(), self._flush)
                return
            except OSError:
                self._end()
                return
            if sent < len(data):
                self._unsent[0] = (data[sent:], None)  # the file went with the first byte
            else:
                self._unsent.popleft()
            _close(file)
        self._loop.remove_writer(self._sock.fileno())

    def _readable(self) -> None:
        space = socket.CMSG_SPACE(_MOST_FILES * 4)
        try:
            data, extras, flags, _ = self._sock.recvmsg(_PIECE, space)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data, extras, flags = b"", [], 0
        for level, kind, content in extras:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                files = array.array("i")
                files.frombytes(content[: len(content) // 4 * 4])
                self._files.extend(files)
        if not data or flags & socket.MSG_CTRUNC:  # with a file lost, the next would go with another's bytes
            self._end()
            return
        self._read += data
        self._parse()

    def _parse(self) -> None:
        while self.open and len(self._read) >= _HEAD.size:
            size, with_file = _HEAD.unpack_from(self._read)
            end = _HEAD.size + size
            if len(self._read) < end:
                return
            message = _decode(bytes(self._read[_HEAD.size : end]))
            del self._read[:end]
            self._heard(message, self._files.popleft() if with_file else None)

    def _end(self) -> None:
        if self.open:
            self.close()
            self._ended()


def _close(file: int | None) -> None:
    if file is not None:
        with contextlib.suppress(OSError):
            os.close(file)
