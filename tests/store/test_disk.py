"""Names and bytes that last, names that appear whole, files held locked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from funade.store import disk


def test_a_file_holds_what_was_written_last_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    disk.write(tmp_path / "a", b"one")
    disk.write_unsynced(tmp_path / "a", b"two")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"two"}


def test_a_leftover_of_a_killed_writer_does_not_lend_its_mode(tmp_path: Path) -> None:
    (tmp_path / "a.new").write_bytes(b"half")
    (tmp_path / "a.new").chmod(0o666)
    disk.write(tmp_path / "a", b"whole", mode=0o600)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


def test_a_name_that_is_taken_is_not_linked_over(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"two")
    with pytest.raises(FileExistsError):
        disk.link(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"two"


def test_a_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    for _ in range(2):
        disk.make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()


def test_one_is_alone_until_its_block_ends(tmp_path: Path) -> None:
    with disk.alone(tmp_path / "lock"):
        assert disk.is_locked(tmp_path / "lock")
        with pytest.raises(BlockingIOError), disk.alone(tmp_path / "lock", wait=False):
            pass
    assert not disk.is_locked(tmp_path / "lock")


def test_a_file_opened_locked_is_held_from_the_moment_it_has_its_name(tmp_path: Path) -> None:
    file = disk.open_locked_unsynced(tmp_path / "a", tmp_path / "a.fresh", os.O_WRONLY)
    assert disk.is_locked(tmp_path / "a") and not (tmp_path / "a.fresh").exists()
    os.close(file)
    assert not disk.is_locked(tmp_path / "a")
