"""Why an answer is not the function's own."""

from __future__ import annotations

OWN, ERROR, BUSY, LATE, GUARD, NAN = range(6)
"""Who spoke for a row: the function; or the fallback because the function failed, too many requests waited, the time
asked for was over, a guard held the answer back, or it was no finite number."""

REFUSED = 255
"""Nobody: the request was answered with an error."""

NAMES = {ERROR: "error", BUSY: "busy", LATE: "late", GUARD: "guard", NAN: "nan", REFUSED: "refused"}
"""Code → the word that headers, the log and metrics say."""

CODES = {name: code for code, name in NAMES.items()}
