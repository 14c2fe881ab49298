"""``docs/benchmarks-serve.md`` from what was measured."""

from __future__ import annotations

from dataclasses import dataclass, field

from contestants import Contestant

REFERENCE = "uvicorn, empty echo"
FASTAPI = "FastAPI"
COUNTED, UNCOUNTED = "funade, fn.Columns", "funade, fn.Columns, no log, no metrics"

HEAD = """# Serving, beside other servers

One run of `make bench-serve`. {note}Each server is pinned to one core with all its processes, the compiled client
(`benchmarks/client.c`) to another. A connection is kept alive and has one request in flight; nothing is pipelined.
4,096 different rows are sent in turn, and every answer is compared with the expected one; a run with a wrong answer
says so. Figures are medians of {runs} alternating runs of {seconds:g} s, after a warm-up. *per CPU s* counts the user
and system seconds of the server's whole process tree. *Shed* requests were answered at once by the declared fallback,
because funade's queue was full; they count in no figure but the server's CPU seconds.

The model has 100 trees of 31 leaves on 20 features, is {form}, the same for all, and runs on one
thread. funade has one worker, and checks requests and answers against the contract, logs every prediction and counts
for /metrics, but where it says otherwise. The process that turns its log into Parquet gives way to the worker and does
its work after a run; where a request has one row its CPU seconds are waited for and count, with what a server at rest
takes meanwhile.

Machine: {machine}

The peers' set-ups are `benchmarks/peers/serve_*.py`, their versions are locked in `requirements/peers-serve-*.txt`.
MLServer's and BentoML's adaptive batching is off: with it, in one short trial each, this small model was
answered more slowly. {checking}
"""

FORMS = {"lightgbm": "run by LightGBM itself", "onnx": "ONNX, run by onnxruntime"}


@dataclass(frozen=True)
class Cost:
    """Seconds to the first answer and memory of a server; of funade also its worker beside a bare interpreter."""

    name: str
    first_s: float
    memory_mb: float
    worker_s: float | None = None
    worker_mb: float = 0
    bare_s: float = 0
    bare_mb: float = 0


@dataclass
class Page:
    """What was measured; speeds by name, connections and rows."""

    form: str
    runs: int
    seconds: float
    machine: str
    note: str
    speeds: dict[tuple[str, int, int], dict[str, float]] = field(default_factory=dict)
    calm: dict[str, dict[str, float]] = field(default_factory=dict)
    costs: list[Cost] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    contestants: list[Contestant] = field(default_factory=list)


def written(page: Page) -> str:
    """The page's text."""
    note = page.note + " " if page.note else ""
    text = HEAD.format(
        note=note,
        runs=page.runs,
        seconds=page.seconds,
        form=FORMS[page.form],
        machine=page.machine,
        checking=_checking(page),
    )
    for name, why in page.failed.items():
        text += f"\n{name} did not run here:\n\n```\n{why}\n```\n"
    text += _goals(page)
    for rows in sorted({rows for _, _, rows in page.speeds}):
        text += _speeds(page, rows)
    return text + _noted(page) + _calm(page) + _costs(page)


def _checking(page: Page) -> str:
    unchecked = [c.name for c in page.contestants if not c.validates]
    return f"Not validating what they get: {', '.join(unchecked)}." if unchecked else ""


def _goals(page: Page) -> str:
    """Goals of serving beside what this run gave, at 64 connections and one row a request."""
    mine, bare = page.speeds.get((COUNTED, 64, 1)), page.speeds.get((UNCOUNTED, 64, 1))
    echo, fastapi = page.speeds.get((REFERENCE, 64, 1)), page.speeds.get((FASTAPI, 64, 1))
    calm = page.calm.get(COUNTED)
    if mine is None or bare is None or echo is None or fastapi is None or calm is None:
        return ""
    found = [
        ("requests a CPU-second beside the empty echo", "≥ 1.0 ×", f"{mine['cpu'] / echo['cpu']:.2f} ×"),
        ("requests a CPU-second beside FastAPI + pydantic", "≥ 10 ×", f"{mine['cpu'] / fastapi['cpu']:.1f} ×"),
        ("log and metrics, of the requests a CPU-second", "≤ 10 %", f"{1 - mine['cpu'] / bare['cpu']:.1%}"),
        ("p99 at a tenth of saturation", "≤ 5 ms", f"{calm['p99_ms']:.2f} ms"),
    ]
    for one in page.costs:
        if one.worker_s is not None:
            over = f"{one.worker_s - one.bare_s:.2f} s, {one.worker_mb - one.bare_mb:.0f} MB"
            found.append((f"a worker beside a bare interpreter, {one.name}", "≤ 0.5 s, ≤ 60 MB", over))
    text = "\n## Goals\n\nOne row, 64 connections.\n\n| what | goal | this run |\n|---|---|---|\n"
    return text + "".join(f"| {' | '.join(row)} |\n" for row in found)


