"""What servers say of themselves is believed only while they live."""

from __future__ import annotations

from pathlib import Path

from funade.serve.server_file import ServerFile, ServerState, servers


def test_a_server_is_listed_while_its_file_is_held(tmp_path: Path) -> None:
    assert servers(tmp_path) == []
    file = ServerFile(tmp_path / "serve", 8080)
    assert servers(tmp_path / "serve") == []
    said = ServerState(pid=1, host="127.0.0.1", port=8080, release=41, generation=7, workers=(2, 3))
    file.write(said)
    assert servers(tmp_path / "serve") == [said]
    file.remove()
    assert servers(tmp_path / "serve") == []


def test_a_dead_servers_file_is_not_believed_also_when_another_takes_its_port(tmp_path: Path) -> None:
    said = ServerState(pid=1, host="127.0.0.1", port=8080, release=41, generation=7)
    (tmp_path / "8080.lock").touch()
    (tmp_path / "8080.json").write_bytes(b'{"pid":1,"host":"127.0.0.1","port":8080,"release":41,"generation":7}')
    assert servers(tmp_path) == []
    file = ServerFile(tmp_path, 8080)
    assert servers(tmp_path) == []
    file.write(said)
    assert servers(tmp_path) == [said]
    file.remove()


def test_a_half_written_or_foreign_file_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text("{")
    (tmp_path / "2.json").write_text("[]")
    assert servers(tmp_path) == []
