"""The page that Prometheus reads."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from funade.serve.http.metrics_page import ServerFacts, page
from funade.serve.metrics.counters import ApiCounters, Counters
from support.metrics import samples, summed
from support.repository import REPOSITORY

COUNTS = Counters(
    apis={
        "": ApiCounters(requests={"http 404": 1}),
        "eta": ApiCounters(
            requests={"http 200": 5, "grpc 200": 2},
            rows=9,
            took=[0, 3, 0, 0, 4, *[0] * 9, 0],
            took_s=0.125,
            calls=[0, 1, 1, *[0] * 9],
            call_rows=6,
            fallback={"busy": 2},
            guards={'eta "clamped"\\\n': 1},
            waiting=4,
        ),
    },
    cpu_s=1.5,
    ended=1,
)
QUEUE = {"waiting": 2.0, "dead": 1.0, "oldest_age_seconds": 0.5}


def test_the_page_says_what_was_counted() -> None:
    found = samples(page(COUNTS, ServerFacts(41, begun=1e9, queue=QUEUE)))
    assert found['funade_release_info{release="41"}'] == 1
    assert found['funade_requests_total{api="eta",door="grpc",status="200"}'] == 2
    assert found['funade_requests_total{api="",door="http",status="404"}'] == 1
    assert found['funade_request_duration_seconds_bucket{api="eta",le="0.001"}'] == 3
    assert found['funade_request_duration_seconds_bucket{api="eta",le="+Inf"}'] == 7
    assert found['funade_request_duration_seconds_count{api="eta"}'] == 7
    assert found['funade_request_duration_seconds_sum{api="eta"}'] == 0.125
    assert found['funade_call_rows_bucket{api="eta",le="4.0"}'] == 2
    assert found['funade_guard_rows_total{api="eta",guard="eta \\"clamped\\"\\\\\\n"}'] == 1
    assert found['funade_waiting_rows{api="eta"}'] == 4
    assert found["funade_queue_oldest_age_seconds"] == 0.5
    assert found["process_start_time_seconds"] == 1e9
    assert summed(found, "funade_requests_total", door="http") == 6


def test_openmetrics_ends_with_eof_and_names_counters_without_total() -> None:
    text = page(COUNTS, ServerFacts(41), open_metrics=True)
    assert text.endswith("\n# EOF\n")
    assert "# TYPE funade_requests counter" in text
    assert "# TYPE funade_release info" in text
    assert samples(text) == samples(page(COUNTS, ServerFacts(41)))


@pytest.mark.parametrize("queue", [None, QUEUE])
def test_promtool_finds_nothing_to_say(prometheus: str, queue: dict[str, float] | None) -> None:
    promtool = shutil.which("promtool")
    assert promtool is not None
    text = page(COUNTS, ServerFacts(41, queue=queue))
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_metric_is_documented() -> None:
    text = (REPOSITORY / "docs" / "metrics.md").read_text("utf-8")
    typed = re.findall(r"^# TYPE (\S+)", page(COUNTS, ServerFacts(41, queue=QUEUE)), flags=re.M)
    assert len(typed) > 15
    assert [name for name in typed if f"`{name}`" not in text] == []
