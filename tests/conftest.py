"""Fixtures for every test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from support import toy

pytest_plugins = ["support.fixtures"]

settings.register_profile("default", deadline=None)
settings.load_profile("default")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with the toy project."""
    return toy.write(tmp_path / "project")


@pytest.fixture(autouse=True)
def _same_path() -> Iterator[None]:
    """Projects put themselves on the import path; the next test starts without them."""
    before = list(sys.path)
    yield
    sys.path[:] = before
