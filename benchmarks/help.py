"""``funade --help``, from process start to end, beside a bare interpreter that imports click and sqlite3."""

from __future__ import annotations

from pathlib import Path

from measure import HERE, Row, alternate, process

GOAL = "≤ 70 ms"
TITLE = "`funade --help`"


def run(scratch: Path, runs: int) -> list[Row]:
    return alternate(
        2 * runs,
        funade_help=process([str(HERE / "funade"), "--help"], scratch),
        python_importing_click_and_sqlite3=process([str(HERE / "python"), "-c", "import click, sqlite3"], scratch),
    )
