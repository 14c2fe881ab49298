"""What a worker offers: each module's routes and gRPC services, one line a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from funade.serve import (
    docs_page,
    grpc_typed,
    metrics_page,
    oip_doc,
    oip_grpc,
    oip_http,
    queue_doc,
    queue_routes,
    queue_rpc,
)

if TYPE_CHECKING:
    from funade.declare.openapi import Part
    from funade.serve.desk import Desk
    from funade.serve.route import Route
    from funade.serve.rpc import Service


def routes(desk: Desk) -> list[Route]:
    """All routes but ``POST /v1/<api>`` and the pages that ``route.Routes`` itself has."""
    found = [*metrics_page.routes(desk), *oip_http.routes(desk), *queue_routes.routes(desk)]
    return [*found, *docs_page.routes(desk, lambda: parts(desk))]


def parts(desk: Desk) -> list[Part]:
    """What the OpenAPI document says of the routes, but for the apis' own."""
    contracts = {name: api.contract for name, api in desk.loaded.apis.items()}
    queue = [queue_doc.part(contracts)] if desk.later is not None else []
    return [oip_doc.part(contracts, desk.loaded.release), *queue]


def services(desk: Desk) -> list[Service]:
    """What the gRPC door carries besides health and reflection."""
    return [grpc_typed.service(desk), *oip_grpc.services(desk), *queue_rpc.services(desk)]
