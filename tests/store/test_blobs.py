# ruff: noqa: E501 - a message is asserted whole, on one line
from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from funade import points
from funade.digest import of_bytes
from funade.errors import BlobDamaged, BlobMissing, DiskFull, StoreError
from funade.store.blobs import BlobFolder
from support.crowd import crowd
from support.records import digests

HELLO = of_bytes(b"hello")


@pytest.fixture
def blobs(tmp_path: Path) -> BlobFolder:
    return BlobFolder(tmp_path / "store")


# -- kept ------------------------------------------------------------------------------------------


def test_a_blob_lies_below_two_digits_and_cannot_be_written_to(blobs: BlobFolder) -> None:
    path = blobs.path(blobs.put_bytes(b"hello"))
    assert path == blobs.root / "blobs" / HELLO[:2] / HELLO[2:]
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert path.stat().st_nlink == 1


def test_nothing_is_made_before_the_first_write(blobs: BlobFolder) -> None:
    with pytest.raises(BlobMissing):
        blobs.path(HELLO)
    assert list(blobs.foreign()) == []
    assert blobs.sweep(0) == 0
    assert not blobs.root.exists()


def test_the_same_bytes_again_leave_the_first_file_untouched(blobs: BlobFolder) -> None:
    first = blobs.path(blobs.put_bytes(b"hello")).stat()
    blobs.put_bytes(b"hello")
    with blobs.writing() as path:
        path.write_bytes(b"hello")
        blobs.adopt(path)
    again = blobs.path(HELLO).stat()
    assert (again.st_ino, again.st_mtime_ns, again.st_nlink) == (first.st_ino, first.st_mtime_ns, 1)


def test_what_can_be_no_blob_is_named(blobs: BlobFolder) -> None:
    for i in range(20):
        blobs.put_bytes(str(i).encode())
    strange = [
        blobs.folder / "notes.txt",
        blobs.folder / HELLO[:2] / "x",
        blobs.folder / "zz",
        blobs.folder / "AB" / HELLO[2:],
    ]
    for path in strange:
        path.parent.mkdir(exist_ok=True)
        path.write_text("?")
    names = {path.relative_to(blobs.root).as_posix() for path in (*strange[:3], strange[3].parent)}
    assert set(blobs.foreign()) == names


# -- refused ---------------------------------------------------------------------------------------


def test_a_missing_blob_is_named(blobs: BlobFolder) -> None:
    place = blobs.folder / HELLO[:2] / HELLO[2:]
    for use in (blobs.path, blobs.read, blobs.sound):
        with pytest.raises(BlobMissing) as refused:
            use(HELLO)
        assert refused.value.line() == (
            f"BlobMissing: blob `2cf24d` expected in the store, got no file - at {place}; run: funade fsck"
        )


def test_an_altered_blob_is_named_when_read(blobs: BlobFolder) -> None:
    place = blobs.path(blobs.put_bytes(b"hello"))
    place.chmod(0o644)
    place.write_bytes(b"jello")
    with pytest.raises(BlobDamaged) as refused:
        blobs.read(HELLO)
    assert refused.value.line() == (
        f"BlobDamaged: blob `2cf24d` expected its own bytes, got others - at {place}; run: funade fsck"
    )
    assert not blobs.sound(HELLO)


