"""The Open Inference Protocol over gRPC: ``inference.GRPCInferenceService``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from funade.errors import ContractViolation
from funade.serve.answer.request import PLAIN, ApiAnswers, Notes
from funade.serve.answer.runtime import Runtime
from funade.serve.grpc import call as rpc
from funade.serve.grpc.typed import GrpcExchange, Trailers
from funade.serve.oip.model import EXTENSIONS, NAME, PLATFORM, Model, models, parameters, unknown_model, version, within
from funade.serve.oip.proto import CALLS, CONTENTS, FILE, MESSAGES, SERVICE
from funade.serve.oip.tensor import Tensor, TensorColumn, wrong

_MARGIN_S = 0.05


def services(runtime: Runtime) -> list[rpc.Service]:
    """The service: anybody may ask what there is, inference needs the right to predict."""
    every = methods(runtime)
    infer = f"/{SERVICE}/ModelInfer"
    told = {path: method for path, method in every.items() if path != infer}
    return [rpc.Service(told, [FILE], "open"), rpc.Service({infer: every[infer]})]


def methods(runtime: Runtime) -> rpc.Methods:
    """``/inference.GRPCInferenceService/…`` → what answers it."""
    made, known = MESSAGES, models(runtime)
    trailers = Trailers(runtime.loaded.release, runtime.mark)
    server = made["ServerMetadataResponse"](name=NAME, version=version(), extensions=EXTENSIONS)
    answers: dict[str, Callable[[Any, rpc.Call], None]] = {
        "ServerLive": _saying(made["ServerLiveResponse"](live=True)),
        "ServerReady": _saying(made["ServerReadyResponse"](ready=True)),
        "ServerMetadata": _saying(server),
        "ModelReady": partial(_ready, known, made["ModelReadyResponse"]),
        "ModelMetadata": _of_model(known, {name: _metadata(model) for name, model in known.items()}),
        "ModelInfer": partial(_infer, runtime, known, trailers),
    }
    return {f"/{SERVICE}/{call}": _parsed(made[f"{call}Request"], call, answers[call]) for call in CALLS}


def _parsed(message: Any, call: str, answer: Callable[[Any, rpc.Call], None]) -> rpc.Method:
    from google.protobuf.message import DecodeError

    def method(body: bytes, asked: rpc.Call) -> None:
        try:
            request = message.FromString(body)
        except DecodeError:
            asked.fail(rpc.INVALID_ARGUMENT, f"request expected a message of {SERVICE}/{call}, got bytes that are none")
            return
        answer(request, asked)

    return method


def _saying(message: Any) -> Callable[[Any, rpc.Call], None]:
    said = message.SerializeToString()
    return lambda _, call: call.reply(said)


def _of_model(known: dict[str, Model], messages: dict[str, Any]) -> Callable[[Any, rpc.Call], None]:
    said = {name: message.SerializeToString() for name, message in messages.items()}

    def answer(request: Any, call: rpc.Call) -> None:
        why = unknown_model(known, request.name, request.version)
        if why:
            call.fail(rpc.NOT_FOUND, why)
        else:
            call.reply(said[request.name])

    return answer


def _ready(known: dict[str, Model], made: Any, request: Any, call: rpc.Call) -> None:
    """Ready or not: what is not here is not ready, which is no error to clients of the protocol."""
    call.reply(made(ready=not unknown_model(known, request.name, request.version)).SerializeToString())


def _metadata(model: Model) -> Any:
    made = MESSAGES["ModelMetadataResponse"](name=model.name, versions=[model.version], platform=PLATFORM)
    for metas, told in ((model.inputs, made.inputs), (model.outputs, made.outputs)):
        for meta in metas:
            told.add(name=meta.name, datatype=meta.datatype, shape=[-1])
    return made


# -- inference


class GrpcInference(NamedTuple):
    """What a client asks of a model; ``raw`` says that it sent bytes and so gets bytes."""

    id: str
    names: tuple[str, ...]
    raw: bool


class GrpcInfer(GrpcExchange):
    """One inference asked for over gRPC."""

    __slots__ = ("_asked", "_mark", "_model")
    door = "oip"

    def __init__(
        self, call: rpc.Call, rows: list[Any], trailers: Trailers, model: Model, asked: GrpcInference, mark: str
    ) -> None:
        super().__init__(call, rows, single=False, trailers=trailers, write=lambda *_: b"")
        self._model = model
        self._asked = asked
        self._mark = mark

    def write(self, answers: ApiAnswers, start: int, stop: int) -> Any:
        """The rows as tensors, in a message that lacks what is known only when it is sent."""
        asked, model = self._asked, self._model
        made = MESSAGES["ModelInferResponse"](model_name=model.name, model_version=model.version, id=asked.id)
        for column in model.answered(answers.columns, start, stop, asked.names):
            output = made.outputs.add(name=column.name, datatype=column.datatype, shape=[len(column.values)])
            if asked.raw:
                made.raw_output_contents.append(column.raw())
            else:
                getattr(output.contents, CONTENTS[column.datatype]).extend(_contents(column))
        return made

    def answer(self, body: Any, number: int, said: Notes = PLAIN) -> None:
        """Reply with tensors; what is said besides them stands in the metadata and in ``parameters``."""
        for name, text in parameters(f"{self._mark}-{number:x}", self._model.version, said).items():
            body.parameters[name].string_param = text
        super().answer(body.SerializeToString(), number, said)

    def refuse(self, status: int, error: str, path: str = "") -> None:
        """End the call with an error, its path in the text as well: clients of the protocol show that alone."""
        super().refuse(status, f"{error} - at {path}" if path else error, path)


def _contents(column: TensorColumn) -> list[Any]:
    values = column.listed()
    return [v.encode() for v in values] if column.datatype == "BYTES" else values


def _infer(runtime: Runtime, known: dict[str, Model], trailers: Trailers, request: Any, call: rpc.Call) -> None:
    name = request.model_name
    why = unknown_model(known, name, request.model_version)
    if why:
        call.fail(rpc.NOT_FOUND, why)
        return
    model, raw = known[name], len(request.raw_input_contents) > 0
    left = call.within_s
    if left is not None:  # what speaks in the function's stead must arrive before the client stops listening
        left -= min(_MARGIN_S, left / 10)
    try:
        rows = model.rows(_tensors(request))
        for index, output in enumerate(request.outputs):
            _refuse(output.parameters, f"$.outputs[{index}]")
        asked = GrpcInference(request.id, model.wanted([output.name for output in request.outputs]), raw)
        if "timeout" in request.parameters:
            left = within(left, _value(request.parameters["timeout"]), "$.parameters.timeout")
    except ContractViolation as error:
        path = str(error.facts.get("path", "$"))
        runtime.meter.refused(name, 422, "oip")
        call.fail(rpc.INVALID_ARGUMENT, f"{error.what} - at {path}", trailers.refused(path))
    except Exception as error:  # the client waits for an answer whatever is wrong here
        runtime.events.failed(name, error)
        runtime.meter.refused(name, 500, "oip")
        call.fail(rpc.INTERNAL, f"api `{name}` could not read the request; see the server's log", trailers.refused(""))
    else:
        runtime.queues[name].add(GrpcInfer(call, rows, trailers, model, asked, runtime.mark), left)


def _tensors(request: Any) -> list[Tensor]:
    raws: Sequence[bytes] = request.raw_input_contents
    if raws and len(raws) != len(request.inputs):
        what = f"expected as many raw_input_contents as inputs, {len(request.inputs)}, got {len(raws)}"
        raise wrong(what, "$.raw_input_contents")
    return [_tensor(given, f"$.inputs[{i}]", raws[i] if raws else None) for i, given in enumerate(request.inputs)]


def _tensor(given: Any, path: str, raw: bytes | None) -> Tensor:
    _refuse(given.parameters, path)
    if raw is not None and given.HasField("contents"):
        raise wrong("expected `contents` or raw_input_contents, got both", path)
    data = None
    if raw is None:
        name = CONTENTS.get(given.datatype)
        filled = [field.name for field, _ in given.contents.ListFields()]
        if name is not None and filled not in ([], [name]):
            raise wrong(f"expected `{name}` for {given.datatype}, got {', '.join(filled)}", f"{path}.contents")
        data = list(getattr(given.contents, name)) if name is not None else []
    return Tensor(given.name, given.datatype, tuple(given.shape), raw, data, path)


def _refuse(given: Any, path: str) -> None:
    for name in ("shared_memory_region", "classification"):
        if name in given:
            raise wrong(f"expected no parameter `{name}`; send and take values in the message", f"{path}.parameters")


def _value(parameter: Any) -> Any:
    kind = parameter.WhichOneof("parameter_choice")
    return getattr(parameter, kind) if kind else None
