"""A process that answers parts of a run: the release's code, nothing else of the project."""

from __future__ import annotations

import gc
from pathlib import Path
from queue import SimpleQueue

import msgspec
import pyarrow as pa

from funade.batch.answer import TableApi
from funade.batch.part import answer
from funade.batch.plan import Plan
from funade.batch.table import room_for
from funade.bind.release import load_release
from funade.process.child import Ready
from funade.process.parent import Parent, run


class WorkOrder(msgspec.Struct, frozen=True):
    """What a worker is begun with: the plan's file and the folder that parts are written to."""

    plan: str
    folder: str


class PartOrder(msgspec.Struct, frozen=True):
    """Answer the part of the plan with this number."""

    part: int


class RowsAnswered(msgspec.Struct, frozen=True, tag=True):
    """So many more rows of the part that was asked for are answered."""

    rows: int


class PartAnswered(msgspec.Struct, frozen=True, tag=True):
    """The part with this number is whole."""

    part: int


WorkerMessage = Ready | RowsAnswered | PartAnswered


def main(order: WorkOrder, parent: Parent) -> None:
    """Load the release, say so, and answer part after part; end at once when the run ends.

    Raises:
        DiskFull: no room for a part.
    """
    orders = parent.listen(PartOrder)
    with room_for("parts"):
        _work(order, orders, parent)


def _work(order: WorkOrder, orders: SimpleQueue[PartOrder], parent: Parent) -> None:
    pa.set_memory_pool(pa.system_memory_pool())  # the others keep what they once had
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    plan = msgspec.json.decode(Path(order.plan).read_bytes(), type=Plan)
    schema = pa.ipc.read_schema(pa.py_buffer(plan.schema))
    scorer = _scorer(plan, schema)
    parent.send(Ready())
    folder = Path(order.folder)
    while True:
        number = orders.get().part
        answer(plan.parts[number], number, scorer, schema, folder, lambda rows: parent.send(RowsAnswered(rows)))
        parent.send(PartAnswered(number))


def _scorer(plan: Plan, schema: pa.Schema) -> TableApi:
    gc.disable()  # an import makes many things to last, and nothing to collect
    loaded = load_release({"store": plan.store, "release": plan.asked.release})
    scorer = TableApi(loaded.apis[plan.asked.api], loaded.release, schema, plan.carried)
    gc.freeze()
    gc.enable()
    return scorer


if __name__ == "__main__":
    run(main, WorkOrder)
