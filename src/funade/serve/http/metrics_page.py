"""``/metrics``: what a server's workers counted, as Prometheus reads it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from funade import __version__
from funade.serve import server_file
from funade.serve.answer.runtime import Runtime
from funade.serve.http.exchange import Exchange
from funade.serve.http.routes import PageRequest, Route
from funade.serve.metrics import file as metrics_file
from funade.serve.metrics.counters import CALL_ROWS, TOOK_S, ApiCounters, Counters
from funade.serve.metrics.meter import Meter

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Labels = tuple[tuple[str, str], ...]
Samples = Iterable[tuple[str, Labels, float]]


class Family(NamedTuple):
    """One metric: its samples are (what follows the name, labels, value)."""

    name: str
    kind: str
    help: str
    samples: Samples


class ServerFacts(NamedTuple):
    """What is known of the server besides its counts.

    ``coming_failed`` says that a newer release did not come up. ``queue`` has what the queue of asynchronous requests
    holds, by the last part of the metric's name; None where there is no queue.
    """

    release: int
    begun: float = 0.0
    coming_failed: bool = False
    queue: Mapping[str, float] | None = None


def page(counts: Counters, facts: ServerFacts, *, open_metrics: bool = False) -> str:
    """The page, in Prometheus' text format 0.0.4 or as OpenMetrics 1.0."""
    lines: list[str] = []
    for family in families(counts, facts):
        name = family.name
        if family.kind == "counter" and not open_metrics:
            name += "_total"
        kind = "gauge" if family.kind == "info" and not open_metrics else family.kind
        if family.kind == "info" and not open_metrics:
            name += "_info"
        lines += [f"# HELP {name} {family.help}", f"# TYPE {name} {kind}"]
        lines += [f"{family.name}{rest}{_labels(labels)} {_number(value)}" for rest, labels, value in family.samples]
    if open_metrics:
        lines.append("# EOF")
    return "\n".join([*lines, ""])


def families(counts: Counters, facts: ServerFacts) -> Iterator[Family]:
    """Every metric of the server."""
    apis = sorted(counts.apis.items())
    named = [(name, counters) for name, counters in apis if name]
    yield Family("funade", "info", "The version of funade.", [("_info", (("version", __version__),), 1)])
    release = [("_info", (("release", str(facts.release)),), 1.0)]
    yield Family("funade_release", "info", "The release that answers.", release)
    yield _gauge("funade_release_failed", "Whether a newer release did not come up.", facts.coming_failed)
    yield _gauge("funade_workers", "Worker processes alive, of every release.", len(counts.pids))
    yield _counter("funade_workers_ended", "Worker processes that have ended.", [((), counts.ended)])
    yield Family("funade_requests", "counter", "Requests by api, door and status.", _requests(apis))
    yield _counter("funade_rows", "Rows answered.", [(_api(n), t.rows) for n, t in named])
    took = [sample for n, t in named for sample in _buckets(_api(n), TOOK_S, t.took, t.took_s)]
    yield Family("funade_request_duration_seconds", "histogram", "Time from request to answer.", took)
    calls = [sample for n, t in named for sample in _buckets(_api(n), CALL_ROWS, t.calls, t.call_rows)]
    yield Family("funade_call_rows", "histogram", "Rows answered by one call of the api's function.", calls)
    yield _rows_by("funade_fallback_rows", "reason", "Rows that the fallback answered.", "fallback", named)
    yield _rows_by("funade_default_rows", "field", "Rows whose missing value got its default.", "defaults", named)
    yield _rows_by("funade_guard_rows", "guard", "Rows that a guard changed or held back.", "guards", named)
    waiting = [("", _api(n), float(t.waiting)) for n, t in named]
    yield Family("funade_waiting_rows", "gauge", "Rows that wait for a call.", waiting)
    yield _counter("funade_log_rows", "Rows that the prediction log took.", [((), counts.logged)])
    yield _counter("funade_log_lost_rows", "Rows that the prediction log lost.", [((), counts.lost)])
    for part, value in (facts.queue or {}).items():
        yield _gauge(f"funade_queue_{part}", _QUEUE[part], value)
    yield from _process(counts, facts.begun)


_QUEUE = {
    "waiting": "Asynchronous requests that wait or are being answered.",
    "dead": "Asynchronous requests given up after their last try.",
    "oldest_age_seconds": "Age of the oldest asynchronous request that waits.",
}


