"""Releases that change everything while clients ask the same again: nothing of one is told as another's."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from funade.bind.release import load_release
from funade.contract import proto
from funade.project.project import Project
from funade.serve.grpc.typed import messages
from funade.serve.tokens import token_file
from support import toy, versioned
from support.client import Client
from support.command import serving
from support.stock import free_port
from support.wait import until
from support.witnesses import Asking, Seen, asking

ORDER = [1, 2, 3, 2]
"""The releases in the order in which they answer: the last is a rollback."""


@pytest.mark.slow
def test_drill_w4_what_one_release_keeps_is_never_told_as_another_s(tmp_path: Path) -> None:
    root, grpc_port = tmp_path / "w4", free_port()
    toy.write(root, {"funade.toml": toy.TOML.replace("toy", "w4")})
    token = token_file.add(versioned.ship(root, 1).tokens, "tests", "submit", now=datetime.now(UTC), expires=None)
    steps = [
        None,
        lambda: versioned.ship(root, 2),
        lambda: versioned.ship(root, 3),
        Project(root).rollback,
    ]
    later: list[dict[str, Any]] = []
    serve = ["-C", str(root), "serve", "--grpc-port", str(grpc_port)]
    with serving(serve, root / "serve.log") as port, asking(port, grpc_port) as clients:
        for release, step in zip(ORDER, steps, strict=True):
            if step is not None:
                step()
            until(lambda r=release: all(one.at(r) for one in clients))  # type: ignore[misc]
            later += [submitted(port, token, key) for key in ("the same", f"new {len(later)}")]
    sure = [seen for one in clients for seen in settled(one)]
    print(len(sure), "answers")
    assert {seen.what for seen in sure} == {*CHECKS}
    files = [described(root, release) for release in range(1, 4)]
    for seen in sure:
        CHECKS[seen.what](seen, files[seen.release - 1])
    assert [(found["release"], found["answer"]) for found in later] == [
        (release, versioned.answer(release, 700.0)) for own in ORDER for release in (1, own)
    ]
    logged(Project(root), sure, later)


def submitted(port: int, token: str, key: str) -> dict[str, Any]:
    """What the queue says to a request of that key."""
    with Client(port) as client:
        head = {"authorization": f"Bearer {token}", "idempotency_key": key}
        id = client.ask({"x": 700.0}, api="told/submit", **head).json["id"]
        look = f"GET /v1/queue/{id}?wait=60s HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n"
        found: dict[str, Any] = client.send(look.encode()).response().json
    return found


def settled(client: Asking) -> Iterator[Seen]:
    """All that a client saw with its release: what does not say it is of the one that spoke before and after it."""
    assert client.error is None, repr(client.error)
    seen = client.seen
    spoke = [one.release for one in seen if one.release]
    assert [release for release, _ in itertools.groupby(spoke)] == ORDER
    for index, one in enumerate(seen):
        if one.release:
            yield one
        elif index + 1 < len(seen) and seen[index - 1].release == seen[index + 1].release:
            yield one._replace(release=seen[index - 1].release)


def described(root: Path, release: int) -> tuple[FileDescriptorProto, Any]:
    """The file that a release's reflection must give, and the class of its answers."""
    found = load_release({"store": Project(root).store.address, "release": release})
    contract, wire = found.apis["told"].contract, found.wires["told"]
    return proto.descriptor_of(contract, wire), messages(contract, wire)["Answer"]


# -- what a release must say


def one(seen: Seen, _: Any) -> None:
    expected = versioned.answer(seen.release, seen.asked)
    if expected is None:
        assert (seen.got.status, seen.got.json["error"]) == (
            422,
            f"request expected `float` <= {1000.0 * seen.release}",
        )
        return
    assert (seen.got.status, seen.got.json) == (200, expected)
    assert seen.got.headers.get("funade-fallback") == ("error" if seen.asked == 99 else None)


def many(seen: Seen, _: Any) -> None:
    assert seen.got.json == [versioned.answer(seen.release, x) for x in seen.asked]


