"""Recording one build with ten settings and ten metrics, in the store's SQLite, synced to disk."""

from __future__ import annotations

import subprocess
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

from funade.clock import system
from funade.digest import of_value
from funade.store.records import Build, Version
from funade.store.sqlite.metadata import SqliteMetadata
from measure import PEERS, Row, alternate

GOAL = "≤ 2 ms"
TITLE = "Recording one build with 10 settings and 10 metrics"
BUILDS = 200


def run(scratch: Path, runs: int) -> list[Row]:
    metadata = SqliteMetadata(scratch / "records.db", clock=system)
    settings = {f"setting{i}": i * 1.5 for i in range(10)}
    metrics: dict[str, float | None] = {f"metric{i}": i / 7 for i in range(10)}

    def funade() -> float:
        started = time.perf_counter()
        for _ in range(BUILDS):
            name = uuid.uuid4().hex
            recipe = {"kind": "model", "name": "eta", "settings": settings, "again": name}
            now = datetime.now(UTC)
            version = Version(
                of_value(recipe), "eta", "model", recipe, now, inputs={"rides": "0" * 64}, metrics=metrics, build=name
            )
            metadata.add_version(
                version, Build(name, "eta", version.id, "built", now, 1.0, settings=settings, metrics=metrics)
            )
        return (time.perf_counter() - started) / BUILDS

    script = Path(__file__).parent / "peers" / "mlflow_record.py"

    def mlflow() -> float:
        done = subprocess.run(
            [PEERS / "python", script, str(scratch / "mlflow.db")], capture_output=True, text=True, check=True
        )
        return float(done.stdout.split()[-1])

    return alternate(runs, funade_version_and_build=funade, MLflow_on_SQLite=mlflow)
