# ruff: noqa: E501 - a message is asserted whole, on one line
from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from funade import points
from funade.digest import of_bytes
from funade.errors import BlobDamaged, BlobMissing, DiskFull, StoreError
from funade.store.blobs import Blobs
from support.crowd import crowd

HELLO = of_bytes(b"hello")


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "store")


def files_of(blobs: Blobs) -> list[str]:
    return sorted(p.relative_to(blobs.root).as_posix() for p in blobs.root.rglob("*") if p.is_file())


# -- kept ------------------------------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.binary(max_size=100))
def test_bytes_are_read_back_by_their_sha256(blobs: Blobs, data: bytes) -> None:
    digest = blobs.put_bytes(data)
    assert digest == of_bytes(data)
    assert blobs.read(digest) == data == blobs.path(digest).read_bytes()
    assert blobs.has(digest) and blobs.sound(digest)
    assert list(blobs.tmp.iterdir()) == []


def test_a_blob_lies_below_two_digits_and_cannot_be_written_to(blobs: Blobs) -> None:
    path = blobs.path(blobs.put_bytes(b"hello"))
    assert path == blobs.root / "blobs" / HELLO[:2] / HELLO[2:]
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert path.stat().st_nlink == 1


def test_nothing_is_made_before_the_first_write(blobs: Blobs) -> None:
    assert not blobs.has(HELLO)
    assert list(blobs.all()) == [] == list(blobs.foreign())
    assert blobs.sweep(0) == 0
    assert not blobs.root.exists()


