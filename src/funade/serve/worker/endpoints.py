"""What a worker offers: each module's routes, one line a module, and the gRPC door where there is one."""

from __future__ import annotations

import os
import socket
from importlib.util import find_spec

from funade.contract.openapi import Paths
from funade.errors import ServeError
from funade.serve.answer.runtime import Runtime
from funade.serve.door import Door
from funade.serve.http import docs_page, metrics_page
from funade.serve.http.routes import Route
from funade.serve.oip import http as oip_http
from funade.serve.oip import openapi as oip_doc
from funade.serve.queue import http as queue_routes
from funade.serve.queue import openapi as queue_doc
from funade.serve.queue.submit import Submitter
from funade.serve.settings import ServerSettings


def routes(runtime: Runtime, submitter: Submitter | None) -> list[Route]:
    """All routes but ``POST /v1/<api>`` and the pages that ``http.routes.Routes`` itself has.

    ``submitter`` is what callers of the queue ask, here and below; None where there is no queue.
    """
    return [
        *metrics_page.routes(runtime),
        *oip_http.routes(runtime),
        *queue_routes.routes(runtime, submitter),
        *docs_page.routes(runtime, lambda: parts(runtime, submitter)),
    ]


def parts(runtime: Runtime, submitter: Submitter | None) -> list[Paths]:
    """What the OpenAPI document says of the routes, but for the apis' own."""
    contracts = {name: api.contract for name, api in runtime.loaded.apis.items()}
    queue = [queue_doc.part(contracts)] if submitter is not None else []
    return [oip_doc.part(contracts, runtime.loaded.release), *queue]


def grpc_doors(
    runtime: Runtime, submitter: Submitter | None, settings: ServerSettings, listener: socket.socket | None
) -> list[Door]:
    """The gRPC door where the server has a port for one, else none.

    Raises:
        ServeError: the library is not installed.
    """
    if listener is None:
        return []
    if find_spec("grpc_reflection") is None:
        raise ServeError(
            "gRPC door expected `grpc_reflection`, got none installed", do="run: pip install 'funade[grpc]'"
        )
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # else its core writes a line of a client's own for any bad bytes
    # Whoever asks for events reads sockets too, the loop most of all: no call is handed from thread to thread.
    os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
    from funade.serve.worker.grpc_services import door  # a worker without that port needs none of its libraries

    return [door(runtime, submitter, settings, listener)]
