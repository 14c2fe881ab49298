"""A store's address: the text that names a store to every process, ``sqlite:/absolute/folder``."""

from __future__ import annotations

import re
from pathlib import Path

from funade.errors import StoreError

_SCHEME = re.compile("[a-z][a-z0-9+]+:")


def of_folder(folder: Path) -> str:
    """The address of the store in a folder."""
    return f"sqlite:{folder.absolute()}"


def resolved(text: str, root: Path) -> str:
    """The address that a project in ``root`` means: an address, or a folder relative to ``root``."""
    return text if _SCHEME.match(text) else of_folder(root / text)


def folder_of(address: str) -> Path:
    """The folder that a ``sqlite:`` address names.

    Raises:
        StoreError: it is none, or its folder is relative.
    """
    scheme, _, folder = address.partition(":")
    if scheme != "sqlite" or not Path(folder).is_absolute():
        raise StoreError(f"store expected an address like `sqlite:/absolute/folder`, got `{address}`")
    return Path(folder)
