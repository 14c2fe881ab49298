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


def environment() -> dict[str, str]:
    """This process's environment for a child: numeric libraries use one thread there, unless it says otherwise."""
    return dict.fromkeys(NAMES, "1") | dict(os.environ)