def _speeds(page: Page, rows: int) -> str:
    text = f"\n## {rows} row{'s' * (rows > 1)} a request\n\n"
    text += (
        "| server | connections | requests/s | per CPU s | × echo, wall | × echo, CPU | p50 ms | p99 ms | max ms |\n"
    )
    text += "|---|---|---|---|---|---|---|---|---|\n"
    for (name, connections, which), found in page.speeds.items():
        if which != rows:
            continue
        reference = page.speeds.get((REFERENCE, connections, rows))
        ratios = [f"{found[of] / reference[of]:.2f}" if reference else "" for of in ("wall", "cpu")]
        figures = [f"{found['wall']:,.0f}", f"{found['cpu']:,.0f}", *ratios]
        figures += [f"{found[of]:.2f}" for of in ("p50_ms", "p99_ms", "max_ms")]
        text += f"| {name}{_faults(found)} | {connections} | {' | '.join(figures)} |\n"
    return text


def _faults(found: dict[str, float]) -> str:
    faults = [f"{found[what]:.0f} {what}" for what in ("errors", "wrong", "shed") if found[what]]
    return f" ({', '.join(faults)})" if faults else ""


def _noted(page: Page) -> str:
    """What log and counts cost: the same server without them."""
    text = ""
    for (name, connections, rows), found in page.speeds.items():
        bare = page.speeds.get((UNCOUNTED, connections, rows))
        if name == COUNTED and bare:
            shares = " | ".join(f"{1 - found[of] / bare[of]:.1%}" for of in ("wall", "cpu"))
            text += f"| {rows} | {connections} | {shares} |\n"
    if not text:
        return ""
    head = "\n## What log and metrics cost\n\nThe share of throughput that funade on fn.Columns loses by them.\n\n"
    return head + "| rows a request | connections | wall | per CPU s |\n|---|---|---|---|\n" + text


def _calm(page: Page) -> str:
    if not page.calm:
        return ""
    text = "\n## At a tenth of saturation\n\nOne row, 64 connections; requests fall due evenly at a tenth of the "
    text += "server's own rate above, and a latency counts from when its request was due.\n\n"
    text += "| server | requests/s | p50 ms | p99 ms | max ms |\n|---|---|---|---|---|\n"
    for name, found in page.calm.items():
        figures = " | ".join(f"{found[of]:.2f}" for of in ("p50_ms", "p99_ms", "max_ms"))
        text += f"| {name}{_faults(found)} | {found['wall']:,.0f} | {figures} |\n"
    return text


def _costs(page: Page) -> str:
    text = "\n## Start and memory\n\nSeconds from the command to the first answer, and memory of all its processes "
    text += "(proportional set size) after the load, all on one core.\n\n"
    text += "| server | first answer s | MB |\n|---|---|---|\n"
    for one in page.costs:
        text += f"| {one.name} | {one.first_s:.2f} | {one.memory_mb:.0f} |\n"
    text += "\nA worker of funade, killed, until the next answers; and a bare interpreter with the user's imports.\n\n"
    text += "| api on | worker s | bare s | over bare s | worker MB | bare MB | over bare MB |\n"
    text += "|---|---|---|---|---|---|---|\n"
    for one in page.costs:
        if one.worker_s is not None:
            figures = f"{one.worker_s:.2f} | {one.bare_s:.2f} | {one.worker_s - one.bare_s:.2f} | "
            figures += f"{one.worker_mb:.0f} | {one.bare_mb:.0f} | {one.worker_mb - one.bare_mb:.0f}"
            text += f"| {one.name} | {figures} |\n"
    return text
