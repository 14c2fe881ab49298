"""The OpenAPI document and the server agree: schemathesis asks what the document admits, and what it does not."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from support import stock
from support.release import TENSORS
from support.server import Running


def _cases(running: Running, each: int, seed: int) -> int:
    """How many cases were asked; each answered as the document says."""
    print("seed", seed)
    running.serving(1)
    told = stock.ask("openapi_cases.py", f"http://127.0.0.1:{running.port}/openapi.json", each, seed, timeout=1800.0)
    assert running.events("defect") == []
    assert [(event["api"], event["error"]) for event in running.events("api failed")] == []
    found = re.search(r"(\d+) generated", told)
    assert found is not None, told
    return int(found[1])


@pytest.fixture
def running(run: Callable[..., Running], tmp_path: Path) -> Running:
    return run(workers=1, apis=TENSORS)


def test_a_few_hundred_cases_are_answered_as_the_document_says(running: Running) -> None:
    assert _cases(running, 10, 20261121) >= 300


@pytest.mark.slow
def test_five_thousand_cases_find_no_500_and_nothing_that_the_document_does_not_say(running: Running) -> None:
    assert _cases(running, 515, random.SystemRandom().randrange(2**32)) >= 5000
