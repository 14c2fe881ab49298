"""Many processes that do one thing at the same moment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_SCRIPT = """
import json, os, sys, traceback
from datetime import UTC, datetime
from pathlib import Path
from funade import clock
from funade.digest import of_value
from funade.errors import FunadeError
from funade.store.blobs import BlobFolder
from funade.store.sqlite.metadata import SqliteMetadata
from funade.store.records import *

root, out, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
NOW = datetime(2022, 3, 1, tzinfo=UTC)

def act(me):
    metadata, blobs = SqliteMetadata(root / "records.db", clock=clock.frozen(NOW)), BlobFolder(root)
{body}

gate, open_gate = os.pipe()
for me in range(count):
    if os.fork() == 0:
        os.close(open_gate)
        os.read(gate, 1)
        try:
            said = act(me)
        except FunadeError as error:
            said = error.line()
        except BaseException:
            said = traceback.format_exc()
        (out / str(me)).write_text(json.dumps(said))
        os._exit(0)
os.close(open_gate)
for _ in range(count):
    os.wait()
"""


def crowd(root: Path, body: str, count: int = 50) -> list[Any]:
    """What ``count`` processes return that run ``body`` at once, by number; a traceback where one failed.

    ``body`` sees ``me`` (0, 1, …), ``metadata`` and ``blobs`` of the store in ``root``, and every record type.
    """
    out = root.parent / "said"
    out.mkdir()
    script = _SCRIPT.replace("{body}", "\n".join(f"    {line}" for line in body.strip().splitlines()))
    subprocess.run([sys.executable, "-c", script, str(root), str(out), str(count)], check=True)
    said = [json.loads((out / str(me)).read_text()) for me in range(count)]
    for file in out.iterdir():
        file.unlink()
    out.rmdir()
    return said
