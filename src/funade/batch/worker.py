"""A process that answers parts of a run: the release's code, nothing else of the project."""

from __future__ import annotations

import gc
import os
import queue
import sys
import threading
import traceback
from pathlib import Path
from typing import BinaryIO

import msgspec
import pyarrow as pa

from funade.batch.query import Query, materialise


class WorkOrder(msgspec.Struct, frozen=True, tag=True):
    """What a worker is told that answers parts: the plan's file and the folder that parts are written to."""

    plan: str
    folder: str


class WorkerReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a worker says: it is ready; rows that it answered; a part that is whole (-1: none); what went wrong.

    ``kind``: the class of the error.
    """

    ready: bool = False
    rows: int = 0
    part: int = -1
    error: str = ""
    kind: str = ""
    do: str = ""
    at: str = ""
    traceback: str = ""


def main() -> None:
    """Do what the first line that comes in says; end at once when the run ends.

    After ``WorkOrder`` come the numbers of parts, a line each. ``Query`` is all there is.
    """
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a user's function prints is no word of ours
    asked: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_hear, args=(asked,), daemon=True).start()
    try:
        order = msgspec.json.decode(asked.get(), type=WorkOrder | Query)
        if isinstance(order, Query):
            materialise(order)
            _say(out, WorkerReport(ready=True))
        else:
            _work(order, asked, out)
    except BaseException as error:
        _say(out, _wrong(error))
        sys.stderr.flush()
        os._exit(1)


def _hear(asked: queue.Queue[str]) -> None:
    for line in sys.stdin:
        asked.put(line)
    os._exit(0)


def _work(begin: WorkOrder, asked: queue.Queue[str], out: BinaryIO) -> None:
    from funade.batch.answer import TableApi
    from funade.batch.part import answer
    from funade.batch.plan import Plan
    from funade.bind.release import load_release

    pa.set_memory_pool(pa.system_memory_pool())  # the others keep what they once had
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    plan = msgspec.json.decode(Path(begin.plan).read_bytes(), type=Plan)
    schema = pa.ipc.read_schema(pa.py_buffer(plan.schema))
    gc.disable()  # an import makes many things to last, and nothing to collect
    loaded = load_release({"store": plan.store, "release": plan.asked.release})
    scorer = TableApi(loaded.apis[plan.asked.api], loaded.release, schema, plan.carried)
    gc.freeze()
    gc.enable()
    _say(out, WorkerReport(ready=True))
    while True:
        number = int(asked.get())
        folder = Path(begin.folder)
        answer(plan.parts[number], number, scorer, schema, folder, lambda rows: _say(out, WorkerReport(rows=rows)))
        _say(out, WorkerReport(part=number))


def _say(out: BinaryIO, said: WorkerReport) -> None:
    out.write(msgspec.json.encode(said) + b"\n")


def _wrong(error: BaseException) -> WorkerReport:
    from funade.batch.table import is_full
    from funade.errors import DiskFull, FunadeError
    from funade.fingerprint.importing import told

    if isinstance(error, FunadeError):
        frames = str(error.facts.get("traceback", ""))
        return WorkerReport(error=error.what, kind=type(error).__name__, do=error.do, at=error.at, traceback=frames)
    if is_full(error):
        return WorkerReport(error=told(error), kind=DiskFull.__name__)
    text = "".join(traceback.format_exception(error))
    return WorkerReport(
        error=f"batch expected its process to work, got {told(error)}", kind="ServeError", traceback=text
    )


if __name__ == "__main__":
    main()
