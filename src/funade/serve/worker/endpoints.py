"""What a worker offers: each module's routes and gRPC services, one line a module."""

from __future__ import annotations

from funade.contract.openapi import Paths
from funade.serve.answer.runtime import Runtime
from funade.serve.grpc import typed as grpc_typed
from funade.serve.grpc.port import Service
from funade.serve.http import docs_page, metrics_page
from funade.serve.http.routes import Route
from funade.serve.oip import grpc as oip_grpc
from funade.serve.oip import http as oip_http
from funade.serve.oip import openapi as oip_doc
from funade.serve.queue import grpc as queue_rpc
from funade.serve.queue import http as queue_routes
from funade.serve.queue import openapi as queue_doc


def routes(runtime: Runtime) -> list[Route]:
    """All routes but ``POST /v1/<api>`` and the pages that ``route.Routes`` itself has."""
    found = [*metrics_page.routes(runtime), *oip_http.routes(runtime), *queue_routes.routes(runtime)]
    return [*found, *docs_page.routes(runtime, lambda: parts(runtime))]


def parts(runtime: Runtime) -> list[Paths]:
    """What the OpenAPI document says of the routes, but for the apis' own."""
    contracts = {name: api.contract for name, api in runtime.loaded.apis.items()}
    queue = [queue_doc.part(contracts)] if runtime.later is not None else []
    return [oip_doc.part(contracts, runtime.loaded.release), *queue]


def services(runtime: Runtime) -> list[Service]:
    """What the gRPC door carries besides health and reflection."""
    return [grpc_typed.service(runtime), *oip_grpc.services(runtime), *queue_rpc.services(runtime)]
