"""schemathesis as it is published: ``openapi_cases.py URL CASES SEED`` asks a server as its OpenAPI document says.

Run by the clients' own Python.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection", "unsupported_method", "allow_header_conformance",
)  # fmt: skip


def main(url: str, cases: str, seed: str) -> None:
    """Ask, say what was found, end as it ended."""
    here = Path(__file__).parent
    program = Path(sys.executable).parent / "schemathesis"
    asked = ["run", url, "--checks", ",".join(_CHECKS), "--max-examples", cases, "--seed", seed, "--no-color"]
    more = ["--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--no-shrink", "--warnings", "off"]
    config = ["--config-file", str(here / "schemathesis.toml")]
    done = subprocess.run([str(program), *config, *asked, *more], capture_output=True, text=True)
    print(done.stdout[-20_000:])
    print(done.stderr[-4_000:], file=sys.stderr)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main(*sys.argv[1:])
