"""Who may do what."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from funade.errors import Misuse, ServeError
from funade.serve.tokens import token_file
from funade.serve.tokens.token_file import add, length, read, remove
from funade.serve.tokens.tokens import Tokens

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def statuses(tokens: Tokens, shown: str | bytes | None) -> list[int]:
    found = [tokens.refusal(role, shown) for role in ("open", "predict", "submit", "operate")]
    return [refused[0] if refused else 200 for refused in found]


def test_without_any_token_nobody_may_change_anything(path: Path) -> None:
    tokens = Tokens(str(path), Hand())
    for shown in (None, "", "Bearer ", "Bearer funade_x", b"Basic eDp5", "Bearer " + "x" * 100_000):
        assert statuses(tokens, shown) == [200, 200, 401, 401]
    assert tokens.refusal("operate", None) == (
        401,
        "this needs a token that may operate; make one: funade token add NAME --role operate",
    )
    assert statuses(Tokens("", Hand(), "token"), None) == [200, 401, 401, 401]


def test_each_role_may_what_those_before_it_may(path: Path) -> None:
    shown = {role: "Bearer " + add(path, role, role, now=NOW) for role in ("predict", "submit", "operate")}
    tokens = Tokens(str(path), Hand(), "token")
    assert statuses(tokens, shown["predict"]) == [200, 200, 403, 403]
    assert statuses(tokens, shown["submit"].encode()) == [200, 200, 200, 403]
    assert statuses(tokens, shown["operate"].replace("Bearer", "bearer")) == [200, 200, 200, 200]
    assert statuses(tokens, shown["operate"][:-1]) == [200, 401, 401, 401]
    assert statuses(tokens, shown["operate"].partition(" ")[2]) == [200, 401, 401, 401]
    assert tokens.refusal("submit", shown["predict"]) == (
        403,
        "token `predict` may predict, expected submit; make one: funade token add NAME --role submit",
    )


@pytest.mark.parametrize("role", ["", "Open", "admin", "OPERATE"])
def test_what_needs_no_known_role_is_refused_to_everybody(path: Path, role: str) -> None:
    shown = "Bearer " + add(path, "all", "operate", now=NOW)
    assert Tokens(str(path), Hand()).refusal(role, shown) == (403, "nobody may do this")


def test_a_token_ends_when_it_expires(path: Path) -> None:
    clock = Hand()
    shown = "Bearer " + add(path, "ci", "submit", now=NOW, expires=length("90d"))
    tokens = Tokens(str(path), clock)
    clock.at = NOW + timedelta(days=90, seconds=-1)
    assert (tokens.refusal("submit", shown), tokens.tick()) == (None, False)
    clock.at = NOW + timedelta(days=90)
    assert tokens.refusal("submit", shown) == (
        401,
        "the token is not known here or has expired; make one: funade token add NAME --role submit",
    )
    assert (tokens.tick(), tokens.tick()) == (True, False)


def test_a_changed_file_is_read_at_the_next_tick(path: Path) -> None:
    tokens = Tokens(str(path), Hand())
    assert not tokens.tick()
    shown = "Bearer " + add(path, "ci", "submit", now=NOW)
    assert tokens.refusal("submit", shown) is not None
    assert (tokens.tick(), tokens.tick()) == (True, False)
    assert tokens.refusal("submit", shown) is None
    remove(path, "ci")
    assert tokens.tick()
    assert tokens.refusal("submit", shown) is not None


def test_a_file_that_breaks_while_serving_changes_nothing_and_is_told(path: Path) -> None:
    told: list[str] = []
    shown = "Bearer " + add(path, "ci", "submit", now=NOW)
    tokens = Tokens(str(path), Hand(), troubled=told.append)
    path.write_text("{")
    assert not tokens.tick()
    assert tokens.refusal("submit", shown) is None
    assert told == [
        "ServeError: file of tokens expected to be written by `funade token`, got: Input data was truncated"
        f" - at {path}; restore it, or remove it and make new tokens"
    ]


def test_without_a_file_of_tokens_no_other_file_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told: list[str] = []
    tokens = Tokens("", Hand(), troubled=told.append)
    (tmp_path / "another").touch()
    assert not tokens.tick()
    assert told == []


def test_the_text_of_a_token_is_kept_nowhere(path: Path) -> None:
    texts = [add(path, name, "operate", now=NOW) for name in ("one", "two")]
    assert len({*texts}) == 2
    assert all(len(text) == len("funade_") + 43 for text in texts)
    for file in path.parent.iterdir():
        assert not any(text[7:] in file.read_text() for text in texts)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_others_may_write_is_refused(path: Path) -> None:
    add(path, "ci", "operate", now=NOW)
    os.chmod(path, 0o620)  # noqa: PTH101
    with pytest.raises(ServeError) as refused:
        Tokens(str(path), Hand())
    assert str(refused.value) == (
        f"file of tokens expected to be its owner's alone, got one that others may write - at {path};"
        f" run: chmod 600 {path}"
    )


def test_a_name_is_used_once_and_removed_once(path: Path) -> None:
    add(path, "nightly", "operate", now=NOW)
    with pytest.raises(ServeError) as taken:
        add(path, "nightly", "submit", now=NOW)
    assert str(taken.value) == "token `nightly` expected a new name, got one in use; run: funade token remove nightly"
    with pytest.raises(ServeError) as unknown:
        remove(path, "nihgtly")
    assert str(unknown.value) == "tokens expected `nihgtly`, got none; did you mean `nightly`?"
    remove(path, "nightly")
    assert read(path) == ()


@pytest.mark.parametrize("name", ["", "-x", "a b", "a\n", "x" * 65, "ü"])
def test_a_name_is_of_plain_characters(path: Path, name: str) -> None:
    with pytest.raises(Misuse):
        add(path, name, "operate", now=NOW)
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "90", "d", "0d", "-1d", "1.5h", "1w", "9999999d"])
def test_a_length_of_time_is_a_number_and_a_unit(text: str) -> None:
    with pytest.raises(Misuse, match="--expires expected a length of time like 90d, 12h or 30m"):
        length(text)


def test_a_half_written_file_is_never_seen(path: Path) -> None:
    add(path, "ci", "operate", now=NOW)
    path.with_name("tokens.json.new").write_text("{")  # a writer died here
    add(path, "cd", "operate", now=NOW)
    assert [token.name for token in token_file.read(path)] == ["ci", "cd"]
