"""Bad rows in bad surroundings, and what each means, whatever the door: ``SITUATIONS`` is the table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

from support.doors import Doors, Row
from support.doors_project import TOML
from support.exchanges import Connection
from support.metrics import summed
from support.wait import until

CHECKED = '''
"""An api whose contract has a check of its own, which fails."""
import os
import msgspec
import funade as fn

class Checked(msgspec.Struct):
    ride: int
    km: float = 1.0

    def __post_init__(self):
        trap = os.path.join(os.environ.get("DOORS_GATES", ""), "trap")
        if self.km == 13 or (self.km == 14 and os.path.exists(trap)):
            raise RuntimeError("a private detail")

class Length(msgspec.Struct):
    km: float

@fn.api(fn.takes(Checked), fn.gives(Length), fn.fallback(km=0.0), fn.owner("drivers"))
def checked(batch: fn.Columns) -> fn.Columns:
    return {"km": batch["km"]}
'''
MORE = {"doors/checked.py": CHECKED, "funade.toml": TOML.replace("tries = 1", "tries = 1\nmost = 3")}

WAITING_ROWS = 8192
"""Rows that may wait for an api whose speed is not known yet."""

_RIDE: Row = {"ride": 0, "km": 5.0, "demand": 1.0, "zone": "centre"}
GOOD: dict[str, Row] = {
    "cook": {"dishes": 2, "spice": 0.5, "table": "A1", "kind": "eat in"},
    "checked": {"ride": 0, "km": 1.0},
    **dict.fromkeys(("suggest", "alone", "strict", "kept"), _RIDE),
}
"""Of each api, a row that it answers."""


# -- surroundings


def idle(doors: Doors) -> AbstractContextManager[None]:
    """Nothing else is asked."""
    return nullcontext()


@contextmanager
def busy(doors: Doors, *crowded: str) -> Iterator[None]:
    """A call that lasts as long as the block; of the crowded apis, as many rows wait besides as may."""
    server = doors.server
    gate = f"gate {len(list((server.root / 'gates').iterdir()))}"
    sent: list[tuple[Connection, str, list[Row]]] = [(Connection(server.port), "kept", [GOOD["kept"] | {"zone": gate}])]
    sent += [(Connection(server.port), api, [GOOD[api]] * WAITING_ROWS) for api in crowded]
    try:
        for connection, api, rows in sent:
            body = json.dumps(rows).encode()
            connection.send(
                f"POST /v1/{api} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
            )
            until(lambda: (server.root / "gates" / f"{gate} reached").exists())
        until(lambda: all(summed(doors.metrics(), "funade_waiting_rows", api=api) == WAITING_ROWS for api in crowded))
        yield
    finally:
        server.open_gate(gate)
        for connection, _, _ in sent:
            assert connection.receive().startswith(b"HTTP/1.1 200 ")
            connection.close()


def full(api: str) -> Callable[[Doors], AbstractContextManager[None]]:
    """As many rows wait for an api as may; once an api, since the bound is another when its speed is known."""
    return lambda doors: busy(doors, api)


# -- the table


class Meaning(NamedTuple):
    """What a client, the counts and the log say of a request of one bad row, beside a good one where a door has more.

    ``fallback`` is the reason why the fallback answers the bad row, or every row if ``whole``; ``guard`` what a guard
    did; ``counted`` says whether anything is counted, ``logged`` whether rows stand in the log.
    """

    status: int
    fallback: str = ""
    guard: str = ""
    whole: bool = False
    counted: bool = True
    logged: bool = False


class Situation(NamedTuple):
    """A bad row: what it changes in the api's good one; and in what surroundings it is sent.

    ``within_ms`` is how long the client waits, ``padding`` how many bytes more than rows it sends. ``copies`` of a
    good row are sent instead, where they are more than one.
    """

    api: str
    change: Row
    meaning: Meaning
    amid: Callable[[Doors], AbstractContextManager[None]] = idle
    within_ms: int | None = None
    padding: int = 0
    copies: int = 1


def _answered(**more: Any) -> Meaning:
    return Meaning(200, logged=True, **more)


def _failed(**more: Any) -> Meaning:
    return Meaning(500, logged=True, **more)


_NO_STOP = {"zone": "tracks"}

SITUATIONS: dict[str, Situation] = {
    "too late": Situation("suggest", {}, _answered(fallback="late", whole=True), busy, 50),
    "too late, no fallback": Situation("alone", {}, Meaning(504), busy, 50),
    "too many wait": Situation("suggest", {}, _answered(fallback="busy", whole=True), full("suggest")),
    "too many wait, no fallback": Situation("alone", {}, Meaning(503), full("alone")),
    "a bad row": Situation("suggest", {"demand": -1.0}, Meaning(422)),
    "an unknown field": Situation("cook", {"colour": 1}, Meaning(422)),
    "a contract's own check fails": Situation("checked", {"km": 13.0}, Meaning(500)),
    "too many rows": Situation("suggest", {}, Meaning(422), copies=100_001),
    "a body too large": Situation("suggest", {}, Meaning(413), padding=4 * 1024 * 1024 + 1),
    "a guard clamps": Situation("suggest", {"km": 1000.0}, _answered(guard="eta clamped")),
    "a guard's fallback": Situation("suggest", _NO_STOP, _answered(fallback="guard", guard="allowed fallback")),
    "a guard, no fallback": Situation("alone", _NO_STOP, _failed(guard="allowed fallback")),
    "a guard rejects": Situation("strict", _NO_STOP, _failed(guard="allowed rejected")),
    "a function raises": Situation("suggest", {"zone": "raise"}, _answered(fallback="error")),
    "a function raises, no fallback": Situation("alone", {"zone": "raise"}, _failed()),
    "a function exits": Situation("suggest", {"zone": "exit"}, _answered(fallback="error")),
    "a function exits, no fallback": Situation("alone", {"zone": "exit"}, _failed()),
    "too few answers": Situation("suggest", {"zone": "short"}, _answered(fallback="error")),
    "no number": Situation("suggest", {"zone": "nan"}, _answered(fallback="nan")),
    "durable, a function raises": Situation("kept", {"zone": "raise"}, _answered(fallback="error")),
    "a function ends the process": Situation("suggest", {"zone": "die"}, Meaning(0, counted=False)),
}  # fmt: skip
