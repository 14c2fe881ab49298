"""Commands about tokens, and the configuration that `export` prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from funade.cli import main
from support import toy

Said = Callable[..., tuple[str, str]]


@pytest.fixture
def said(root: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    """What one command prints, on standard output and on standard error."""

    def run(*arguments: str, code: int = 0) -> tuple[str, str]:
        ended: int | str | None = 0
        try:
            main(["-C", str(root), "--at", "2022-01-31T12:00", *arguments])
        except SystemExit as exit_:
            ended = exit_.code
        out, err = capsys.readouterr()
        assert ended == code, err
        return out, err

    return run


def test_a_token_is_printed_once_and_listed_without_its_text(said: Said, root: Path) -> None:
    assert said("token", "list") == ("name  role  made  expires\n", "")
    out, err = said("token", "add", "nightly", "--role", "submit", "--expires", "90d")
    assert out.startswith("funade_") and len(out) == 51
    assert err == "token `nightly` may submit; it is shown only now\n"
    said("token", "add", "box", "--role", "operate")
    out, _ = said("token", "list")
    assert out.splitlines() == [
        "name     role     made        expires",
        "nightly  submit   2022-01-31  2022-05-01 12:00",
        "box      operate  2022-01-31  never",
    ]
    listed = json.loads(said("token", "list", "--json")[0])
    assert listed[0] == {
        "name": "nightly",
        "role": "submit",
        "made": "2022-01-31T12:00:00Z",
        "expires": "2022-05-01T12:00:00Z",
    }
    file = root / ".funade" / "tokens.json"
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_token_is_removed_by_its_name(said: Said) -> None:
    said("token", "add", "nightly", "--role", "submit")
    assert said("token", "remove", "nightly") == ("token `nightly` is forgotten\n", "")
    _, err = said("token", "remove", "nightly", code=1)
    assert err == "ServeError: tokens expected `nightly`, got none; run: funade token list\n"


def test_the_file_of_tokens_is_where_the_project_says(said: Said, root: Path) -> None:
    toy.edit(root, "funade", "[project]", '[serve]\ntokens = "secret/tokens.json"\n\n[project]')
    said("token", "add", "nightly", "--role", "predict")
    assert (root / "secret" / "tokens.json").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["add", "x"], "Misuse: funade token add: --role expected predict, submit or operate, got none"),
        (
            ["add", "x", "--role", "admin"],
            "Misuse: funade token add: invalid value for '--role': 'admin' is",
        ),
        (["add", "-x", "--role", "submit"], "Misuse: funade token add: no such option '-x'"),
        (["add", "a b", "--role", "submit"], "Misuse: token expected a name of letters, digits, `.`, `_` and `-`"),
        (["add", "x", "--role", "submit", "--expires", "soon"], "Misuse: --expires expected a length of time like 90d"),
    ],
)
def test_a_token_that_cannot_be_made_is_one_line(said: Said, arguments: list[str], line: str) -> None:
    out, err = said("token", *arguments, code=2)
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith(line)


def test_haproxy_stands_before_the_peers_of_the_project(said: Said, root: Path) -> None:
    _, err = said("export", "haproxy", code=2)
    what = "funade export haproxy: servers expected, got none"
    assert err == f"Misuse: {what}; say --server HOST:PORT, or set `peers`\n"
    toy.edit(root, "funade", "[project]", '[serve]\npeers = ["a:80", "b:80:81"]\n\n[project]')
    out, _ = said("export", "haproxy")
    assert [line.split()[1:3] for line in out.splitlines() if line.startswith("    server ")] == [
        ["server1", "a:80"],
        ["server2", "b:80"],
    ]
    assert "funade_grpc" not in out
    out, _ = said(
        "export", "haproxy", "--server", "c:80:81", "--listen", ":90", "--grpc-listen", ":91", "--admin", "/a"
    )
    assert [line.split()[1] for line in out.splitlines() if line.startswith("    bind")] == [":90", ":91"]
    assert "    stats socket /a mode 660 level admin\n" in out