def _process(counts: Counters, begun: float) -> Iterator[Family]:
    """Of all workers together: a scrape reaches any one of them."""
    memory, files = 0, 0
    for pid in counts.pids:
        with contextlib.suppress(OSError, ValueError, IndexError):  # it has just ended, or there is no /proc
            memory += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            files += len(list(Path(f"/proc/{pid}/fd").iterdir()))
    yield _counter("process_cpu_seconds", "Processor time of all workers.", [((), counts.cpu_s)])
    yield _gauge("process_resident_memory_bytes", "Resident memory of all living workers.", memory)
    yield _gauge("process_open_fds", "Open files of all living workers.", files)
    yield _gauge("process_start_time_seconds", "When the server was started, since the epoch.", begun)


def _gauge(name: str, text: str, value: float) -> Family:
    return Family(name, "gauge", text, [("", (), float(value))])


def _counter(name: str, text: str, values: Iterable[tuple[Labels, float]]) -> Family:
    return Family(name, "counter", text, [("_total", labels, value) for labels, value in values])


def _api(name: str) -> Labels:
    return (("api", name),)


def _requests(apis: Iterable[tuple[str, ApiCounters]]) -> Samples:
    for name, counters in apis:
        for key, number in sorted(counters.requests.items()):
            door, _, status = key.partition(" ")
            yield "_total", (("api", name), ("door", door), ("status", status)), number


def _buckets(labels: Labels, bounds: Sequence[float], counts: Sequence[int], total: float) -> Samples:
    reached = 0
    for bound, count in zip([*(repr(float(bound)) for bound in bounds), "+Inf"], counts, strict=True):
        reached += count
        yield "_bucket", (*labels, ("le", bound)), reached
    yield "_sum", labels, total
    yield "_count", labels, reached


def _rows_by(name: str, label: str, text: str, part: str, apis: Iterable[tuple[str, ApiCounters]]) -> Family:
    numbers = [
        ((("api", api), (label, key)), number)
        for api, counters in apis
        for key, number in sorted(getattr(counters, part).items())
    ]
    return _counter(name, text, numbers)


def _number(value: float) -> str:
    """A value; whole numbers have no point.

    >>> _number(3.0), _number(0.25)
    ('3', '0.25')
    """
    return str(int(value)) if value == int(value) else repr(float(value))


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    r"""A label's value as it stands between quotes.

    >>> print(_escaped('a"b\\'))
    a\"b\\
    """
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def routes(runtime: Runtime) -> list[Route]:
    """``GET /metrics``: the page of the whole server, whichever of its workers is asked."""
    return [Route(b"GET", "/metrics", "open", partial(_respond, runtime))]


def _respond(runtime: Runtime, asked: PageRequest, exchange: Exchange) -> None:
    """Answer with the page; other workers' files are read on a thread of their own."""
    open_metrics = b"application/openmetrics-text" in asked.headers.get(b"accept", b"")
    runtime.recorder.meter.keep()
    making = runtime.loop.run_in_executor(None, _made, runtime.recorder.meter, runtime.loaded.release, open_metrics)

    def made(making: asyncio.Future[bytes]) -> None:
        if exchange.done:
            return
        if (error := making.exception()) is not None:
            runtime.recorder.events.failed("/metrics", error)
            runtime.recorder.refuse("", exchange, 500, "the page could not be made; see the server's log")
        else:
            exchange.page(200, making.result(), content=OPEN if open_metrics else TEXT)

    making.add_done_callback(made)


def _made(meter: Meter, release: int, open_metrics: bool) -> bytes:
    folder, queue = meter.folder, None
    with contextlib.suppress(Exception):  # a queue that cannot be read just now must not hide all else
        queue = meter.queue() if meter.queue is not None else None
    if folder is None:
        return page(meter.counts, ServerFacts(release, queue=queue), open_metrics=open_metrics).encode()
    facts = ServerFacts(release, metrics_file.begun(folder), _failed(folder), queue)
    return page(metrics_file.total(folder), facts, open_metrics=open_metrics).encode()


def _failed(folder: Path) -> bool:
    """Whether the supervisor says that a newer release did not come up."""
    state = server_file.read(folder.with_name(f"{folder.name}.json"))
    return state is not None and bool(state.failed)