def test_a_file_is_kept_and_stays_where_it_was(blobs: Blobs, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(b"hello")
    assert blobs.put_file(mine) == HELLO
    mine.write_bytes(b"changed")
    assert blobs.read(HELLO) == b"hello"


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
    assert files_of(blobs) == []


def test_only_a_file_that_was_written_aside_is_adopted(blobs: Blobs, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(b"hello")
    with pytest.raises(StoreError) as refused:
        blobs.adopt(mine)
    assert str(refused.value) == f"store expected to adopt a file of {blobs.tmp}, got {mine}"
    assert mine.exists()


def test_the_same_bytes_again_leave_the_first_file_untouched(blobs: Blobs) -> None:
    first = blobs.path(blobs.put_bytes(b"hello")).stat()
    blobs.put_bytes(b"hello")
    with blobs.writing() as path:
        path.write_bytes(b"hello")
        blobs.adopt(path)
    again = blobs.path(HELLO).stat()
    assert (again.st_ino, again.st_mtime_ns, again.st_nlink) == (first.st_ino, first.st_mtime_ns, 1)


def test_all_blobs_are_listed_in_order_and_foreign_files_apart(blobs: Blobs) -> None:
    digests = sorted(blobs.put_bytes(str(i).encode()) for i in range(20))
    strange = [
        blobs.folder / "notes.txt",
        blobs.folder / HELLO[:2] / "x",
        blobs.folder / "zz",
        blobs.folder / "AB" / HELLO[2:],
    ]
    for path in strange:
        path.parent.mkdir(exist_ok=True)
        path.write_text("?")
    assert list(blobs.all()) == digests
    assert set(blobs.foreign()) == {strange[0], strange[1], strange[2], strange[3].parent}


# -- refused ---------------------------------------------------------------------------------------


def test_a_missing_blob_is_named(blobs: Blobs) -> None:
    place = blobs.folder / HELLO[:2] / HELLO[2:]
    for use in (blobs.path, blobs.read, blobs.sound):
        with pytest.raises(BlobMissing) as refused:
            use(HELLO)
        assert refused.value.line() == (
            f"BlobMissing: blob `2cf24d` expected in the store, got no file - at {place}; run: funade fsck"
        )


def test_an_altered_blob_is_named_when_read(blobs: Blobs) -> None:
    place = blobs.path(blobs.put_bytes(b"hello"))
    place.chmod(0o644)
    place.write_bytes(b"jello")
    with pytest.raises(BlobDamaged) as refused:
        blobs.read(HELLO)
    assert refused.value.line() == (
        f"BlobDamaged: blob `2cf24d` expected its own bytes, got others - at {place}; run: funade fsck"
    )
    assert not blobs.sound(HELLO)


def test_bytes_are_not_taken_for_kept_where_a_truncated_blob_bears_their_name(blobs: Blobs, tmp_path: Path) -> None:
    place = blobs.path(blobs.put_bytes(b"hello"))
    place.chmod(0o644)
    place.write_bytes(b"hel")
    mine = tmp_path / "mine"
    mine.write_bytes(b"hello")
    puts: list[Callable[[], str]] = [lambda: blobs.put_bytes(b"hello"), lambda: blobs.put_file(mine)]
    for put in puts:
        with pytest.raises(BlobDamaged, match="blob `2cf24d` expected its own bytes, got others"):
            put()
    assert list(blobs.tmp.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["", "abc", "../" * 20 + "etc/passwd", "A" * 64, "g" * 64, HELLO + "\n", "é" * 64, "/" + HELLO[1:]]
)
def test_only_a_digest_reaches_the_file_system(blobs: Blobs, name: str) -> None:
    for use in (blobs.path, blobs.read, blobs.has, blobs.sound):
        with pytest.raises(StoreError) as refused:
            use(name)
        assert str(refused.value) == f"blob expected a digest of 64 hex digits, got {name[:80]!r}"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("point", ["blob.written", "blob.linked"])
def test_a_disk_that_is_full_at_any_step_is_one_line_and_leaves_nothing_half(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch, point: str, code: int
) -> None:
    def fail(passed: str) -> None:
        if passed == point:
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(points, "watch", fail)
    with pytest.raises(DiskFull) as refused:
        blobs.put_bytes(b"hello")
    assert refused.value.line() == (
        f"DiskFull: store expected room for a blob, got: {os.strerror(code)} - at {blobs.root}; free some room, then run it again"
    )
    assert list(blobs.tmp.iterdir()) == []
    monkeypatch.setattr(points, "watch", None)
    assert blobs.read(blobs.put_bytes(b"hello")) == b"hello"


LIMITED = """
import resource, signal, sys
from pathlib import Path
from funade.errors import FunadeError
from funade.store.blobs import Blobs
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
blobs = Blobs(Path(sys.argv[1]))
small = blobs.put_bytes(b"hello")

def whole():
    blobs.put_bytes(b"x" * 10_000)

def copied():
    blobs.put_file(Path(sys.argv[2]))

def aside():
    with blobs.writing() as path:
        with path.open("wb") as file:
            file.write(b"x" * 10_000)
        blobs.adopt(path)

def parquet():
    import pyarrow as pa
    import pyarrow.parquet as pq
    with blobs.writing() as path:
        pq.write_table(pa.table({"x": list(range(100_000))}), path, compression="none", use_dictionary=False)
        blobs.adopt(path)

for act in (whole, copied, aside, parquet):
    try:
        act()
        print("kept")
    except FunadeError as error:
        print(error.line())
"""


def test_a_file_that_the_disk_does_not_take_whole_is_not_kept(blobs: Blobs, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"x" * 10_000)
    script = [sys.executable, "-c", LIMITED, str(blobs.root), str(large)]
    said = subprocess.run(script, capture_output=True, text=True, check=True)
    line = f"DiskFull: store expected room for a blob, got: File too large - at {blobs.root}; free some room, then run it again"
    assert said.stdout.splitlines() == [line] * 4
    assert list(blobs.all()) == [HELLO]
    assert list(blobs.tmp.iterdir()) == []


READ_ONLY = """
import os, sys
from pathlib import Path
from funade.errors import FunadeError
from funade.store.blobs import Blobs
if os.geteuid() == 0:
    os.setuid(65534)
blobs = Blobs(Path(sys.argv[1]))
try:
    blobs.put_bytes(b"other")
except FunadeError as error:
    print(error.line())
print(blobs.read(sys.argv[2]))
"""


@pytest.mark.parametrize("sealed", ["", "tmp", "blobs"])
def test_a_folder_that_cannot_be_written_is_refused_and_still_read(blobs: Blobs, tmp_path: Path, sealed: str) -> None:
    blobs.put_bytes(b"hello")
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder.stat().st_mode & 0o055 != 0o055:
            folder.chmod(0o755)
    for folder in (blobs.root, blobs.tmp, blobs.folder):
        folder.chmod(0o777)
    (blobs.root / sealed).chmod(0o555)
    if not sealed:
        blobs.tmp.rmdir()
    script = [sys.executable, "-c", READ_ONLY, str(blobs.root), HELLO]
    said = subprocess.run(script, capture_output=True, text=True, check=True)
    refusal, read = said.stdout.splitlines()
    assert refusal.startswith(
        f"StoreError: store expected a folder it can write, got: Permission denied - at {blobs.root / (sealed or 'tmp')}"
    )
    assert refusal.endswith("; make it writable")
    assert read == "b'hello'"
    (blobs.root / sealed).chmod(0o755)


def test_a_file_where_a_folder_should_be_is_refused(blobs: Blobs) -> None:
    blobs.root.mkdir()
    blobs.folder.write_text("")
    with pytest.raises(StoreError) as refused:
        blobs.put_bytes(b"hello")
    assert refused.value.line() == (
        f"StoreError: store expected a folder it can write, got: Not a directory - at {blobs.folder / HELLO[:2] / HELLO[2:]}; make it writable"
    )


# -- left behind -----------------------------------------------------------------------------------


def test_only_old_leftovers_are_swept(blobs: Blobs) -> None:
    blobs.put_bytes(b"hello")
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


KILLED = """
import os, sys
from pathlib import Path
from funade import points
from funade.store.blobs import Blobs
points.watch = lambda name: os._exit(9) if name == sys.argv[2] else None
Blobs(Path(sys.argv[1])).put_bytes(b"hello")
"""


@pytest.mark.parametrize(("point", "kept"), [("blob.written", False), ("blob.linked", True)])
def test_a_kill_at_a_commit_point_leaves_the_whole_blob_or_none(blobs: Blobs, point: str, kept: bool) -> None:
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", KILLED, str(blobs.root), point], check=False)
        # Bytes that are there already are not written again, so no point is passed.
        assert done.returncode in ((9, 0) if kept else (9,))
        assert list(blobs.all()) == ([HELLO] if kept else [])
    assert list(blobs.foreign()) == []
    assert blobs.sweep(-3600) >= 1
    assert blobs.read(blobs.put_bytes(b"hello")) == b"hello"
    assert blobs.path(HELLO).stat().st_nlink == 1


# -- many at once ----------------------------------------------------------------------------------


def test_fifty_processes_keep_the_same_bytes_once(blobs: Blobs) -> None:
    said = crowd(
        blobs.root,
        """
with blobs.writing() as path:
    path.write_bytes(b"hello")
    first = blobs.adopt(path)
return [first, blobs.put_bytes(b"hello"), blobs.read(first).decode()]
""",
    )
    assert said == [[HELLO, HELLO, "hello"]] * 50
    assert list(blobs.all()) == [HELLO]
    assert blobs.path(HELLO).stat().st_nlink == 1
    assert list(blobs.tmp.iterdir()) == []


def test_fifty_processes_keep_fifty_different_blobs(blobs: Blobs) -> None:
    said = crowd(blobs.root, "return blobs.put_bytes(str(me).encode())")
    assert list(blobs.all()) == sorted(said)
    assert all(blobs.sound(digest) for digest in said)
