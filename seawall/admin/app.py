"""The admin port's resources: one table of method, path, scope and handler.

/healthz and /readyz are open, because balancers and kubelets hold no tokens and the answers hold no secrets.
Everything under /v1 needs a token. /metrics does too unless the caller says that it is open.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import assert_never

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from seawall.admin.guard import allowed, hosts, problems
from seawall.admin.openapi import description
from seawall.admin.problem import problem
from seawall.admin.tokens import Scope, Tokens
from seawall.admin.view import NodeView, NotReady, Ready

# The largest request that is planned, a purge of many URLs, fits in many times over.
MAX_BODY_BYTES = 1 << 20


def create_app(
    node: NodeView,
    tokens: Tokens,
    *,
    version: str,
    host_names: Collection[str] = (),
    open_metrics: bool = False,
) -> web.Application:
    """The application for one node. `host_names` are accepted in Host beside IP literals and localhost."""
    resources = _Resources(node, version)
    app = web.Application(middlewares=[problems, hosts(host_names)], client_max_size=MAX_BODY_BYTES)
    app.on_response_prepare.append(_finish)

    def add(path: str, scope: Scope | None, handler: Handler) -> None:
        app.router.add_get(path, handler if scope is None else allowed(tokens, scope, handler))

    add("/healthz", None, resources.healthz)
    add("/readyz", None, resources.readyz)
    add("/metrics", None if open_metrics else Scope.READ, resources.metrics)
    add("/v1/stats", Scope.READ, resources.stats)
    add("/v1/openapi.json", Scope.READ, resources.openapi)
    return app


class _Resources:
    """The handlers; they hold the node's view and nothing else."""

    def __init__(self, node: NodeView, version: str) -> None:
        self._node = node
        self._version = version

    async def healthz(self, request: web.Request) -> web.Response:
        return _json({"status": "alive"})

    async def readyz(self, request: web.Request) -> web.Response:
        match self._node.ready():
            case Ready():
                return _json({"status": "ready"})
            case NotReady(reason):
                return problem(503, reason)
            case other:
                assert_never(other)

    async def metrics(self, request: web.Request) -> web.Response:
        content_type, body = self._node.scrape(request.headers.get(hdrs.ACCEPT, ""))
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    async def stats(self, request: web.Request) -> web.Response:
        identity = {"node": self._node.name, "role": self._node.role, "version": self._version}
        return _json(identity | self._node.stats())

    async def openapi(self, request: web.Request) -> web.Response:
        return _json(description(self._version))


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


async def _finish(request: web.Request, response: web.StreamResponse) -> None:
    response.headers[hdrs.CACHE_CONTROL] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers[hdrs.SERVER] = "seawall"
