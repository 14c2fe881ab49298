"""A run: an api's answers for every row, begun, continued after any end, and shown as a table once whole."""

from __future__ import annotations

import glob
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from funade import points
from funade.batch import part as parts
from funade.batch import plan as plans
from funade.batch.part import WrittenPart
from funade.batch.plan import Plan, RunIdentity
from funade.batch.query import Query, Tables
from funade.batch.table import Manifest, Table, locked, put, room
from funade.batch.worker import WorkOrder
from funade.batch.workers import Pool, materialised
from funade.batch.writer import written
from funade.clock import Clock
from funade.contract.table import plain
from funade.declare.spec import Spec
from funade.errors import Misuse, ResultRefused
from funade.store import disk
from funade.store.store import Store
from funade.store.warehouse import snapshots
from funade.store.warehouse.query import Select

_MADE = b"funade"
"""What stands in the metadata of a file that a batch has written."""


class RowSource(NamedTuple):
    """Where rows come from: a version's files, or a query over tables; ``origin`` names what they are versions of."""

    origin: dict[str, str]
    tables: Tables
    query: str = ""


class Progress(NamedTuple):
    """How far a run is: rows answered of all, and how many of them by earlier tries of it."""

    rows: int
    total: int
    earlier: int = 0


class Summary(NamedTuple):
    """What became of a run's rows; ``begun_anew`` says why an unfinished run was not continued ("": none was)."""

    table: str
    api: str
    release: int
    rows: int
    answered: int
    refused: int
    fallback: int
    earlier: int
    begun_anew: str = ""


Report = Callable[[Progress], None]


class Run:
    """One run into one table: ``spec`` is the api as the release has it, ``asked`` says what it answers.

    So many ``workers`` are at work at once; ``most_refused`` is the share of rows (0…1) that may be refused.
    """

    def __init__(
        self, store: Store, spec: Spec, asked: RunIdentity, source: RowSource, *, workers: int, most_refused: float
    ) -> None:
        self._store = store
        self._spec = spec
        self._asked = asked
        self._source = source
        self._workers = workers
        self._most_refused = most_refused

    def into(self, table: Table, progress: Report, now: Clock) -> Summary:
        """Answer every row into a table, which is replaced when all are.

        Raises:
            Misuse: at the table's path stands what no batch has made.
            StoreError: another run writes to the table.
            ResultRefused: the rows do not fit the api, or too many are refused; the table stays as it was.
        """
        with room(table.folder), locked(table):
            _refuse_foreign(table)
            plan, anew = self._plan(table)
            folder = table.folder / f"rows-{plan.id}"
            every = ((number, parts.done(folder, number)) for number in range(len(plan.parts)))
            done = {number: part for number, part in every if part is not None}
            earlier = sum(part.rows for part in done.values())
            everything = self._rest(plan, table, folder, done, progress)
            self._show(plan, table, folder, [everything[n] for n in range(len(plan.parts))], now)
            return _summary(plan, table, everything.values(), earlier, anew)

    # -- the plan ----------------------------------------------------------------------------------

    def _plan(self, table: Table) -> tuple[Plan, str]:
        """The plan to follow, and how this run differs from an unfinished one before it ("" where it does not)."""
        before = _planned(table)
        if before is not None and before.asked == self._asked:
            for leftover in (table.folder / f"rows-{before.id}").glob(".*.tmp"):
                leftover.unlink(missing_ok=True)
            return before, ""
        shutil.rmtree(table.folder / "run", ignore_errors=True)
        manifest = table.manifest()
        table.sweep({manifest.id, manifest.previous} if manifest else set())
        (table.folder / "run").mkdir(parents=True)
        try:
            plan = self._made(table.folder / "run")
        except BaseException:
            shutil.rmtree(table.folder / "run", ignore_errors=True)
            raise
        (table.folder / f"rows-{plan.id}").mkdir()
        for folder in (table.folder, *table.folder.parents[:2]):
            disk.sync(folder)
        put(table.folder / "run" / "plan.json", msgspec.json.encode(plan))
        points.passing("batch.planned")
        return plan, _differs(before.asked, self._asked) if before is not None else ""

    def _made(self, folder: Path) -> Plan:
        if self._source.query:
            paths = [folder / "rows.parquet"]
            materialised(Query.of(self._source.query, self._source.tables, paths[0]))
        else:
            paths = [path for files in self._source.tables.values() if not isinstance(files, Select) for path in files]
        schema = plain(snapshots.schema_of(paths))
        carried = plans.carried(self._spec, schema, self._asked.keep)
        return Plan(
            uuid.uuid4().hex[:16],
            self._asked,
            self._store.address,
            schema.serialize().to_pybytes(),
            carried,
            plans.parts([path.resolve() for path in paths], self._workers),
        )

    # -- the parts ---------------------------------------------------------------------------------

    def _rest(
        self, plan: Plan, table: Table, folder: Path, earlier_parts: dict[int, WrittenPart], progress: Report
    ) -> dict[int, WrittenPart]:
        done = dict(earlier_parts)
        earlier = rows = sum(part.rows for part in earlier_parts.values())
        progress(Progress(rows, plan.rows, earlier))
        waiting = [number for number in range(len(plan.parts)) if number not in earlier_parts]
        self._refuse(plan, done.values())
        begin = WorkOrder(str(table.folder / "run" / "plan.json"), str(folder))
        with closing(Pool(begin, waiting)) as pool:
            for number, more in pool.work(self._workers):
                if more is not None:
                    rows += more
                    progress(Progress(rows, plan.rows, earlier))
                    continue
                points.passing("batch.part")
                whole = parts.done(folder, number)
                assert whole is not None  # it said so after it was written
                done[number] = whole
                self._refuse(plan, done.values())
        return done

    def _refuse(self, plan: Plan, done: Iterable[WrittenPart]) -> None:
        parts_done = list(done)
        refused = sum(part.refused for part in parts_done)
        most = self._most_refused * plan.rows
        if refused and refused > most:
            first = next(part.reason for part in sorted(parts_done, key=lambda d: d.part) if part.reason)
            many = f"at least {refused} of {plan.rows}"
            raise ResultRefused(
                f"batch expected at most {self._most_refused:g} of the rows refused, got {many}, the first: {first}",
                at=self._spec.place,
                do=f"mend the rows, or allow more: --most-refused {_share(refused / plan.rows)}",
            )

    # -- the table ---------------------------------------------------------------------------------

    def _show(self, plan: Plan, table: Table, folder: Path, done: Sequence[WrittenPart], now: Clock) -> None:
        answers = tuple(f"{folder.name}/{parts.names(part.part)[0]}" for part in done)
        with_refused = [part for part in done if part.refused or part.part == 0]  # the first one's has the columns
        refused = tuple(f"{folder.name}/{parts.names(part.part)[1]}" for part in with_refused)
        if table.file is not None and table.refused_file is not None:
            _refuse_foreign(table)  # once more: a run may take hours
            joined([table.folder / name for name in refused], table.refused_file)
            joined([table.folder / name for name in answers], table.file)
            shutil.rmtree(table.folder / "run", ignore_errors=True)
            table.sweep(set())
            return
        before, asked = table.manifest(), plan.asked
        if before is None or before.id != plan.id:
            previous = before.id if before else ""
            counts = _counts(done)
            table.replace(Manifest(plan.id, asked.api, asked.release, now(), *counts, answers, refused, previous))
        shutil.rmtree(table.folder / "run", ignore_errors=True)


