"""Codec `onnx`: a model as its own codec keeps it and, beside that, converted; the conversion is what is loaded.

``model.onnx`` is the graph, ``face.json`` how its answers are handed out, and the folder named after the native codec
has the original's files.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from funade import digest
from funade.errors import CodecError
from funade.store.codecs.lightgbm import LightgbmModel
from funade.store.codecs.onnx.served import OnnxServed, OutputLayout, served
from funade.store.codecs.skops import SkopsEstimator

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MODEL = "model.onnx"
FACE = "face.json"


class _Conversion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``native`` maps each of the original's files to its digest."""

    face: OutputLayout
    native: dict[str, str]


class OnnxModel:
    """What codecs `lightgbm` and `skops` keep, as far as its converter goes."""

    name = "onnx"
    remedy = "return a LightGBM model, or a scikit-learn estimator or pipeline"
    natives: ClassVar[dict[str, LightgbmModel | SkopsEstimator]] = {
        "lightgbm": LightgbmModel(),
        "skops": SkopsEstimator(),
    }

    def fits(self, cls: type) -> bool:
        """Whether one of the native codecs keeps the class."""
        return any(codec.fits(cls) for codec in self.natives.values())

    def distributions(self, cls: type) -> tuple[str, ...]:
        """What runs the conversion, and what loads the original, with which the gate compares it.

        What converts is not among them: its work is done, and was judged by what came out.
        """
        return (*self._native(cls).distributions(cls), "onnxruntime")

    def save(self, value: Any, folder: Path, project_types: Sequence[str] = ()) -> None:
        """Write the original's files, the graph and how its answers are handed out."""
        from funade.store.codecs.onnx.convert import convert

        native = self._native(type(value))
        (folder / native.name).mkdir()
        native.save(value, folder / native.name, project_types)
        files = {f"{native.name}/{p.name}": digest.of_file(p) for p in sorted((folder / native.name).iterdir())}
        data, layout = convert(value)
        (folder / MODEL).write_bytes(data)
        (folder / FACE).write_bytes(msgspec.json.encode(_Conversion(layout, files)))

    def load(self, folder: Path, project_types: Sequence[str] = ()) -> OnnxServed:
        """The served object; the original stays unread, but must be what was converted."""
        record = msgspec.json.decode((folder / FACE).read_bytes(), type=_Conversion)
        for name, wanted in record.native.items():
            if not (folder / name).is_file():
                raise FileNotFoundError(errno.ENOENT, "no such file", name)
            if digest.of_file(folder / name) != wanted:
                raise CodecError(f"expected the `{name}` it was converted from, got another", do="run: funade fsck")
        return served(session_of((folder / MODEL).read_bytes()), record.face)

    def _native(self, cls: type) -> LightgbmModel | SkopsEstimator:
        for codec in self.natives.values():
            if codec.fits(cls):
                return codec
        raise CodecError(f"expected a LightGBM model or a scikit-learn estimator, got {cls.__qualname__}")


def session_of(model: bytes | str) -> InferenceSession:
    """A graph, given as its bytes or its file's path, ready to run.

    On one thread: sums are then made in one order at any batch size.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