def test_bytes_are_not_taken_for_kept_where_a_truncated_blob_bears_their_name(blobs: BlobFolder) -> None:
    place = blobs.path(blobs.put_bytes(b"hello"))
    place.chmod(0o644)
    place.write_bytes(b"hel")
    with pytest.raises(BlobDamaged, match="blob `2cf24d` expected its own bytes, got others"):
        blobs.put_bytes(b"hello")
    with pytest.raises(BlobDamaged), blobs.writing() as path:
        path.write_bytes(b"hello")
        blobs.adopt(path)
    assert list(blobs.tmp.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("point", ["blob.written", "blob.linked"])
def test_a_disk_that_is_full_at_any_step_is_one_line_and_leaves_nothing_half(
    blobs: BlobFolder, monkeypatch: pytest.MonkeyPatch, point: str, code: int
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
from funade.store.blobs import BlobFolder
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
blobs = BlobFolder(Path(sys.argv[1]))
small = blobs.put_bytes(b"hello")

def whole():
    blobs.put_bytes(b"x" * 10_000)

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

for act in (whole, aside, parquet):
    try:
        act()
        print("kept")
    except FunadeError as error:
        print(error.line())
"""


def test_a_file_that_the_disk_does_not_take_whole_is_not_kept(blobs: BlobFolder) -> None:
    script = [sys.executable, "-c", LIMITED, str(blobs.root)]
    said = subprocess.run(script, capture_output=True, text=True, check=True)
    line = f"DiskFull: store expected room for a blob, got: File too large - at {blobs.root}; free some room, then run it again"
    assert said.stdout.splitlines() == [line] * 3
    assert digests(blobs.folder) == [HELLO]
    assert list(blobs.tmp.iterdir()) == []


READ_ONLY = """
import os, sys
from pathlib import Path
from funade.errors import FunadeError
from funade.store.blobs import BlobFolder
if os.geteuid() == 0:
    os.setuid(65534)
blobs = BlobFolder(Path(sys.argv[1]))
try:
    blobs.put_bytes(b"other")
except FunadeError as error:
    print(error.line())
print(blobs.read(sys.argv[2]))
"""


@pytest.mark.parametrize("sealed", ["", "tmp", "blobs"])
def test_a_folder_that_cannot_be_written_is_refused_and_still_read(
    blobs: BlobFolder, tmp_path: Path, sealed: str
) -> None:
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


def test_a_file_where_a_folder_should_be_is_refused(blobs: BlobFolder) -> None:
    blobs.root.mkdir()
    blobs.folder.write_text("")
    with pytest.raises(StoreError) as refused:
        blobs.put_bytes(b"hello")
    assert refused.value.line() == (
        f"StoreError: store expected a folder it can write, got: Not a directory - at {blobs.folder / HELLO[:2] / HELLO[2:]}; make it writable"
    )


# -- left behind -----------------------------------------------------------------------------------


KILLED = """
import os, sys
from pathlib import Path
from funade import points
from funade.store.blobs import BlobFolder
points.watch = lambda name: os._exit(9) if name == sys.argv[2] else None
BlobFolder(Path(sys.argv[1])).put_bytes(b"hello")
"""


@pytest.mark.parametrize(("point", "kept"), [("blob.written", False), ("blob.linked", True)])
def test_a_kill_at_a_commit_point_leaves_the_whole_blob_or_none(blobs: BlobFolder, point: str, kept: bool) -> None:
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", KILLED, str(blobs.root), point], check=False)
        # Bytes that are there already are not written again, so no point is passed.
        assert done.returncode in ((9, 0) if kept else (9,))
        assert digests(blobs.folder) == ([HELLO] if kept else [])
    assert list(blobs.foreign()) == []
    assert blobs.sweep(-3600) >= 1
    assert blobs.read(blobs.put_bytes(b"hello")) == b"hello"
    assert blobs.path(HELLO).stat().st_nlink == 1


# -- many at once ----------------------------------------------------------------------------------


def test_fifty_processes_keep_the_same_bytes_once(blobs: BlobFolder) -> None:
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
    assert digests(blobs.folder) == [HELLO]
    assert blobs.path(HELLO).stat().st_nlink == 1
    assert list(blobs.tmp.iterdir()) == []


def test_fifty_processes_keep_fifty_different_blobs(blobs: BlobFolder) -> None:
    said = crowd(blobs.root, "return blobs.put_bytes(str(me).encode())")
    assert digests(blobs.folder) == sorted(said)
    assert all(blobs.sound(digest) for digest in said)
