"""The whole life of the taxi example, by the commands a user types: ``python examples/demo.py [FOLDER]``.

Works on a copy in FOLDER, ``.demo`` unless told. Exits 0 when every step gave what it must, 1 at the first surprise.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PROJECT = Path(sys.argv[1] if len(sys.argv) > 1 else REPOSITORY / ".demo").resolve() / "taxi"
REAL = REPOSITORY.parent / "shared" / "data" / "green_taxi_2022"
STARTED = time.monotonic()
TRIP = {"pickup_zone": 74, "dropoff_zone": 263, "planned_miles": 2.4, "requested_at": "2022-04-01T08:30:00-04:00"}
CLIENTS = 4
PATIENCE = 120.0
"""Seconds that a server or a switch may take before the demo gives up."""


class Surprise(Exception):
    """A step gave something else than it must."""


def main() -> None:
    """Run every step; the exit code says whether all was as expected."""
    place = prepare()
    heading("Declarations are checked, days are loaded, everything is built")
    funade("check")
    funade("graph")
    funade("load", "--to", "2022-03-31", place=place)
    funade("load", "--to", "2022-03-31", place=place)
    funade("build")
    funade("status")

    heading("A cut of agreeing versions is staged, judged and released")
    funade("stage")
    funade("release")

    heading("The release answers over HTTP")
    with serving() as port:
        first = ask_once(port)
        refuse_a_stale_threshold()
        refuse_a_bad_model()
        switch_under_load(port)
        explain(first)
    funade("releases")
    funade("diff", "1", "2")
    funade("fsck")
    farewell()


def prepare() -> str:
    """Copy the example; give the folder with the month files."""
    shutil.rmtree(PROJECT, ignore_errors=True)
    left_out = shutil.ignore_patterns(".funade", "data", "__pycache__")
    shutil.copytree(REPOSITORY / "examples" / "taxi", PROJECT, ignore=left_out)
    print(f"The project is a copy of examples/taxi in {PROJECT}")
    given = os.environ.get("FUNADE_PLACE_TLC")
    if given or REAL.is_dir():
        place = str(Path(given).resolve() if given else REAL)
        print(f"The rides are real: green-taxi records of New York City, {place}")
        return place
    print("No real records here (FUNADE_PLACE_TLC): the example makes a city of its own.")
    run([sys.executable, "-m", "taxi.city", "data"], shown="python -m taxi.city data")
    return str(PROJECT / "data")


def ask_once(port: int) -> str:
    """One request as a client sends it, and one that breaks the contract; the prediction id of the first."""
    body = json.dumps(TRIP)
    print(f"\n$ curl -i http://127.0.0.1:{port}/v1/arrival --json '{body}'")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    status, headers, answer = post(connection, body)
    print(f"HTTP {status}")
    for name in sorted(headers):
        if name.startswith("funade-"):
            print(f"{name}: {headers[name]}")
    print(answer)
    expect(status == 200 and set(json.loads(answer)) == {"eta_min", "promised_min"}, "an answer to the contract")
    expect(headers.get("funade-release") == "1", "release 1 in the headers")
    broken = json.dumps(TRIP | {"planned_miles": -3})
    print(f"\n$ curl http://127.0.0.1:{port}/v1/arrival --json '{broken}'")
    status, _, answer = post(connection, broken)
    print(f"HTTP {status}\n{answer}")
    expect(status == 422, "a request that breaks the contract refused with 422")
    connection.close()
    return headers["funade-prediction"]


def explain(prediction: str) -> None:
    """The first answer, several releases later: what it was made from, and the same answer given again."""
    heading("Every answer is logged, explained, and given again by the release that gave it")
    told = funade("explain", prediction)
    expect("bit for bit" in told, "the same answer again")


def refuse_a_stale_threshold() -> None:
    """A model is replaced, its threshold is not: the two were not built from each other."""
    heading("A model is exchanged alone: its threshold no longer fits, and the cut is refused")
    made = funade("build", "eta", "--set", "trees=10")
    version = re.search(r"built (eta@[0-9a-f]+)", made)
    expect(version is not None, "an attempt of eta")
    assert version is not None
    funade("stage", version[1])
    refused = funade("stage", expected=1)
    expect("Cut" in refused and "eta" in refused, "the pair that disagrees")
    while mending := re.search(r"run: funade ((?:build|stage) [^;\n]+)$", refused):
        print("  (the message says what mends it)")
        funade(*mending[1].split())
        refused = funade("stage", expected=None)


def refuse_a_bad_model() -> None:
    """The cut now agrees with itself, but what it decides is not good enough."""
    heading("The cut agrees with itself now; the gate measures it and refuses it")
    refused = funade("release", expected=1)
    expect("GateClosed" in refused and "mae" in refused, "a gate closed by the mean absolute error")
    funade("unstage", "eta")


def switch_under_load(port: int) -> None:
    """A good release and a rollback, while clients keep asking on open connections."""
    heading(f"A better release is switched, and back, while {CLIENTS} clients keep asking")
    with (PROJECT / "funade.toml").open("a", encoding="utf-8") as file:
        file.write("\n[settings.eta]\ntrees = 300\n")
    print("\n(in funade.toml: [settings.eta] trees = 300)")
    funade("build")
    funade("stage")
    load = Load(port)
    with load:
        load.wait_for("1")
        funade("release")
        load.wait_for("2")
        funade("rollback")
        load.wait_for("1")
    expect(not load.failed, f"no failed request: {load.failed[:3]}")
    bodies = {release: {body for r, body in load.answers if r == release} for release in ("1", "2")}
    mixed = sum(n for (r, body), n in load.answers.items() if len(bodies.get(r, ())) != 1)
    told = Counter[str]()
    for (release, _), n in load.answers.items():
        told[release] += n
    by = ", ".join(f"{told[release]} by release {release}" for release in sorted(told))
    print(f"\n{told.total()} answers: {by}, {len(load.failed)} failed, {mixed} mixed")
    expect(set(told) == {"1", "2"} and mixed == 0, "every answer wholly by one release")
    expect(bodies["1"] != bodies["2"], "the two releases to answer differently")


class Load:
    """Clients that keep asking for the same trip, each on one open connection, until told to stop."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answers = Counter[tuple[str, str]]()
        self.failed: list[str] = []
        self.latest = [""] * CLIENTS
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(i,), daemon=True) for i in range(CLIENTS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def wait_for(self, release: str) -> None:
        """Return once every client's latest answer is of that release."""
        wait(lambda: all(r == release for r in self.latest), f"release {release} to answer every client")

    def _ask(self, client: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.connect()
        connection.auto_open = 0  # a connection that the server closes is a failure, not a reason to call again
        while not self._stop.is_set():
            try:
                status, headers, body = post(connection, json.dumps(TRIP))
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.failed.append(repr(error))
                return
            with self._lock:
                if status == 200:
                    self.latest[client] = headers.get("funade-release", "")
                    self.answers[self.latest[client], body] += 1
                else:
                    self.failed.append(f"{status} {body}")
            self._stop.wait(0.02)
        connection.close()


@contextlib.contextmanager
def serving() -> Iterator[int]:
    """A server of the project on a free port, stopped at the end with all its processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    print(f"\n$ funade serve --port {port} &")
    log = (PROJECT.parent / "serve.log").open("w+", encoding="utf-8")
    command = [*FUNADE, "-C", str(PROJECT), "serve", "--port", str(port)]
    server = subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        wait(lambda: ready(port) or server.poll() is not None, "the server to be ready")
        expect(server.poll() is None, "a server that stays up: " + Path(log.name).read_text("utf-8"))
        print(f"ready on http://127.0.0.1:{port} after the first release was loaded and answered its golden rows")
        yield port
        server.terminate()
        expect(server.wait(PATIENCE) in (0, -signal.SIGTERM), "a server that stops when told")
        wait(lambda: not alive(server.pid), "no process of the server to be left")
        print("\nThe server is stopped; no process is left.")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        log.close()


def alive(group: int) -> bool:
    """Whether any process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def ready(port: int) -> bool:
    """Whether the server says that a release is loaded."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False


def post(connection: http.client.HTTPConnection, body: str) -> tuple[int, dict[str, str], str]:
    """Status, headers in small letters, and body of one request."""
    connection.request("POST", "/v1/arrival", body, {"content-type": "application/json"})
    response = connection.getresponse()
    return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read().decode()


def wait(reached: object, what: str) -> None:
    """Return once ``reached()`` is true; a surprise when that takes longer than ``PATIENCE``."""
    assert callable(reached)
    until = time.monotonic() + PATIENCE
    while not reached():
        expect(time.monotonic() < until, what)
        time.sleep(0.05)


FUNADE = [sys.executable, "-c", "from funade.cli import main; main()"]


def funade(*arguments: str, place: str = "", expected: int | None = 0) -> str:
    """One command of funade in the project; its output. ``expected`` None lets it succeed or be refused."""
    environ = os.environ | ({"FUNADE_PLACE_TLC": place} if place else {})
    return run([*FUNADE, *arguments], shown=f"funade {' '.join(arguments)}", expected=expected, environ=environ)


def run(command: list[str], *, shown: str, expected: int | None = 0, environ: dict[str, str] | None = None) -> str:
    """Run a command in the project, printing it and what it said."""
    print(f"\n$ {shown}", flush=True)
    begun = time.monotonic()
    done = subprocess.run(
        command, cwd=PROJECT, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600
    )
    output = done.stdout.rstrip()
    if output:
        print(output)
    if done.returncode:
        print(f"(exit {done.returncode}, {time.monotonic() - begun:.1f} s)")
    else:
        print(f"({time.monotonic() - begun:.1f} s)")
    expect(
        done.returncode in ((0, 1) if expected is None else (expected,)),
        f"`{shown}` to exit {expected}, not {done.returncode}",
    )
    return output


def expect(holds: bool, what: str) -> None:
    """Stop the demo unless it holds."""
    if not holds:
        raise Surprise(f"expected {what}")


def heading(text: str) -> None:
    """Print a heading."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def farewell() -> None:
    """Say what to open next."""
    heading(f"All of it as expected, in {time.monotonic() - STARTED:.0f} s. What to open next")
    print("  examples/taxi/taxi/arrival.py   the example's nodes")
    print("  docs/tutorial.md                from an empty folder to a served release")
    print(f"  .venv/bin/funade -C {os.path.relpath(PROJECT)} status   the project as the demo leaves it")


if __name__ == "__main__":
    try:
        main()
    except (Surprise, subprocess.TimeoutExpired) as error:
        sys.exit(f"\nThe demo met a surprise: {error}")
