"""Serve a project with one worker that makes one call for each request: ``python unbatched.py FOLDER PORT``."""

from __future__ import annotations

import sys

import funade as fn
from funade import clock
from funade.serve.limits import Limits
from funade.serve.supervisor import Serve, serve


def main(folder: str, port: int) -> None:
    store = fn.open(folder).store

    def current() -> tuple[int, int] | None:
        switch = store.metadata.current()
        return (switch.generation, switch.after) if switch else None

    argument = {"store": str(store.root)}
    limits = Limits(batch_rows=1)
    serve(Serve("funade.bind:load_release", argument, port=port, workers=1, limits=limits), current, clock=clock.system)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
