"""grpcio's own servers with the benchmark's model: ``python serve_grpc.py sync|aio PORT MODEL PROTOS``.

The best documented set-up of each: generated code, one process, a pool of threads (sync) or one loop (aio), one
onnxruntime session with one thread, all rows of a call in one run.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from onnxruntime import InferenceSession, SessionOptions


def main(kind: str, port: str, model: str, protos: str) -> None:
    sys.path.insert(0, protos)
    types, services = (importlib.import_module(f"funade_scoring.score_pb2{end}") for end in ("", "_grpc"))
    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = InferenceSession(Path(model).read_bytes(), options, providers=["CPUExecutionProvider"])
    names = [f"x{i}" for i in range(20)]

    def predicted(rows: Any) -> list[float]:
        x = np.array([[getattr(row, name) for name in names] for row in rows], dtype=np.float32)
        values: list[float] = session.run(None, {"x": x})[0][:, 0].tolist()
        return values

    def one(request: Any) -> Any:
        return types.Answer(y=predicted([request])[0])

    def many(request: Any) -> Any:
        return types.Answers(rows=[types.Answer(y=y) for y in predicted(request.rows)])

    class Sync(services.ApiServicer):  # type: ignore[misc]
        def One(self, request: Any, context: Any) -> Any:
            return one(request)

        def Many(self, request: Any, context: Any) -> Any:
            return many(request)

    class Async(services.ApiServicer):  # type: ignore[misc]
        async def One(self, request: Any, context: Any) -> Any:
            return one(request)

        async def Many(self, request: Any, context: Any) -> Any:
            return many(request)

    async def serve() -> None:
        server = grpc.aio.server()
        services.add_ApiServicer_to_server(Async(), server)
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        await server.wait_for_termination()

    if kind == "aio":
        asyncio.run(serve())
        return
    server = grpc.server(futures.ThreadPoolExecutor(8))
    services.add_ApiServicer_to_server(Sync(), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(*sys.argv[1:])
