from __future__ import annotations

from pathlib import Path

import pytest

from funade.errors import StoreError
from funade.store import mounts

MOUNTS = "\n".join([
    "/dev/vda / ext4 rw 0 0",
    "home:/export /home nfs4 rw 0 0",
    "/dev/vdb /home/ann/fast\\040disk ext4 rw 0 0",
    "//win/share /mnt/share cifs rw 0 0",
    "ann@host: /mnt/remote fuse.sshfs rw 0 0",
    "overlay /merged overlay rw 0 0",
    "tmpfs /hidden nfs rw 0 0",
    "tmpfs /hidden tmpfs rw 0 0",
])  # fmt: skip


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/taxi", "ext4"),
        ("/home/ben", "nfs4"),
        ("/home", "nfs4"),
        ("/homes/ben", "ext4"),
        ("/home/ann/fast disk/taxi", "ext4"),
        ("/mnt/share/taxi", "cifs"),
        ("/mnt/remote/taxi", "fuse.sshfs"),
        ("/merged/taxi", "overlay"),
        ("/hidden/taxi", "tmpfs"),
    ],
)
def test_the_file_system_of_a_folder_is_that_of_its_nearest_mount(folder: str, kind: str) -> None:
    assert mounts.file_system(folder, MOUNTS) == kind


def test_a_network_file_system_is_refused_with_the_way_to_postgresql(tmp_path: Path) -> None:
    table = tmp_path / "mounts"
    table.write_text(f"home:/export {tmp_path.resolve()} nfs4 rw 0 0\n")
    with pytest.raises(StoreError) as refused:
        mounts.refuse_network(tmp_path / "taxi", table)
    assert refused.value.line() == (
        "StoreError: store expected a disk of this machine, got a network file system (nfs4)"
        f" - at {tmp_path / 'taxi'}; keep the store on a local disk, or give [store] a PostgreSQL database"
    )
    mounts.refuse_network(tmp_path.parent, table)
    mounts.refuse_network(tmp_path, tmp_path / "no table")
