# mypy: ignore-errors
"""A stock grpcio client: ``python grpc_client.py TARGET FOLDER FILE [MANY]`` compiles FILE (below FOLDER) and asks it.

Reads JSON rows from FOLDER/rows.json; prints a JSON line an answer: the answer as JSON, or code and text of the error;
with what trailing metadata.
"""

import importlib
import json
import sys
from pathlib import Path

import grpc
from google.protobuf import json_format
from grpc_tools import protoc


def main(target, folder, file, many=""):
    out = Path(folder) / "generated"
    out.mkdir(exist_ok=True)
    arguments = ["protoc", f"-I{folder}", f"--python_out={out}", f"--grpc_python_out={out}", f"{folder}/{file}"]
    assert protoc.main(arguments) == 0
    sys.path.insert(0, str(out))
    module = file.removesuffix(".proto").replace("/", ".")
    types, services = (importlib.import_module(f"{module}_pb2{kind}") for kind in ("", "_grpc"))
    rows = json.loads((Path(folder) / "rows.json").read_text())
    with grpc.insecure_channel(target) as channel:
        stub = services.ApiStub(channel)
        if many:
            found = types.Requests(rows=[json_format.ParseDict(row, types.Request()) for row in rows])
            show(stub.Many, found, lambda answer: [told(row) for row in answer.rows])
            return
        for row in rows:
            show(stub.One, json_format.ParseDict(row, types.Request()), told)


def told(answer):
    """Field → value; int64 as a number, what is absent as null; floats as their bits."""
    found = {}
    for field in answer.DESCRIPTOR.fields:
        absent = field.has_presence and not answer.HasField(field.name)
        value = getattr(answer, field.name)
        found[field.json_name] = None if absent else value.hex() if isinstance(value, float) else value
    return found


def show(method, message, told):
    try:
        answer, call = method.with_call(message, timeout=120)
        line = {"answer": told(answer)}
    except grpc.RpcError as error:
        call, line = error, {"code": error.code().name, "text": error.details()}
    said = {key: value for key, value in call.trailing_metadata() or () if not key.endswith("-bin")}
    print(json.dumps(line | {"said": said}))


if __name__ == "__main__":
    main(*sys.argv[1:])
