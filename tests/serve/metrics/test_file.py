"""Counts of several workers: exact whatever dies, and when."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from funade.serve.metrics import file as metrics_file
from funade.serve.metrics.file import begun, clear, total
from funade.serve.metrics.meter import Meter
from support.wait import until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    clear(tmp_path / "8080")
    return tmp_path / "8080"


def refuse(meter: Meter, times: int) -> None:
    for _ in range(times):
        meter.refused("eta", 422, "http")
    meter.tick({"eta": 3})


def refused(folder: Path) -> int:
    return sum(counters.requests.get("http 422", 0) for counters in total(folder).apis.values())


def test_living_and_ended_workers_are_added(folder: Path) -> None:
    first, second = Meter("a" * 12, folder, ["eta"]), Meter("b" * 12, folder, ["eta", "plain"])
    refuse(first, 2)
    refuse(second, 3)
    assert (refused(folder), total(folder).ended) == (5, 0)
    assert total(folder).pids == (os.getpid(), os.getpid())
    assert total(folder).apis["eta"].waiting == 6
    first.close()
    for _ in range(2):  # the first look folds it, the second reads what was folded
        found = total(folder)
        assert (refused(folder), found.ended, found.pids, found.apis["eta"].waiting) == (5, 1, (os.getpid(),), 3)
    second.close()
    assert (refused(folder), total(folder).ended, total(folder).pids) == (5, 2, ())
    assert not list(folder.glob("*.counts"))


def test_a_new_server_counts_from_zero_whatever_workers_of_the_last_one_still_do(folder: Path) -> None:
    orphan = Meter("a" * 12, folder, ["eta"])
    refuse(orphan, 2)
    before = time.time()
    clear(folder)
    refuse(orphan, 2)
    assert total(folder).apis == {}
    assert begun(folder) >= before - 1


def test_a_death_between_adding_and_removing_doubles_nothing(folder: Path) -> None:
    meter = Meter("a" * 12, folder, ["eta"])
    refuse(meter, 2)
    meter.close()
    (file,) = folder.glob("*.counts")
    kept = file.read_bytes()
    assert refused(folder) == 2
    file.write_bytes(kept)  # as if the remover had died just before
    assert refused(folder) == 2
    assert not file.exists()
    later = Meter("b" * 12, folder, ["eta"])
    refuse(later, 1)
    later.close()
    assert refused(folder) == 3


def test_a_half_written_place_leaves_the_one_before(folder: Path) -> None:
    meter = Meter("a" * 12, folder, ["eta"])
    refuse(meter, 2)
    refuse(meter, 2)
    (file,) = folder.glob("*.counts")
    with file.open("r+b") as half:
        half.seek(metrics_file._PLACE * (meter._file._turn % 2) + 40)  # type: ignore[union-attr]
        half.write(b"\xff\xff\xff")
    assert refused(folder) == 2
    meter.close()


WORKER = """
import sys, time
from funade.serve.metrics.meter import Meter
meter = Meter(sys.argv[2], sys.argv[1], ["eta"])
while True:
    meter.refused("eta", 422, "http")
    meter.keep()
    print("x", flush=True)
"""


@pytest.mark.slow
def test_counts_never_fall_and_lose_only_what_was_not_kept_when_workers_are_killed(folder: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print("seed", seed)
    draw = random.Random(seed)
    told = 0
    last = 0
    for number in range(6):
        pair = [
            subprocess.Popen(
                [sys.executable, "-c", WORKER, str(folder), f"{number:06}{n:06}"], stdout=subprocess.PIPE, text=True
            )
            for n in range(2)
        ]
        try:
            until(lambda: len(total(folder).pids) == 2 or None)
            ends = time.monotonic() + draw.random() * 0.3
            while time.monotonic() < ends:
                now = refused(folder)
                assert now >= last
                last = now
        finally:
            for process in pair:
                process.send_signal(signal.SIGKILL)
                told += len(process.communicate()[0].splitlines())
        now = refused(folder)
        assert now >= max(last, told)
        assert now <= told + 2 * (number + 1)  # each may have kept one count more than it could tell of
        last = now
    assert (total(folder).ended, total(folder).pids) == (12, ())
