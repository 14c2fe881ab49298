"""Servers for tests; none outlives its test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import debian
from support.doors_project import released
from support.server import Running
from support.situations import MORE


def ended(running: Running) -> None:
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait()
    if running.process.stderr is not None:
        running.process.stderr.close()
    if (running.folder / "log").exists():
        assert running.events("defect") == []


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts a server in a folder of its own."""
    started: list[Running] = []

    def start(**given: Any) -> Running:
        started.append(Running(tmp_path / str(len(started)), **given))
        return started[-1]

    yield start
    for running in started:
        ended(running)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server with one worker for all tests of a module."""
    running = Running(tmp_path_factory.mktemp("server"), workers=1)
    running.serving(1)
    yield running
    ended(running)


@pytest.fixture(scope="session")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released project whose rows go wrong as ``support.situations`` says."""
    return released(tmp_path_factory.mktemp("failing") / "project", MORE)


@pytest.fixture(scope="session")
def prometheus() -> str:
    """The program of Debian's Prometheus."""
    return debian.installed("prometheus", "prometheus")


@pytest.fixture(scope="session")
def haproxy() -> str:
    """The program of Debian's HAProxy."""
    return debian.installed("haproxy", "haproxy")
