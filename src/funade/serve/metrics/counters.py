"""Numbers that are counted of answers: one api's, one worker's, a whole server's; adding keeps them exact."""

from __future__ import annotations

import msgspec

TOOK_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Upper bounds, inclusive, of the buckets that latencies are counted in, in seconds; one more has no bound."""

CALL_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Upper bounds, inclusive, of the buckets that rows a call are counted in; one more has no bound."""

_MOST_LABELS = 200
_OTHER = "other"


class ApiCounters(msgspec.Struct):
    """One api's numbers.

    ``requests`` counts by door and status ("http 200"); ``took`` and ``calls`` by bucket; ``fallback``, ``defaults``
    and ``guards`` count rows by reason, field and guard; ``waiting`` is how many rows wait.
    """

    requests: dict[str, int] = {}
    rows: int = 0
    took: list[int] = msgspec.field(default_factory=lambda: [0] * (len(TOOK_S) + 1))
    took_s: float = 0.0
    calls: list[int] = msgspec.field(default_factory=lambda: [0] * (len(CALL_ROWS) + 1))
    call_rows: int = 0
    fallback: dict[str, int] = {}
    defaults: dict[str, int] = {}
    guards: dict[str, int] = {}
    waiting: int = 0

    def add(self, other: ApiCounters) -> None:
        """Add another's numbers to these."""
        self.rows += other.rows
        self.took = [a + b for a, b in zip(self.took, other.took, strict=True)]
        self.took_s += other.took_s
        self.calls = [a + b for a, b in zip(self.calls, other.calls, strict=True)]
        self.call_rows += other.call_rows
        self.waiting += other.waiting
        for name in ("requests", "fallback", "defaults", "guards"):
            for label, number in getattr(other, name).items():
                bump(getattr(self, name), label, number)


class Counters(msgspec.Struct):
    """What one worker counted since it began, or several together.

    ``apis`` are by name, "" for requests of none; ``logged`` and ``lost`` are rows of the prediction log; ``pids`` are
    the living workers in it, ``ended`` how many dead ones are.
    """

    apis: dict[str, ApiCounters] = {}
    logged: int = 0
    lost: int = 0
    cpu_s: float = 0.0
    pids: tuple[int, ...] = ()
    ended: int = 0

    def add(self, other: Counters) -> None:
        """Add another's numbers to these."""
        for name, counters in other.apis.items():
            if name not in self.apis and len(self.apis) >= _MOST_LABELS:
                name = ""
            self.apis.setdefault(name, ApiCounters()).add(counters)
        for field in self.__struct_fields__[1:]:
            setattr(self, field, getattr(self, field) + getattr(other, field))

    def buried(self) -> Counters:
        """What stays of a worker that has ended: what it counted, not what it held."""
        apis = {name: msgspec.structs.replace(counters, waiting=0) for name, counters in self.apis.items()}
        return msgspec.structs.replace(self, apis=apis, pids=(), ended=1)


def bump(counts: dict[str, int], label: str, number: int) -> None:
    """Count under a label; past ``_MOST_LABELS`` of them, a new one counts as "other"."""
    if label not in counts and len(counts) >= _MOST_LABELS:
        label = _OTHER
    counts[label] = counts.get(label, 0) + number


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Counters).decode
