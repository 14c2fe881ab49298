"""What an answer says when it is not the function's own: defaults, guards and the fallback, over a real server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from support.client import Client, Response
from support.fixtures import ended
from support.release import GUARDED
from support.server import Running
from support.wait import until

FALLBACK = {"ride": -1, "eta": 15.0, "pickup": "centre", "asked": False}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("guarded"), apis=GUARDED, workers=1)
    running.serving(1)
    yield running
    ended(running)


@pytest.fixture
def client(guarded: Running) -> Iterator[Client]:
    with Client(guarded.port) as found:
        yield found


def ride(number: int, **given: Any) -> dict[str, Any]:
    return {"ride": number, "km": 5.0, "demand": 1.0, "rides_30d": 2} | given


def own(number: int, **given: Any) -> dict[str, Any]:
    return {"ride": number, "eta": 12.0, "pickup": "centre", "asked": True} | given


def said(response: Response) -> dict[str, str]:
    names = ("fallback", "guard", "defaults")
    return {name: text for name in names if (text := response.headers.get(f"funade-{name}"))}


def metric(server: Running, name: str, **labels: str) -> float:
    """The sum of a metric's samples that bear these labels."""
    with Client(server.port) as client:
        text = client.send(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").response().body.decode()
    found = re.findall(rf"^{name}\{{(.*)\}} (\S+)$", text, re.M)
    wanted = {f'{label}="{value}"' for label, value in labels.items()}
    return sum(float(value) for given, value in found if wanted <= set(given.split(",")))


def rises(server: Running, name: str, before: float, by: float, **labels: str) -> None:
    until(lambda: metric(server, name, **labels) == before + by)


def test_drill_w1_a_feature_missing_for_one_item_leaves_every_row_its_own_answer(
    guarded: Running, client: Client
) -> None:
    before = metric(guarded, "funade_default_rows_total", api="suggest", field="demand")
    rows = [ride(n, km=float(n), demand=2.0) for n in range(20)]
    rows[7].pop("demand")
    rows[11]["demand"] = None

    response = client.ask(rows, api="suggest")

    assert [answer["ride"] for answer in response.json] == list(range(20))
    assert [a["eta"] for a in response.json] == [n * 2.0 * (1 if n in (7, 11) else 2) + 2 for n in range(20)]
    assert said(response) == {"defaults": "demand; rows=7 11"}
    rises(guarded, "funade_default_rows_total", before, 2, api="suggest", field="demand")


def test_drill_w2_the_share_of_defaults_is_counted_for_each_feature(guarded: Running, client: Client) -> None:
    rows = metric(guarded, "funade_rows_total", api="suggest")
    before = {f: metric(guarded, "funade_default_rows_total", api="suggest", field=f) for f in ("demand", "rides_30d")}

    for number in range(10):
        new = {"rides_30d": None} if number >= 4 else {}
        assert client.ask(ride(number, **new), api="suggest").json["ride"] == number

    rises(guarded, "funade_rows_total", rows, 10, api="suggest")
    rises(guarded, "funade_default_rows_total", before["rides_30d"], 6, api="suggest", field="rides_30d")
    rises(guarded, "funade_default_rows_total", before["demand"], 0, api="suggest", field="demand")


def test_drill_w8_a_failed_function_is_answered_by_the_fallback_and_says_so(guarded: Running, client: Client) -> None:
    response = client.ask([ride(0), ride(1, zone="raise"), ride(2)], api="suggest")

    assert response.status == 200
    assert response.json == [own(0), FALLBACK, own(2)]
    assert said(response) == {"fallback": "error; rows=1"}
    assert said(client.ask(ride(1, zone="raise"), api="suggest")) == {"fallback": "error"}


def test_drill_w8_an_error_is_never_a_good_answer(guarded: Running, client: Client) -> None:
    response = client.ask([ride(0), ride(1, zone="raise"), ride(2)], api="alone")

    assert response.status == 500
    assert response.json == {"error": "api `alone` failed to answer; see the server's log", "path": "$[1]"}
    assert "private" not in response.body.decode()
    assert said(response) == {}


def test_drill_w23_nan_and_infinity_never_leave_and_cost_no_neighbour(guarded: Running, client: Client) -> None:
    response = client.ask([ride(0), ride(1, zone="nan"), ride(2), ride(3, zone="infinity")], api="suggest")

    assert response.json == [own(0), FALLBACK, own(2), FALLBACK]
    assert said(response) == {"fallback": "nan; rows=1 3"}
    assert client.ask([ride(0), ride(1, zone="nan")], api="alone").status == 500


def test_drill_t4_a_dead_feature_store_is_answered_by_declared_defaults_and_marked(
    guarded: Running, client: Client
) -> None:
    rows = metric(guarded, "funade_rows_total", api="suggest")
    before = metric(guarded, "funade_default_rows_total", api="suggest", field="demand")

    responses = [client.ask([{"ride": n, "km": 5.0}, {"ride": -n, "km": 5.0}], api="suggest") for n in range(5)]

    for number, response in enumerate(responses):
        assert response.json == [own(number, eta=10.0), own(-number, eta=10.0)]
        assert said(response) == {"defaults": "demand; rows=0 1, rides_30d; rows=0 1"}
    rises(guarded, "funade_rows_total", rows, 10, api="suggest")
    rises(guarded, "funade_default_rows_total", before, 10, api="suggest", field="demand")


@pytest.mark.slow
def test_drill_t4_a_dead_feature_store_and_a_failing_function_are_alerted_once(
    run: Callable[..., Running],
) -> None:
    server = run(apis=GUARDED, workers=2)
    server.serving(1)
    for _ in range(20):
        with Client(server.port) as client:  # of both workers
            client.ask([{"ride": n, "km": 5.0, "rides_30d": 1} for n in range(10)], api="suggest")
            client.ask([ride(n, zone="nan") for n in range(10)], api="strict")

    def alerts() -> list[Any]:
        return [(a["what"], a["api"], a["of"], a["share"]) for a in server.events("alert")]

    assert until(lambda: len(alerts()) == 2 and alerts()) == [
        ("defaults stand for a feature", "suggest", "demand", 1.0),
        ("the fallback answers", "strict", "nan", 1.0),
    ]


def test_drill_t12_a_forbidden_pickup_never_leaves(guarded: Running, client: Client) -> None:
    before = metric(guarded, "funade_guard_rows_total", api="suggest", guard="allowed fallback")
    zones = ["centre", "airside", "north", "tracks"]

    def asked(number: int) -> Response:
        with Client(guarded.port) as one:
            return one.ask([ride(number, zone=zone) for zone in zones], api="suggest")

    with ThreadPoolExecutor(8) as crowd:
        for number, response in enumerate(crowd.map(asked, range(40))):
            assert response.json == [own(number), FALLBACK, own(number, pickup="north"), FALLBACK]
            assert said(response) == {"guard": "allowed fallback; rows=1 3", "fallback": "guard; rows=1 3"}
    rises(guarded, "funade_guard_rows_total", before, 80, api="suggest", guard="allowed fallback")


def test_a_clamped_answer_says_so_and_is_the_functions_own(guarded: Running, client: Client) -> None:
    response = client.ask([ride(0), ride(1, km=1000), ride(2, km=-9)], api="suggest")

    assert [a["eta"] for a in response.json] == [12.0, 120.0, 0.0]
    assert said(response) == {"guard": "eta clamped; rows=1 2"}
    assert said(client.ask(ride(1, km=1000), api="suggest")) == {"guard": "eta clamped"}


def test_all_that_an_answer_says_stands_beside_each_other(client: Client) -> None:
    zones = ["nan", "centre", "tracks", "raise", "centre"]
    rows = [ride(n, zone=zone, km=[5, 5, 5, 5, 900][n]) for n, zone in enumerate(zones)]
    rows[1].pop("demand")

    response = client.ask(rows, api="suggest")

    assert response.json == [FALLBACK, own(1), FALLBACK, FALLBACK, own(4, eta=120.0)]
    assert {name: set(text.split(", ")) for name, text in said(response).items()} == {
        "fallback": {"nan; rows=0", "guard; rows=2", "error; rows=3"},
        "guard": {"eta clamped; rows=4", "allowed fallback; rows=2"},
        "defaults": {"demand; rows=1"},
    }


def test_of_many_rows_the_first_sixteen_are_named(client: Client) -> None:
    response = client.ask([ride(n, zone="airside") for n in range(20)], api="suggest")

    assert response.headers["funade-fallback"] == f"guard; rows={' '.join(map(str, range(16)))} +4"


def test_a_guard_that_rejects_leaves_no_answer_even_beside_a_fallback(client: Client) -> None:
    assert client.ask([ride(0), ride(1)], api="strict").json == [own(0), own(1)]
    response = client.ask([ride(0), ride(1, zone="tracks")], api="strict")
    assert (response.status, response.json["path"]) == (500, "$[1]")
    assert client.ask(ride(1, zone="tracks"), api="strict").status == 500
    assert client.ask(ride(1, zone="tracks"), api="alone").status == 500


def test_a_value_that_is_there_must_still_keep_the_contract(client: Client) -> None:
    response = client.ask([ride(0), ride(1, demand=-1)], api="suggest")

    assert (response.status, response.json["path"]) == (422, "$[1].demand")
