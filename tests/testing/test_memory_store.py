"""A project whose store is in memory: what it can do in one process, and what it says it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from funade.bind.golden import answer_golden
from funade.bind.release import load_release
from funade.errors import FunadeError, Misuse, StoreError
from funade.project.project import Project
from funade.store.fsck import fsck
from funade.store.records import Release
from funade.store.store import Store
from funade.testing import memory_store
from support import toy


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Project]:
    toy.write(tmp_path)
    (tmp_path / "funade.toml").write_text(toy.TOML + '[store]\npath = "memory:toy"\n')
    with memory_store("toy"):
        yield toy.project(tmp_path)


def built(here: Project) -> None:
    assert toy.load(here, "2022-01-01", "2022-01-30") == 30
    assert list(here.build())


def test_a_project_loads_builds_stages_releases_and_answers_in_memory(here: Project) -> None:
    built(here)
    candidate = here.stage()
    here.store.metadata.release_and_switch(
        Release(0, candidate.id, candidate.pins, here.clock(), "ann"),
        expected_generation=0,
        expected_candidate=candidate.id,
        ended_holds=(),
        who="ann",
        because="",
    )
    loaded = load_release({"store": here.store.address, "release": 1})
    (answer,) = answer_golden(loaded.apis["judge"], [{"x": 2.0}]).answers
    assert answer == {"score": 6.0, "high": False}
    assert here.released() == candidate.pins
    assert here.sql("SELECT count(*) AS n FROM clean", form="arrow").to_pylist() == [{"n": 1500}]
    assert fsck(here.store.metadata, here.store.blobs) == []
    assert not (here.root / ".funade").exists()


def test_the_gate_cannot_judge_what_is_in_memory_and_says_why(here: Project) -> None:
    built(here)
    here.stage()
    with pytest.raises(FunadeError, match="store expected `memory:toy` to be of this process, got none"):
        here.release()
    assert here.current() is None


def test_a_store_in_memory_is_gone_with_its_block() -> None:
    with memory_store("gone") as store:
        assert Store.open("memory:gone") is store
        with pytest.raises(Misuse, match=r"^memory_store expected a name of its own, got `gone`$"):
            memory_store("gone").__enter__()
    with pytest.raises(StoreError) as refused:
        Store.open("memory:gone")
    assert refused.value.line() == (
        "StoreError: store expected `memory:gone` to be of this process, got none; see funade.testing"
    )
    assert not store.local.exists()


def test_the_address_of_a_relative_folder_is_refused() -> None:
    with pytest.raises(StoreError, match=r"^store expected an address like `sqlite:/absolute/folder`, got"):
        Store.open("sqlite:here")