def oip(seen: Seen, _: Any) -> None:
    expected = versioned.answer(seen.release, seen.asked)
    if expected is None:
        assert seen.got.status == 422
        return
    assert seen.got.json["model_version"] == str(seen.release)
    assert {tensor["name"]: tensor["data"][0] for tensor in seen.got.json["outputs"]} == expected


def page(seen: Seen, _: Any) -> None:
    release, text = seen.release, seen.got.body.decode()
    assert seen.got.status == 200
    # What is between a client and the server may keep a page that does not forbid it, and knows of no release.
    assert seen.got.headers["cache-control"] == "no-store", seen.asked
    names = [name for name in ("more_1", "more_2", "more_3", "more_4") if name in text]
    if seen.asked == "/metrics":
        assert f'funade_release_info{{release="{release}"}} 1' in text
    elif seen.asked == "/readyz":
        assert json.loads(text) == {"status": "ready", "release": release}
    else:
        assert names == [f"more_{i}" for i in range(1, release + 1)], seen.asked
    if seen.asked == "/docs":
        assert f"<title>Release {release}</title>" in text
    if seen.asked == "/v1/told":
        found = json.loads(text)
        assert (found["release"], found["fallback"]) == (release, versioned.answer(release, 99))
        assert found["contract"]["takes_fields"][0]["le"] == 1000 * release
    if seen.asked == "/openapi.json":
        found = json.loads(text)
        takes = found["components"]["schemas"]["told.takes"]
        assert (found["info"]["version"], takes["description"]) == (str(release), f"A request of release {release}.")
        assert takes["properties"]["x"]["maximum"] == 1000 * release
        assert takes["properties"]["filled"]["default"] == release
    if seen.asked.startswith("/v2"):
        assert json.loads(text)["versions"] == [str(release)]


def over_grpc(seen: Seen, file: Any) -> None:
    expected = versioned.answer(seen.release, seen.asked)
    found = file[1].FromString(seen.got) if seen.got is not None else None
    assert (found and {field.name: getattr(found, field.name) for field in found.DESCRIPTOR.fields}) == expected


def oip_over_grpc(seen: Seen, _: Any) -> None:
    expected = versioned.answer(seen.release, seen.asked)
    if expected is None:
        assert seen.got is None
        return
    assert seen.got.model_version == str(seen.release)
    found = {o.name: [*o.contents.int64_contents, *o.contents.fp64_contents][0] for o in seen.got.outputs}
    assert found == expected


def metadata(seen: Seen, _: Any) -> None:
    assert [*seen.got.versions] == [str(seen.release)]
    more = [tensor.name for tensor in seen.got.inputs if tensor.name.startswith("more_")]
    assert more == [f"more_{i}" for i in range(1, seen.release + 1)]


def reflected(seen: Seen, file: Any) -> None:
    assert FileDescriptorProto.FromString(seen.got) == file[0]


CHECKS = {
    "one": one, "many": many, "oip": oip, "page": page, "grpc": over_grpc, "grpc oip": oip_over_grpc,
    "described": metadata, "reflected": reflected,
}  # fmt: skip


def logged(here: Project, sure: list[Seen], later: list[dict[str, Any]]) -> None:
    """Every answer is in the log, once, credited to the release that gave it."""
    rows = here.sql("SELECT prediction, release, door, fallback, answer.code AS code FROM predictions").itertuples()
    found = {row.prediction: row for row in rows}
    for seen in sure:
        if seen.prediction:
            count = len(seen.asked) if seen.what == "many" else "oip" in seen.what  # one object has no row's number
            ids = [f"{seen.prediction}.{i}" for i in range(count)] or [seen.prediction]
            assert {found[id].release for id in ids} == {seen.release}, seen
    assert {(row.release, abs(row.code)) for row in found.values()} == {(n, n) for n in (1, 2, 3)}
    assert all((row.fallback == "error") == (row.code < 0) for row in found.values())
    queued = {row.prediction: row.release for row in found.values() if row.door == "queue"}
    assert queued == {told["prediction"]: told["release"] for told in later}
    assert len(queued) == 1 + len(ORDER)
