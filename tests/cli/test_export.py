"""``funade export proto`` as a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from funade.cli import main
from support import toy


def _run(root: Path, *arguments: str) -> None:
    try:
        main(["-C", str(root), *arguments])
    except SystemExit as ended:
        assert not ended.code


def test_export_proto_prints_what_it_writes_to_files(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.write(root)
    here = toy.project(root)
    toy.load(here)
    toy.ship(here)
    capsys.readouterr()
    _run(root, "export", "proto")
    printed = capsys.readouterr().out
    assert 'syntax = "proto3";' in printed and "service Api {" in printed
    assert "  rpc One(Request) returns (Answer);" in printed
    protos = tmp_path / "protos"
    _run(root, "export", "proto", "--into", str(protos), "judge")
    (file,) = protos.rglob("*.proto")
    assert capsys.readouterr().out == f"{file}\n"
    assert file.read_text("utf-8") == printed
