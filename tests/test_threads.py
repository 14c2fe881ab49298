"""Processes that answer use one thread in numeric libraries, unless the environment says otherwise."""

from __future__ import annotations

import os

import pytest

from funade import threads


@pytest.mark.parametrize("given", [{}, {"OMP_NUM_THREADS": "4"}])
def test_one_thread_unless_the_environment_says_otherwise(
    given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in threads.NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    found = threads.environment()
    assert [found[name] for name in threads.NAMES] == [given.get(name, "1") for name in threads.NAMES]
    assert found.items() >= os.environ.items()
