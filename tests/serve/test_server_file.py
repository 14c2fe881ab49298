"""What a server says of itself is read until it ends, and nothing of a dead one is left to who takes its port."""

from __future__ import annotations

from pathlib import Path

from funade.serve.server_file import ServerFile, ServerState, read

STATE = ServerState(pid=1, host="127.0.0.1", port=8080, release=41, generation=7, workers=(2, 3))


def test_a_server_is_read_until_it_removes_its_file(tmp_path: Path) -> None:
    path = tmp_path / "serve" / "8080.json"
    assert read(path) is None
    file = ServerFile(path.parent, 8080)
    assert read(path) is None
    file.write(STATE)
    assert read(path) == STATE
    file.remove()
    assert read(path) is None


def test_nothing_of_a_dead_server_is_left_when_another_takes_its_port(tmp_path: Path) -> None:
    ServerFile(tmp_path, 8080).write(STATE)
    ServerFile(tmp_path, 8080)
    assert read(tmp_path / "8080.json") is None


def test_a_half_written_or_foreign_file_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text("{")
    (tmp_path / "2.json").write_text("[]")
    assert read(tmp_path / "1.json") is None
    assert read(tmp_path / "2.json") is None
