"""The Open Inference Protocol over gRPC: ``inference.GRPCInferenceService``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from funade.bind.api import BoundApi
from funade.serve.answer.admit import admit
from funade.serve.answer.recorder import Recorder
from funade.serve.answer.request import PLAIN, ApiAnswers, Notes
from funade.serve.answer.runtime import Runtime
from funade.serve.grpc import call as rpc
from funade.serve.grpc.exchange import GrpcExchange, Trailers
from funade.serve.grpc.messages import messages
from funade.serve.metrics.meter import Meter
from funade.serve.oip.model import NOT_HERE, PLATFORM, SERVER, Model, models, parameters, unknown_model, within
from funade.serve.oip.tensor import Tensor, TensorColumn, wrong

SERVICE = "inference.GRPCInferenceService"

FILE = Path(__file__).with_name("open_inference.binpb").read_bytes()
"""The file's serialised ``FileDescriptorProto``; ``tests/support/protoc.py`` compiles it."""

MESSAGES = messages(FILE)
"""Name → class of each outermost message."""

CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
"""Datatype → the list of ``InferTensorContents`` that holds its values."""


def services(runtime: Runtime) -> list[rpc.Service]:
    """The service: anybody may ask what there is, inference needs the right to predict."""
    known, meter = models(runtime), runtime.recorder.meter
    open_to_all: dict[str, Answer] = {
        "ServerLive": _constant(MESSAGES["ServerLiveResponse"](live=True)),
        "ServerReady": _constant(MESSAGES["ServerReadyResponse"](ready=True)),
        "ServerMetadata": _constant(MESSAGES["ServerMetadataResponse"](**SERVER)),
        "ModelReady": partial(_ready, known, MESSAGES["ModelReadyResponse"]),
        "ModelMetadata": _model_metadata(known, meter),
    }
    infer = {"ModelInfer": _inferring(runtime, known)}
    return [rpc.Service(_methods(open_to_all, meter), [FILE], "open"), rpc.Service(_methods(infer, meter))]


def _methods(answers: Mapping[str, Answer], meter: Meter) -> rpc.Methods:
    """``/inference.GRPCInferenceService/…`` → what parses its message and has it answered."""
    return {f"/{SERVICE}/{call}": _parsing(call, answer, meter) for call, answer in answers.items()}


Answer = Callable[[Any, rpc.Call], None]
"""Ends a call whose message is parsed."""


def _parsing(name: str, answer: Answer, meter: Meter) -> rpc.Method:
    message = MESSAGES[f"{name}Request"]
    what = f"request expected a message of {SERVICE}/{name}, got bytes that are none"

    def method(body: bytes, call: rpc.Call) -> None:
        try:
            request = message.FromString(body)
        except DecodeError:
            _refuse(meter, call, 422, what)
            return
        answer(request, call)

    return method


def _refuse(meter: Meter, call: rpc.Call, status: int, error: str) -> None:
    """Refuse what asks for no api here."""
    meter.refused("", status, "oip")
    call.fail(rpc.STATUSES[status], error)


def _constant(message: Any) -> Answer:
    body = message.SerializeToString()
    return lambda _, call: call.reply(body)


def _model_metadata(known: dict[str, Model], meter: Meter) -> Answer:
    bodies = {name: _metadata(model).SerializeToString() for name, model in known.items()}

    def answer(request: Any, call: rpc.Call) -> None:
        unknown = unknown_model(known, request.name, request.version)
        if unknown:
            _refuse(meter, call, 404, unknown)
        else:
            call.reply(bodies[request.name])

    return answer


def _ready(known: dict[str, Model], response: Any, request: Any, call: rpc.Call) -> None:
    """Ready or not: what is not here is not ready, which is no error to clients of the protocol."""
    call.reply(response(ready=not unknown_model(known, request.name, request.version)).SerializeToString())


def _metadata(model: Model) -> Any:
    response = MESSAGES["ModelMetadataResponse"](name=model.name, versions=[model.version], platform=PLATFORM)
    for metas, tensors in ((model.inputs, response.inputs), (model.outputs, response.outputs)):
        for meta in metas:
            tensors.add(name=meta.name, datatype=meta.datatype, shape=[-1])
    return response


# -- inference


