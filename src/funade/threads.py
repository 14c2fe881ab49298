"""How many threads numeric libraries use in a process that answers: one.

Answers then do not depend on how many rows are asked at once, and several workers share the cores without fighting.
"""

from __future__ import annotations

import os

NAMES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "POLARS_MAX_THREADS",
)
"""What the libraries look at when they are imported."""


def one() -> None:
    """Have numeric libraries that are imported from now on use one thread, unless the environment says otherwise."""
    for name in NAMES:
        os.environ.setdefault(name, "1")
