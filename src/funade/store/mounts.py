"""The file system a path lies on: SQLite's locks and shared memory work within one machine only."""

from __future__ import annotations

import os
import re
from pathlib import Path

from funade.errors import StoreError

# fmt: off
_NETWORK = frozenset((
    "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4",
    "ocfs2", "smb3", "smbfs", "fuse.blobfuse", "fuse.blobfuse2", "fuse.ceph", "fuse.ceph-fuse", "fuse.davfs2",
    "fuse.gcsfuse", "fuse.glusterfs", "fuse.goofys", "fuse.juicefs", "fuse.mountpoint-s3", "fuse.rclone", "fuse.s3fs",
    "fuse.sshfs",
))
# fmt: on


def refuse_network(folder: Path, mounts: Path = Path("/proc/mounts")) -> None:
    """Nothing where the folder lies on this machine's own disk, or where that cannot be told.

    Raises:
        StoreError: it lies on a network file system.
    """
    try:
        table = mounts.read_text(errors="replace")
    except OSError:
        return
    kind = file_system(os.path.realpath(folder), table)
    if kind in _NETWORK:
        raise StoreError(
            f"store expected a disk of this machine, got a network file system ({kind})",
            at=str(folder),
            do="keep the store on a local disk, or give [store] a PostgreSQL database",
        )


def file_system(path: str, mounts: str) -> str:
    """The type of the file system that holds an absolute path, after a table in the form of ``/proc/mounts``.

    >>> file_system("/data/taxi/.funade", "/dev/vda / ext4 rw 0 0\\nhome:/ /data nfs4 rw 0 0")
    'nfs4'
    """
    system, longest = "", -1
    for line in mounts.splitlines():
        _, point, kind, *_ = [*line.split(" "), "", "", ""]
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point).rstrip("/")
        # Of two mounts on one point the later hides the earlier.
        if len(point) >= longest and (path + "/").startswith(point + "/"):
            system, longest = kind, len(point)
    return system
