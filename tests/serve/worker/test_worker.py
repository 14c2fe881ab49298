"""What a worker is made of."""

from __future__ import annotations

import subprocess
import sys


def test_a_worker_itself_imports_nothing_heavy() -> None:
    heavy = "{'duckdb', 'pyarrow', 'pandas', 'polars', 'click', 'rich', 'sklearn', 'lightgbm'}"
    program = f"import sys, uvloop, funade.serve.worker.worker; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
