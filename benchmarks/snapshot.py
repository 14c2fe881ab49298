"""Keeping a snapshot of 1M rows × 20 columns, synced to disk, beside DuckDB's own COPY of the same table."""

from __future__ import annotations

import os
import time
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from funade.store.blobs import BlobFolder
from funade.store.warehouse import snapshots
from measure import Row, alternate

GOAL = "≤ 2 × the COPY"
TITLE = "Snapshot of 1M rows × 20 columns"
ROWS = 1_000_000


def table(seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    columns: dict[str, object] = {f"f{i}": random.normal(size=ROWS) for i in range(12)}
    columns |= {f"i{i}": random.integers(0, 1000, ROWS) for i in range(5)}
    columns["city"] = np.array(["tokyo", "osaka", "kyoto", "nara"])[random.integers(0, 4, ROWS)]
    columns["at"] = np.datetime64("2022-01-01", "us") + random.integers(0, 10**12, ROWS).astype("timedelta64[us]")
    columns["flag"] = random.integers(0, 2, ROWS).astype(bool)
    return pa.table(columns)


def run(scratch: Path, runs: int) -> list[Row]:
    seeds = iter(range(1000))

    def copy() -> float:
        rows = table(next(seeds))
        connection = duckdb.connect()
        path = scratch / "copy.parquet"
        started = time.perf_counter()
        connection.register("rows", rows)
        connection.execute(f"COPY rows TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
        with path.open("rb") as file:
            os.fsync(file.fileno())
        taken = time.perf_counter() - started
        path.unlink()
        return taken

    def funade() -> float:
        rows = table(next(seeds))
        started = time.perf_counter()
        snapshots.write(BlobFolder(scratch), rows)
        return time.perf_counter() - started

    return alternate(runs, DuckDB_COPY_to_zstd_Parquet_with_fsync=copy, funade_snapshot=funade)
