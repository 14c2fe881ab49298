"""Serve a project with one worker that lacks something: ``python variants.py FOLDER PORT unbatched|uncounted``.

``unbatched`` makes one call for each request; ``uncounted`` keeps no prediction log and counts nothing for /metrics.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import funade as fn
from funade import clock
from funade.bind.release import LoadedRelease, load_release
from funade.serve.limits import Limits
from funade.serve.settings import ServerSettings
from funade.serve.supervise.supervisor import serve


def uncounted(argument: dict[str, Any]) -> LoadedRelease:
    """The release, in a worker that counts nothing."""
    from funade.serve.metrics.meter import Meter

    Meter.batch = lambda self, entry: None  # type: ignore[method-assign]
    return load_release(argument)


def main(folder: str, port: int, variant: str) -> None:
    store = fn.open(folder).store

    def current() -> tuple[int, int] | None:
        switch = store.metadata.current()
        return (switch.generation, switch.after) if switch else None

    argument = {"store": store.address}
    settings = ServerSettings(
        "variants:uncounted" if variant == "uncounted" else "funade.bind.release:load_release",
        argument,
        port=port,
        workers=1,
        limits=Limits(batch_rows=1) if variant == "unbatched" else Limits(),
        store="" if variant == "uncounted" else store.address,
        folder="" if variant == "uncounted" else str(store.local / "serve"),
    )
    serve(settings, current, clock=clock.system)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
