"""An api as a model of the Open Inference Protocol: a tensor a field, a row of them a request.

Version 2 of the protocol, which KServe, Triton and their clients speak. The version of a model is the release's number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from funade import __version__
from funade.bind.api import BoundApi
from funade.contract.arrays import Columns
from funade.contract.field import MOST_ROWS, Field
from funade.errors import closest
from funade.serve.answer.request import Notes
from funade.serve.answer.runtime import Runtime
from funade.serve.oip.tensor import (
    MISSING,
    Tensor,
    TensorColumn,
    columns_of,
    datatype_of,
    length_of,
    masked,
    short,
    values_of,
    wrong,
)

EXTENSIONS = ("binary_tensor_data",)
SERVER = {"name": "funade", "version": __version__, "extensions": EXTENSIONS}
"""What the protocol tells of a server."""

PLATFORM = "funade"
NOT_HERE = ("shared_memory_region", "classification")
"""Parameters that ask for something else than values in the message."""


class TensorMeta(NamedTuple):
    """What a model's tensor is called, and of which datatype; its shape is [-1]."""

    name: str
    datatype: str


class Model:
    """One api's tensors, in a release of that number."""

    def __init__(self, api: BoundApi, release: int) -> None:
        self.api = api
        self.name = api.name
        self.version = str(release)
        self.inputs = tuple(TensorMeta(f.name, datatype_of(f)) for f in api.contract.takes_fields)
        self.outputs = tuple(m for f in api.contract.gives_fields for m in _answered(f))
        self._fields = {f.name: f for f in api.contract.takes_fields}
        self._masks = {f.name + MISSING: f.name for f in api.contract.takes_fields if f.nullable}

    def rows(self, tensors: Sequence[Tensor]) -> list[Any]:
        """The tensors' rows, decoded as a JSON request of the same values is.

        Raises:
            ContractViolation: a tensor that is not known, stands twice or is not as its datatype and shape say, other
                lengths than the first one's, or a row that breaks the contract (``$[3].fare_yen``).
        """
        count = self._count(tensors)
        columns: dict[str, list[Any]] = {}
        masks: dict[str, list[Any]] = {}
        for tensor in tensors:
            self._known(tensor, twice=tensor.name in columns or tensor.name in masks)
            if tensor.name in self._masks:
                masks[tensor.name] = values_of(tensor, "bool", count)
            else:
                columns[tensor.name] = values_of(tensor, self._fields[tensor.name].type, count)
        for mask, missing in masks.items():
            name = self._masks[mask]
            values = columns.get(name, [None] * count)
            columns[name] = [None if absent else v for v, absent in zip(values, missing, strict=True)]
        names = tuple(columns)
        body = msgspec.json.encode([dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)])
        return self.api.decode(body)[0]

    def _count(self, tensors: Sequence[Tensor]) -> int:
        if not tensors:
            raise wrong("expected one tensor at least, got none", "$.inputs")
        counts = [length_of(tensor) for tensor in tensors]
        for tensor, count in zip(tensors, counts, strict=True):
            if count != counts[0]:
                names = f"`{short(tensor.name)}`, as for `{short(tensors[0].name)}`"
                raise wrong(f"expected {counts[0]} values for {names}, got {count}", f"{tensor.path}.shape")
        if counts[0] > MOST_ROWS:
            raise wrong(f"expected at most {MOST_ROWS} rows, got {counts[0]}", f"{tensors[0].path}.shape")
        return counts[0]

    def _known(self, tensor: Tensor, *, twice: bool) -> None:
        if twice:
            raise wrong(f"expected tensor `{tensor.name}` once, got it twice", f"{tensor.path}.name")
        if tensor.name not in self._fields and tensor.name not in self._masks:
            raise wrong(_unknown("tensor", tensor.name, self._fields), f"{tensor.path}.name")

    def wanted(self, names: Sequence[str]) -> tuple[str, ...]:
        """The outputs asked for; all where none is named.

        Raises:
            ContractViolation: one that is not known or stands twice.
        """
        known = [meta.name for meta in self.outputs]
        for index, name in enumerate(names):
            if name not in known or name in names[:index]:
                twice = f"expected output `{name}` once, got it twice"
                raise wrong(twice if name in known else _unknown("output", name, known), f"$.outputs[{index}].name")
        return tuple(names) or tuple(known)

    def answered(self, columns: Columns, start: int, stop: int, names: Sequence[str]) -> list[TensorColumn]:
        """Rows [start, stop) of answers as the tensors of these names, in this order."""
        tensors: dict[str, TensorColumn] = {}
        for field in self.api.contract.gives_fields:
            if field.name in names or (masked(field) and field.name + MISSING in names):
                tensors |= {c.name: c for c in columns_of(field, columns[field.name][start:stop])}
        return [tensors[name] for name in names]


def _answered(field: Field) -> list[TensorMeta]:
    own = TensorMeta(field.name, datatype_of(field))
    return [own, TensorMeta(field.name + MISSING, "BOOL")] if masked(field) else [own]


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    names, shown = list(known), short(name)
    return f"expected no {what} `{shown}`; {closest(shown, names) or 'there are ' + ', '.join(names)}"


def models(runtime: Runtime) -> dict[str, Model]:
    """Api → its tensors."""
    release = runtime.loaded.release
    return {name: Model(api, release) for name, api in runtime.loaded.apis.items()}


def unknown_model(known: dict[str, Model], name: str, version: str) -> str:
    """Why there is no such model here; "" where there is."""
    if name not in known:
        shown = short(name)  # who sends a name of megabytes keeps nobody waiting
        return f"model `{shown}` is not known; {closest(shown, known) or 'there are ' + ', '.join(known)}"
    release = known[name].version
    if version and version != release:
        return f"model `{name}` has version {release}, the current release, got {short(version)}; leave it out"
    return ""


def within(asked_s: float | None, microseconds: Any, path: str) -> float | None:
    """The seconds a request may take: the door's, and its own ``timeout`` parameter where that is less; 0 is none.

    Raises:
        ContractViolation: a time that is no whole number of microseconds.
    """
    if type(microseconds) is not int or microseconds < 0:
        raise wrong("expected whole microseconds for `timeout`, got another value", path)
    own = microseconds / 1e6 if microseconds else None
    return min((t for t in (asked_s, own) if t is not None), default=None)


def parameters(prediction: str, release: str, notes: Notes) -> dict[str, str]:
    """What an answer says besides its tensors, by the names of HTTP's headers."""
    return {"funade-release": release, "funade-prediction": prediction, **dict(notes.headers())}
