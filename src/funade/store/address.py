"""A store's address: the text that names a store to every process, and the engine that keeps such stores."""

from __future__ import annotations

import re
from pathlib import Path

from funade.errors import StoreError

ENGINES = {
    "sqlite": "funade.engines.embedded",
    "memory": "funade.testing.store",
}
"""What an address begins with → the module whose ``open_store(address, clock)`` opens it, imported when named."""

_SCHEME = re.compile("([a-z][a-z0-9+]+):")


def of_folder(folder: Path) -> str:
    """The address of the store in a folder: ``sqlite:/absolute/folder``."""
    return f"sqlite:{folder.absolute()}"


def resolved(text: str, root: Path) -> str:
    """The address that a project in ``root`` means: an address, or a folder relative to ``root``."""
    return text if _SCHEME.match(text) else of_folder(root / text)


def engine(address: str) -> str:
    """The module that opens such stores.

    Raises:
        StoreError: there is none; what stands behind the address's beginning may hold a password and is not told.
    """
    scheme = _SCHEME.match(address)
    if scheme is None or scheme[1] not in ENGINES:
        known = ", ".join(f"`{name}:`" for name in ENGINES)
        shown = f"{scheme[0]}…" if scheme else address
        what = f"store expected an address that begins with {known}, got `{shown}`"
        raise StoreError(what, do=f"if it is a folder's name, write `./{shown}` under [store]")
    return ENGINES[scheme[1]]