class GrpcInfer(GrpcExchange):
    """One inference asked for over gRPC."""

    __slots__ = ("_id", "_model", "_names", "_raw", "_recorder")
    door = "oip"

    def __init__(self, call: rpc.Call, trailers: Trailers, model: Model, recorder: Recorder) -> None:
        super().__init__(call, trailers)
        self._model = model
        self._recorder = recorder
        self._id = ""
        self._names: tuple[str, ...] = ()
        self._raw = False

    def read(self, api: BoundApi, message: Any) -> None:
        """The rows of a ``ModelInferRequest``, the outputs that it wants, and the seconds that it may take."""
        self.within_s = self._call.within_s
        self.rows = self._model.rows(_tensors(message))
        for index, output in enumerate(message.outputs):
            _reject_others(output.parameters, f"$.outputs[{index}]")
        self._id = message.id
        self._names = self._model.wanted([output.name for output in message.outputs])
        self._raw = len(message.raw_input_contents) > 0  # who sends bytes gets bytes
        if "timeout" in message.parameters:
            self.within_s = within(self.within_s, _value(message.parameters["timeout"]), "$.parameters.timeout")

    def write(self, answers: ApiAnswers, start: int, stop: int) -> Any:
        """The rows as tensors, in a message that lacks what is known only when it is sent."""
        model = self._model
        response = MESSAGES["ModelInferResponse"](model_name=model.name, model_version=model.version, id=self._id)
        for column in model.answered(answers.columns, start, stop, self._names):
            output = response.outputs.add(name=column.name, datatype=column.datatype, shape=[len(column.values)])
            if self._raw:
                response.raw_output_contents.append(column.raw())
            else:
                getattr(output.contents, CONTENTS[column.datatype]).extend(_contents(column))
        return response

    def answer(self, body: Any, number: int, notes: Notes = PLAIN) -> None:
        """Reply with tensors; what is said besides them stands in the metadata and in ``parameters``."""
        prediction = self._recorder.prediction(number)
        for name, text in parameters(prediction, self._model.version, notes).items():
            body.parameters[name].string_param = text
        super().answer(body.SerializeToString(), number, notes)

    def refuse(self, status: int, error: str, path: str = "") -> None:
        """End the call with an error, its path in the text as well: clients of the protocol show that alone."""
        shown = f"{error} - at {path}" if path and status != 422 else error  # else it is in the text of any call
        super().refuse(status, shown, path)


def _contents(column: TensorColumn) -> list[Any]:
    values = column.listed()
    return [v.encode() for v in values] if column.datatype == "BYTES" else values


def _inferring(runtime: Runtime, known: dict[str, Model]) -> Answer:
    recorder = runtime.recorder
    trailers = Trailers(runtime)

    def infer(request: Any, call: rpc.Call) -> None:
        name = request.model_name
        unknown = unknown_model(known, name, request.model_version)
        if unknown:
            _refuse(recorder.meter, call, 404, unknown)
        else:
            admit(runtime, name, GrpcInfer(call, trailers, known[name], recorder), request)

    return infer


def _tensors(request: Any) -> list[Tensor]:
    raws: Sequence[bytes] = request.raw_input_contents
    if raws and len(raws) != len(request.inputs):
        what = f"expected as many raw_input_contents as inputs, {len(request.inputs)}, got {len(raws)}"
        raise wrong(what, "$.raw_input_contents")
    return [_tensor(sent, f"$.inputs[{i}]", raws[i] if raws else None) for i, sent in enumerate(request.inputs)]


def _tensor(sent: Any, path: str, raw: bytes | None) -> Tensor:
    _reject_others(sent.parameters, path)
    if raw is not None and sent.HasField("contents"):
        raise wrong("expected `contents` or raw_input_contents, got both", path)
    data = None
    if raw is None:
        name = CONTENTS.get(sent.datatype)
        filled = [field.name for field, _ in sent.contents.ListFields()]
        if name is not None and filled not in ([], [name]):
            raise wrong(f"expected `{name}` for {sent.datatype}, got {', '.join(filled)}", f"{path}.contents")
        data = list(getattr(sent.contents, name)) if name is not None else []
    return Tensor(sent.name, sent.datatype, tuple(sent.shape), raw, data, path)


def _reject_others(parameters: Any, path: str) -> None:
    """Refuse parameters that ask for something else than values in the message."""
    for name in NOT_HERE:
        if name in parameters:
            raise wrong(f"expected no parameter `{name}`; send and take values in the message", f"{path}.parameters")


def _value(parameter: Any) -> Any:
    kind = parameter.WhichOneof("parameter_choice")
    return getattr(parameter, kind) if kind else None
