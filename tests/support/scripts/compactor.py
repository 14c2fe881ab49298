"""A compactor for tests: ``python compactor.py FOLDER [POINT [TIMES]]`` looks until nothing is left, and joins.

Stops at the commit point POINT when it is passed for the TIMES-th time.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from funade import points
from funade.predictions import compactor


def main(folder: str, point: str = "", times: str = "1") -> None:
    left = int(times)

    def passing(name: str) -> None:
        nonlocal left
        left -= name == point
        if name == point and left == 0:
            os._exit(7)

    points.watch = passing
    keeping = compactor.Compactor(Path(folder))
    while keeping.look():
        pass
    compactor._MANY = 2
    keeping.tidy(time.time() + 3600)
    keeping.tidy(time.time() + 7200)
    assert not list(Path(folder, "open").glob("*.wal"))


if __name__ == "__main__":
    main(*sys.argv[1:])
