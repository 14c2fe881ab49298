"""A certificate for servers under test."""

from __future__ import annotations

import subprocess
from pathlib import Path


def certificate(folder: Path, name: str = "localhost") -> tuple[str, str]:
    """A certificate that signs itself, and its key."""
    folder.mkdir(exist_ok=True)
    paths = str(folder / "certificate.pem"), str(folder / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},DNS:localhost,IP:127.0.0.1",
         "-out", paths[0], "-keyout", paths[1]],
        check=True, capture_output=True,
    )  # fmt: skip
    return paths