def joined(files: Sequence[Path], path: Path) -> None:
    """Write the rows of files, in order, into one file that takes the place of ``path`` once whole."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):  # of a run that was killed
        leftover.unlink(missing_ok=True)
    schema = pq.read_schema(files[0])
    with written(path, schema.with_metadata({**(schema.metadata or {}), _MADE: b"batch"})) as writer:
        for file in files:
            with pq.ParquetFile(file, buffer_size=1 << 18, pre_buffer=False) as rows:
                for batch in rows.iter_batches(batch_size=parts.ROWS, use_threads=False):
                    writer.add(pa.Table.from_batches([batch]))
        points.passing("batch.before")
    points.passing("batch.after")


def _refuse_foreign(table: Table) -> None:
    """Refuse to put a table in the place of a file that no batch has made."""
    for path in (table.file, table.refused_file):
        if path is not None and os.path.lexists(path) and not _made(path):
            what = f"batch expected no file or one that it made, got another at `{path}`"
            raise Misuse(what, do="choose another path: --into PATH")


def _made(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    try:
        return _MADE in (pq.read_metadata(path).metadata or {})
    except (pa.ArrowException, OSError):
        return False


def _planned(table: Table) -> Plan | None:
    try:
        return msgspec.json.decode((table.folder / "run" / "plan.json").read_bytes(), type=Plan)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def _differs(before: RunIdentity, now: RunIdentity) -> str:
    if before.release != now.release:
        return f"it began with release {before.release}, now {now.release} is current"
    if before.api != now.api:
        return f"it was of the api `{before.api}`"
    return "its rows were others" if (before.rows, before.origin) != (now.rows, now.origin) else "it kept other columns"


def _counts(done: Iterable[WrittenPart]) -> tuple[int, int, int]:
    parts_done = list(done)
    return sum(d.answered for d in parts_done), sum(d.refused for d in parts_done), sum(d.fallback for d in parts_done)


def _summary(plan: Plan, table: Table, done: Iterable[WrittenPart], earlier: int, anew: str) -> Summary:
    asked = plan.asked
    return Summary(table.name, asked.api, asked.release, plan.rows, *_counts(done), earlier, anew)


def _share(share: float) -> str:
    return f"{min(1.0, share * 1.01):.2g}" if share < 0.99 else "1"
