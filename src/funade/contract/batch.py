"""Requests as columns, with the values that a declared default filled in, and what is kept of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from funade.contract.arrays import Columns, Masks


class PackedFields(NamedTuple):
    """The values of several fields of one number type, of which none is missing, as bytes row after row.

    ``kind`` is NumPy's name of the type: "<f8", "<i8".
    """

    names: tuple[str, ...]
    kind: str
    data: bytes

    def columns(self) -> np.ndarray[Any, Any]:
        """A fresh array of shape (fields, rows)."""
        return np.array(np.frombuffer(self.data, self.kind).reshape(-1, len(self.names)).T, order="C")

    def chosen(self, rows: np.ndarray[Any, np.dtype[np.bool_]]) -> PackedFields:
        """Only the rows of a mask."""
        table = np.frombuffer(self.data, self.kind).reshape(-1, len(self.names))
        return self._replace(data=table[rows].tobytes())


class Batch(NamedTuple):
    """Rows as an api's function takes them.

    ``defaults``: field → bool[n], True where its declared default stands for a missing value; None where none does.
    ``packed`` has some of the columns once more, out of the function's reach, which may write into ``columns``.
    """

    columns: Columns
    defaults: Masks | None = None
    packed: tuple[PackedFields, ...] = ()

    def frozen(self) -> FrozenRows:
        """A copy of the rows to keep: call it before the function is called, which may write into ``columns``."""
        packed = {name for group in self.packed for name in group.names}
        if len(packed) == len(self.columns):
            return FrozenRows((*self.columns,), {}, self.packed)
        others = {name: column.copy() for name, column in self.columns.items() if name not in packed}
        return FrozenRows((*self.columns,), others, self.packed)


class FrozenRows(NamedTuple):
    """Rows that nobody writes into: the values of ``names``, in this order, are in ``columns`` or else ``packed``."""

    names: tuple[str, ...]
    columns: Columns
    packed: tuple[PackedFields, ...] = ()

    def chosen(self, rows: np.ndarray[Any, np.dtype[np.bool_]]) -> FrozenRows:
        """Only the rows of a mask."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        return FrozenRows(self.names, columns, tuple(group.chosen(rows) for group in self.packed))
