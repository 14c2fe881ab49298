"""Processes that answer use one thread in numeric libraries, unless the environment says otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from funade import threads

ASK = "import os; from funade import threads; threads.one(); print(*(os.environ[n] for n in threads.NAMES))"


@pytest.mark.parametrize("given", [{}, {"OMP_NUM_THREADS": "4"}])
def test_one_thread_unless_the_environment_says_otherwise(given: dict[str, str]) -> None:
    bare = {name: value for name, value in os.environ.items() if name not in threads.NAMES}
    told = subprocess.run([sys.executable, "-c", ASK], env=bare | given, capture_output=True, text=True, check=True)
    assert told.stdout.split() == [given.get(name, "1") for name in threads.NAMES]
