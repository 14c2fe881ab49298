"""What a project's configuration calls its store, and which engine opens it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from funade.errors import StoreError
from funade.store import address
from funade.store.store import Store


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (".funade", "sqlite:/data/taxi/.funade"),
        ("/data/store", "sqlite:/data/store"),
        ("sqlite:/data/store", "sqlite:/data/store"),
        ("memory:toy", "memory:toy"),
        ("a:b", "sqlite:/data/taxi/a:b"),
        ("./data:v2", "sqlite:/data/taxi/data:v2"),
    ],
)
def test_a_path_is_a_folder_of_the_project_unless_it_is_an_address(text: str, meant: str) -> None:
    assert address.resolved(text, Path("/data/taxi")) == meant


@pytest.mark.parametrize("scheme", address.ENGINES)
def test_every_engine_opens_stores(scheme: str) -> None:
    assert callable(import_module(address.engine(f"{scheme}:x")).open_store)


def test_a_store_in_a_folder_is_opened_by_its_address_and_makes_nothing(tmp_path: Path) -> None:
    where = address.of_folder(tmp_path / "store")
    assert Store.open(where).address == where
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("text", "shown"),
    [("oracle://taxi:secret@there", "oracle:…"), ("data:v2", "data:…"), ("folder", "folder"), ("", "")],
)
def test_an_address_that_no_engine_opens_is_refused_without_what_it_may_hide(text: str, shown: str) -> None:
    with pytest.raises(StoreError) as refused:
        Store.open(text)
    assert refused.value.line() == (
        f"StoreError: store expected an address that begins with `sqlite:`, `memory:`, got `{shown}`; "
        f"if it is a folder's name, write `./{shown}` under [store]"
    )
