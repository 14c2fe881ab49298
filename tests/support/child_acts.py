"""What a child under test does: ``python -P -m support.child_acts``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import msgspec

from funade.errors import BuildFailed, GateClosed
from funade.process.child import Ready
from funade.process.parent import Parent, run


class Act(msgspec.Struct, frozen=True):
    """The settings: what to do, and with what."""

    name: str
    text: str = ""
    files: tuple[int, ...] = ()


class Text(msgspec.Struct, frozen=True, tag="text"):
    """Both ways: some text."""

    text: str


def _echo(act: Act, parent: Parent) -> None:
    parent.send(Ready())
    while (message := parent.hear(Text)) is not None:
        parent.send(message)


def _surroundings(act: Act, parent: Parent) -> None:
    facts = [os.getcwd(), str(os.getsid(0) == os.getpid()), str(sys.flags.safe_path), " ".join(sys.orig_argv[1:])]  # noqa: PTH109
    files = [os.read(file, 100).decode() for file in act.files]
    parent.send(Text("\n".join([*facts, *files])))


def _noise(act: Act, parent: Parent) -> None:
    print("printed")
    os.write(1, b"written\n")
    subprocess.run(["echo", "echoed"], check=True)
    parent.send(Text(sys.stdin.read() + "quiet"))


def _fails(act: Act, parent: Parent) -> None:
    raise ValueError("no such fare\nand more")


class Mute(Exception):
    """An error that cannot be told."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def _fails_oddly(act: Act, parent: Parent) -> None:
    odd = "caf\udce9.csv"  # a file's name in Latin-1, as Python reads it
    raise {"odd": ValueError(odd), "mute": Mute(), "ours": BuildFailed(odd, at=odd, traceback=odd)}[act.text]


def _refuses(act: Act, parent: Parent) -> None:
    raise BuildFailed("model `m` expected to be built, got 3", at="m.py:2", do="mend it", traceback="line 2", rows=7)


def _refuses_oddly(act: Act, parent: Parent) -> None:
    class Narrower(GateClosed):
        """No class of funade's own."""

    raise Narrower("gate expected more, got less", findings=({1, 2}, b"\xff", object))


def _exits(act: Act, parent: Parent) -> None:
    print("the last word", flush=True)
    os._exit(3)


def _breaks_off(act: Act, parent: Parent) -> None:
    os.write(parent._out, b'{"type":"text","text":"whole"}\n{"type":"text","te')
    os.kill(os.getpid(), 9)


def _closes(act: Act, parent: Parent) -> None:
    os.close(parent._out)
    os.read(act.files[0], 1)  # until the test lets go


def _leaves_one_behind(act: Act, parent: Parent) -> None:
    if os.fork() == 0:
        os.read(act.files[0], 1)
    os._exit(0)


ACTS: dict[str, Callable[[Act, Parent], None]] = {
    "echo": _echo,
    "surroundings": _surroundings,
    "noise": _noise,
    "fails": _fails,
    "fails oddly": _fails_oddly,
    "refuses": _refuses,
    "refuses oddly": _refuses_oddly,
    "exits": _exits,
    "breaks off": _breaks_off,
    "closes": _closes,
    "leaves one behind": _leaves_one_behind,
}


def main(act: Act, parent: Parent) -> None:
    """Do it."""
    ACTS[act.name](act, parent)


if __name__ == "__main__":
    run(main, Act)
