from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from funade.digest import of_bytes
from funade.errors import BlobMissing, StoreError
from funade.store.ports.blobs import Blobs

HELLO = of_bytes(b"hello")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.binary(max_size=100))
def test_bytes_are_read_back_by_their_sha256(blobs: Blobs, data: bytes) -> None:
    digest = blobs.put_bytes(data)
    assert digest == of_bytes(data)
    assert blobs.read(digest) == data == blobs.path(digest).read_bytes()
    assert blobs.sound(digest)


def test_a_blob_is_one_and_the_same_file_that_cannot_be_written_to(blobs: Blobs) -> None:
    path = blobs.path(blobs.put_bytes(b"hello"))
    assert blobs.path(HELLO) == path
    assert path.stat().st_mode & 0o222 == 0


def test_the_same_bytes_again_change_nothing(blobs: Blobs) -> None:
    first = blobs.path(blobs.put_bytes(b"hello")).stat()
    with blobs.writing() as path:
        path.write_bytes(b"hello")
        assert blobs.adopt(path) == HELLO == blobs.put_bytes(b"hello")
    again = blobs.path(HELLO).stat()
    assert (again.st_ino, again.st_mtime_ns) == (first.st_ino, first.st_mtime_ns)


def test_many_that_keep_the_same_bytes_at_once_all_get_their_digest(blobs: Blobs) -> None:
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(blobs.put_bytes, [b"hello"] * 50)) == {HELLO}
    assert blobs.read(HELLO) == b"hello"


def test_what_is_not_there_is_said_to_be_missing(blobs: Blobs) -> None:
    for use in (blobs.path, blobs.read, blobs.sound):
        with pytest.raises(BlobMissing, match=r"^blob `2cf24d` expected in the store, got no file"):
            use(HELLO)
    assert list(blobs.foreign()) == []
    assert blobs.sweep(0) == 0


def test_what_is_written_aside_is_adopted_and_gone_from_there(blobs: Blobs) -> None:
    with blobs.writing() as path:
        path.write_bytes(b"hello")
        assert blobs.adopt(path) == HELLO
        assert not path.exists()
    assert blobs.read(HELLO) == b"hello"
    assert list(blobs.tmp.iterdir()) == []


def test_a_writer_that_fails_leaves_nothing(blobs: Blobs) -> None:
    def fail() -> None:
        with blobs.writing() as path:
            path.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(blobs.tmp.iterdir()) == []


def test_only_a_file_that_was_written_aside_is_adopted(blobs: Blobs, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(b"hello")
    with pytest.raises(StoreError) as refused:
        blobs.adopt(mine)
    assert str(refused.value) == f"store expected to adopt a file of {blobs.tmp}, got {mine}"
    assert mine.exists()


@pytest.mark.parametrize(
    "name", ["", "abc", "../" * 20 + "etc/passwd", "A" * 64, "g" * 64, HELLO + "\n", "é" * 64, "/" + HELLO[1:]]
)
def test_only_a_digest_reaches_the_file_system(blobs: Blobs, name: str) -> None:
    for use in (blobs.path, blobs.read, blobs.sound):
        with pytest.raises(StoreError) as refused:
            use(name)
        assert str(refused.value) == f"blob expected a digest of 64 hex digits, got {name[:80]!r}"


def test_only_old_leftovers_are_swept(blobs: Blobs) -> None:
    with blobs.writing() as path:
        path.write_bytes(b"hello")
        blobs.adopt(path)
    old, new, folder = blobs.tmp / "old", blobs.tmp / "new", blobs.tmp / "folder"
    for path in (old, new):
        path.write_text("half")
    folder.mkdir()
    (folder / "inside").write_text("half")
    for path in (old, folder):
        os.utime(path, (0, 0))
    assert blobs.sweep(3600) == 2
    assert list(blobs.tmp.iterdir()) == [new]
    assert blobs.read(HELLO) == b"hello"
