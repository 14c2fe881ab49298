"""Where a function stands in the project's files."""

from __future__ import annotations

import inspect
import linecache
import re
from pathlib import Path
from typing import Any, cast


def place_of(function: object) -> str:
    """Where a function stands: its file, as seen from the folder of its top package, and its line.

    >>> place_of(place_of).partition(":")[0]
    'funade/declare/place.py'
    """
    code = getattr(inspect.unwrap(cast(Any, function)), "__code__", None)
    if code is None:
        return ""
    depth = str(getattr(function, "__module__", "")).count(".") + 1
    path = Path(code.co_filename)
    if path.stem == "__init__":
        depth += 1
    first = code.co_firstlineno
    line = first if code.co_name == "<lambda>" else _def_line(code.co_filename, first)
    return f"{'/'.join(path.parts[-depth:])}:{line}"


def _def_line(file: str, first: int) -> int:
    """The line of ``def`` itself; a code object starts at its first decorator."""
    linecache.checkcache(file)
    for number in range(first, first + 60):
        line = linecache.getline(file, number)
        if line.lstrip().startswith(("def ", "async def ")):
            return number
        if not line:
            break
    return first


def shadowed(function: object, earlier: object) -> bool:
    """Whether the later function took the earlier one's name in the same file, so that nothing reaches the earlier.

    A module that is imported again defines one function, at another line perhaps: it shadows nothing.
    """
    now, was = (getattr(inspect.unwrap(cast(Any, f)), "__code__", None) for f in (function, earlier))
    if now is None or was is None or now.co_filename != was.co_filename or "." in now.co_qualname:
        return False
    first, second = (_def_line(code.co_filename, code.co_firstlineno) for code in (was, now))
    line = linecache.getline(now.co_filename, first)
    return first != second and re.match(rf"(async )?def {now.co_name}\b", line) is not None
