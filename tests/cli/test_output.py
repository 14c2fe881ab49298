from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from support import toy


@pytest.mark.slow
def test_one_long_step_is_seen_to_run_and_its_log_holds_only_what_it_said(root: Path) -> None:
    toy.load(toy.project(root))
    list(toy.project(root).build("clean"))
    toy.edit(
        root, "nodes", "    x = feature(rows", "    print('fitting'); import time; time.sleep(3)\n    x = feature(rows"
    )
    reading, writing = pty.openpty()
    command = [sys.executable, "-m", "funade", "-C", str(root), "--at", "2022-01-31T12:00", "build", "line"]
    done = subprocess.Popen(command, stdin=writing, stdout=writing, stderr=writing)
    os.close(writing)
    shown = b""
    with contextlib.suppress(OSError):  # the other end closes when the command ends
        while part := os.read(reading, 1 << 16):
            shown += part
    os.close(reading)

    assert done.wait() == 0
    before, _, after = shown.partition(b"built line@")
    assert b"building" in before and b"0:00:02" in before
    assert after
    (made,) = toy.project(root).store.metadata.builds("line")
    assert toy.project(root).store.blobs.read(made.log) == b"fitting\n"
