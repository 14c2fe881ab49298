from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support import toy

LONG = """\
    print('fitting')
    import time
    for _ in range(6000):
        if Path({!r}).exists():
            break
        time.sleep(0.02)
"""
"""Goes on until a file is there, two minutes at most."""

TWO_SECONDS = re.compile(rb"0:(00:0[2-9]|00:[1-5]|0[1-9])")
"""A step has run for two seconds or more."""


@pytest.mark.slow
def test_one_long_step_is_seen_to_run_and_its_log_holds_only_what_it_said(root: Path, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    toy.load(toy.project(root))
    list(toy.project(root).build("clean"))
    toy.edit(root, "nodes", "    x = feature(rows", LONG.format(str(seen)) + "    x = feature(rows")
    reading, writing = pty.openpty()
    command = [sys.executable, "-m", "funade", "-C", str(root), "--at", "2022-01-31T12:00", "build", "line"]
    done = subprocess.Popen(command, stdin=writing, stdout=writing, stderr=writing)
    os.close(writing)
    shown = b""
    with contextlib.suppress(OSError):  # the other end closes when the command ends
        while part := os.read(reading, 1 << 16):
            shown += part
            if TWO_SECONDS.search(shown):
                seen.touch()
    os.close(reading)

    assert done.wait() == 0
    before, _, after = shown.partition(b"built line@")
    assert b"building" in before and TWO_SECONDS.search(before)
    assert after
    (made,) = toy.project(root).store.metadata.builds("line")
    assert toy.project(root).store.blobs.read(made.log) == b"fitting\n"
