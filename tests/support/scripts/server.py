"""A server under test: ``python server.py FOLDER SETTINGS [POINT]`` follows the file FOLDER/current."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from funade import clock, points
from funade.errors import FunadeError
from funade.serve.settings import ServerSettings
from funade.serve.supervise.supervisor import serve


def main(folder: Path, settings: ServerSettings, point: str) -> None:
    def current() -> tuple[int, int] | None:
        text = (folder / "current").read_text()
        generation, release = text.split() if text else ("", "")
        return (int(generation), int(release)) if text else None

    def passing(name: str) -> None:
        if name == point and (folder / "armed").exists():
            os._exit(7)

    points.watch = passing
    try:
        serve(settings, current, clock=clock.system)
    except FunadeError as error:
        sys.exit(error.line())


if __name__ == "__main__":
    main(Path(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=ServerSettings), sys.argv[3])
