"""Asks with NVIDIA's client as it is published: ``triton.py HTTP_PORT GRPC_PORT ROWS.json`` prints what it heard.

Run by the clients' own Python; knows nothing of funade.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
from tritonclient.utils import InferenceServerException, triton_to_np_dtype


def array(given: dict[str, Any]) -> Any:
    dtype = triton_to_np_dtype(given["datatype"])
    values = [np.nan if v is None else v for v in given["data"]] if np.dtype(dtype).kind == "f" else given["data"]
    found = np.array(values, dtype=dtype)
    return found.reshape(-1, 1) if given.get("flat") is False else found


def told(result: Any, names: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        values = result.as_numpy(name)
        assert values.ndim == 1, (name, values.shape)
        if values.dtype == np.object_:
            found[name] = [v.decode() if isinstance(v, bytes) else v for v in values.tolist()]
        elif values.dtype.kind == "f":
            found[name] = [v.hex() for v in values.tolist()]
        else:
            found[name] = values.tolist()
    return found


def tensors(module: Any, given: dict[str, Any], **how: bool) -> list[Any]:
    found = []
    for name, one in given.items():
        values = array(one)
        tensor = module.InferInput(name, list(values.shape), one["datatype"])
        tensor.set_data_from_numpy(values, **how)
        found.append(tensor)
    return found


def without_nan(rows: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: what is missing is said by a tensor of its own."""
    found = dict(rows)
    lost = [v is None for v in rows["maybe_number"]["data"]]
    found["maybe_number"] = {
        "datatype": "FP64",
        "data": [0.0 if v is None else v for v in rows["maybe_number"]["data"]],
    }
    found["maybe_number.missing"] = {"datatype": "BOOL", "data": lost}
    return found


def failed(call: Callable[[], object]) -> list[str]:
    try:
        call()
    except InferenceServerException as error:
        return [str(error.status()), error.message()]
    raise AssertionError("it was answered")


def main(http_port: str, grpc_port: str, path: str) -> None:
    given = json.loads(Path(path).read_text())
    heard: dict[str, Any] = {}
    with (
        over_http.InferenceServerClient(f"127.0.0.1:{http_port}", concurrency=4) as http,
        over_grpc.InferenceServerClient(f"127.0.0.1:{grpc_port}") as grpc,
    ):
        for client in (http, grpc):
            assert client.is_server_live() and client.is_server_ready()
            assert client.is_model_ready("mirror") and client.is_model_ready("mirror", "1")
            assert not client.is_model_ready("mirrors") and not client.is_model_ready("mirror", "2")
        heard["server"] = [http.get_server_metadata(), grpc.get_server_metadata(as_json=True)]
        heard["model"] = [http.get_model_metadata("mirror", "1"), grpc.get_model_metadata("mirror", as_json=True)]
        rows, names = given["rows"], [o["name"] for o in heard["model"][0]["outputs"]]
        bytes_, texts = tensors(over_http, rows), tensors(over_http, without_nan(rows), binary_data=False)
        asked = tensors(over_grpc, rows)
        json_only = [over_http.InferRequestedOutput(name, binary_data=False) for name in names]
        answered = http.infer("mirror", bytes_, request_id="7")
        heard["response"] = {k: v for k, v in answered.get_response().items() if k != "outputs"}
        heard["http"] = told(answered, names)
        heard["http texts"] = told(http.infer("mirror", texts, outputs=json_only), names)
        heard["http mixed"] = told(http.infer("mirror", texts), names)
        heard["http async"] = told(http.async_infer("mirror", bytes_).get_result(), names)
        result = grpc.infer("mirror", asked, request_id="8", client_timeout=120)
        assert result.get_response().id == "8"
        heard["grpc"] = told(result, names)
        done: list[tuple[Any, Any]] = []
        for _ in range(3):
            grpc.async_infer("mirror", asked, lambda result, error: done.append((result, error)))
        while len(done) < 3:
            time.sleep(0.01)
        assert not any(error for _, error in done)
        heard["grpc async"] = told(done[-1][0], names)
        some = ["text", "number"]
        chosen = http.infer("mirror", bytes_, outputs=[over_http.InferRequestedOutput(n) for n in some])
        heard["chosen"] = [o["name"] for o in chosen.get_response()["outputs"]]
        chosen = grpc.infer("mirror", asked, outputs=[over_grpc.InferRequestedOutput(n) for n in some])
        heard["chosen grpc"] = [o.name for o in chosen.get_response().outputs]
        heard["narrow"] = [
            told(http.infer("mirror", tensors(over_http, given["narrow"])), ["whole", "number"]),
            told(grpc.infer("mirror", tensors(over_grpc, given["narrow"])), ["whole", "number"]),
        ]
        heard["wrong"] = {
            name: [
                failed(partial(http.infer, case["model"], tensors(over_http, case["rows"]))),
                failed(partial(grpc.infer, case["model"], tensors(over_grpc, case["rows"]))),
            ]
            for name, case in given["wrong"].items()
        }
    print(json.dumps(heard))


if __name__ == "__main__":
    main(*sys.argv[1:])
