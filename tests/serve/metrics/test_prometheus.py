"""``/metrics`` of a server with several workers, asked over HTTP and by Prometheus itself."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from funade.serve.metrics.file import total
from support.client import Client
from support.metrics import get, scrape, summed
from support.server import Running
from support.wait import until

Run = Callable[..., Running]


def counted(port: int, **labels: str) -> int:
    return int(summed(scrape(port), "funade_requests_total", **labels))


def test_a_scrape_of_any_worker_tells_of_all(run: Run) -> None:
    server = run(workers=2)
    server.serving(1)
    for _ in range(20):  # connections fall to either worker
        with Client(server.port) as client:
            assert client.ask([{"km": 1}, {"km": 2}]).status == 200
            assert client.ask({"kn": 1}).status == 422
    with Client(server.port) as client:
        assert client.ask({"km": 1, "does": "raise"}).headers["funade-fallback"] == "error"
        assert client.ask({"km": 1, "does": "raise"}, api="plain").status == 500
        assert get(client, "/nothing").status == 404
    until(lambda: counted(server.port, api="arrival") == 41 or None)
    for _ in range(6):
        found = scrape(server.port)
        assert summed(found, "funade_requests_total", api="arrival", status="200", door="http") == 21
        assert summed(found, "funade_requests_total", api="arrival", status="422") == 20
        assert summed(found, "funade_requests_total", api="plain", status="500") == 1
        assert summed(found, "funade_requests_total", api="", status="404") == 1
        assert found['funade_rows_total{api="arrival"}'] == 41
        assert found['funade_request_duration_seconds_count{api="arrival"}'] == 21
        assert found['funade_fallback_rows_total{api="arrival",reason="error"}'] == 1
        assert (found['funade_release_info{release="1"}'], found["funade_release_failed"]) == (1, 0)
        assert (found["funade_workers"], found["funade_workers_ended_total"]) == (2, 0)
        assert abs(found["process_start_time_seconds"] - time.time()) < 60
        assert found["process_resident_memory_bytes"] > 2e7


def test_a_client_that_prefers_openmetrics_gets_it(server: Running) -> None:
    with Client(server.port) as client:
        response = get(client, "/metrics", accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
        assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        assert response.body.endswith(b"# EOF\n")


def test_a_release_that_does_not_come_up_is_seen(run: Run) -> None:
    server = run(workers=1)
    server.serving(1)
    server.misbehave(2, load="raises")
    server.switch(2)
    until(lambda: server.state.failed or None)
    found = scrape(server.port)
    assert (found["funade_release_failed"], found['funade_release_info{release="1"}']) == (1, 1)


def test_what_the_queue_holds_is_told_where_there_is_one(run: Run, tmp_path: Path) -> None:
    server = run(workers=2, queue=f"sqlite:{tmp_path}")
    server.serving(1)
    found = scrape(server.port)
    assert (found["funade_queue_waiting"], found["funade_queue_dead"]) == (0, 0)
    assert found["funade_queue_oldest_age_seconds"] == 0


def kept(server: Running) -> int:
    """Answers that the workers have written down: those that outlive them."""
    apis = total(Path(server.settings.folder) / str(server.port)).apis
    return sum(counters.requests.get("http 200", 0) for counters in apis.values())


@pytest.mark.slow
def test_counts_never_fall_while_workers_are_killed_and_releases_switched(run: Run) -> None:
    server = run(workers=2)
    server.serving(1)
    asked = last = 0
    for release in (2, 3, 4):
        for _ in range(30):
            with Client(server.port) as client:
                assert client.ask({"km": 1}).status == 200
            asked += 1
        until(lambda: kept(server) == asked)  # noqa: B023
        server.kill()
        now = counted(server.port, api="arrival", status="200")
        assert now >= last
        server.switch(release)
        server.serving(release)
        last = counted(server.port, api="arrival", status="200")
        assert last >= now
        assert last == asked
    until(lambda: scrape(server.port)["funade_workers_ended_total"] == 9 or None)  # 3 killed and 3 x 2 retired
    assert counted(server.port, api="arrival", status="200") == asked
    assert scrape(server.port)["funade_workers"] == 2
    assert len(list(Path(server.settings.folder).glob("*/*.counts"))) == 2
    port = server.port
    server.end(signal.SIGKILL)
    server.process = server.start()
    server.serving(4)
    assert counted(server.port, api="arrival", status="200") == 0
    assert port != server.port or scrape(port)["funade_workers"] == 2


def query(port: int, expression: str) -> list[dict[str, Any]]:
    url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
    try:
        with urllib.request.urlopen(url, timeout=120) as response:
            found: list[dict[str, Any]] = json.load(response)["data"]["result"]
            return found
    except OSError:
        return []


@pytest.fixture
def watched(run: Run, prometheus: str, tmp_path: Path) -> Iterator[tuple[Running, int]]:
    """A server, and the port of a Prometheus that scrapes it every two seconds."""
    server = run(workers=2)
    server.serving(1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    scraped = {"job_name": "funade", "static_configs": [{"targets": [f"127.0.0.1:{server.port}"]}]}
    every = {"scrape_interval": "2s", "scrape_timeout": "2s"}
    (tmp_path / "prometheus.yml").write_text(json.dumps({"global": every, "scrape_configs": [scraped]}))
    arguments = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb"]
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [prometheus, *arguments, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log
        )
    yield server, port
    process.kill()
    process.wait()
    shutil.rmtree(tmp_path / "tsdb", ignore_errors=True)


@pytest.mark.slow
def test_prometheus_scrapes_the_server(watched: tuple[Running, int]) -> None:
    server, port = watched
    until(lambda: query(port, 'up{job="funade"} == 1') or None)
    for _ in range(25):
        with Client(server.port) as client:
            assert client.ask({"km": 1}).status == 200

    def value(expression: str) -> float | None:
        found = query(port, expression)
        return float(found[0]["value"][1]) if found else None

    until(lambda: value('sum(funade_requests_total{api="arrival",status="200",door="http"})') == 25 or None)
    assert value('sum(funade_request_duration_seconds_bucket{le="+Inf",api="arrival"})') == 25
    quantile = value('histogram_quantile(0.99, sum by (le) (funade_request_duration_seconds_bucket{api="arrival"}))')
    assert quantile is not None and 0 < quantile < 10
    assert value("funade_release_info * on() group_left() funade_workers") == 2
    assert value("resets(funade_rows_total[1m])") == 0
