"""The admin port's resources: one table of method, path, scope and handler.

/healthz and /readyz are open, because balancers and kubelets hold no tokens and the answers hold no secrets.
Everything under /v1 needs a token. /metrics does too unless the caller says that it is open.

Where there is a purge service, its resources are here too, and a node that has not caught up with the orders is
not ready.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection
from typing import Protocol, assert_never

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from seawall.admin.guard import allowed, hosts, problems
from seawall.admin.openapi import description
from seawall.admin.problem import problem
from seawall.admin.purges import Purges
from seawall.admin.tokens import Scope, Tokens
from seawall.admin.view import NodeView, NotReady, Ready
from seawall.purge.service import PurgeService

# The largest request, a purge of many URLs, has 256 KiB of names at the most; escapes make six octets of one.
MAX_BODY_BYTES = 2 << 20


# Why a node is not ready that has not yet heard of every purge.
CATCHING_UP = "catching-up"


class WarmingResources(Protocol):
    """The handlers of warming: of this process (warm.Warming), or of those that it speaks for."""

    async def warm(self, request: web.Request) -> web.StreamResponse: ...
    async def popular(self, request: web.Request) -> web.StreamResponse: ...
    async def popular_of(self, request: web.Request) -> web.StreamResponse: ...


def create_app(
    node: NodeView,
    tokens: Tokens,
    *,
    version: str,
    host_names: Collection[str] = (),
    open_metrics: bool = False,
    purge: PurgeService | None = None,
    warming: WarmingResources | None = None,
) -> web.Application:
    """The application for one node. `host_names` are accepted in Host beside IP literals and localhost."""
    resources = _Resources(node, version, purge, warms=warming is not None)
    app = web.Application(middlewares=[problems, hosts(host_names)], client_max_size=MAX_BODY_BYTES)
    app.on_response_prepare.append(_finish)

    def add(path: str, scope: Scope | None, handler: Handler, *, also: Scope | None = None) -> None:
        app.router.add_get(path, handler if scope is None else allowed(tokens, scope, handler, also=also))

    add("/healthz", None, resources.healthz)
    add("/readyz", None, resources.readyz)
    add("/metrics", None if open_metrics else Scope.READ, resources.metrics)
    add("/v1/stats", Scope.READ, resources.stats)
    add("/v1/openapi.json", Scope.READ, resources.openapi)
    if purge is not None:
        purges = Purges(purge)
        app.router.add_post("/v1/purge", allowed(tokens, Scope.PURGE, purges.only_once(purges.purge)))
        # Whoever may purge may know what became of it.
        add("/v1/purges", Scope.READ, purges.only_once(purges.purges), also=Scope.PURGE)
        add("/v1/purges/{id}", Scope.READ, purges.only_once(purges.receipt), also=Scope.PURGE)
        add("/v1/topology", Scope.READ, purges.only_once(purges.topology))
        if not purge.passes:
            # Without HEAD: a WebSocket begins with GET (RFC 6455 4.1).
            app.router.add_get("/v1/feed", allowed(tokens, Scope.NODE, purges.feed), allow_head=False)
    if warming is not None:
        app.router.add_post("/v1/warm", allowed(tokens, Scope.WARM, warming.warm))
        # Whoever may warm may know what there is to warm.
        add("/v1/popular", Scope.READ, warming.popular, also=Scope.WARM)
        app.router.add_post("/v1/popular", allowed(tokens, Scope.READ, warming.popular_of, also=Scope.WARM))
    return app


class _Resources:
    """The handlers; they hold the node's view, and its purges to know whether it has caught up."""

    def __init__(self, node: NodeView, version: str, purge: PurgeService | None, *, warms: bool) -> None:
        self._node = node
        self._version = version
        self._purge = purge
        self._warms = warms

    async def healthz(self, request: web.Request) -> web.Response:
        return _json({"status": "alive"})

    async def readyz(self, request: web.Request) -> web.Response:
        ready = self._node.ready()
        match await ready if isinstance(ready, Awaitable) else ready:
            case Ready():
                if self._purge is not None and not self._purge.ready():
                    return problem(503, CATCHING_UP)
                return _json({"status": "ready"})
            case NotReady(reason):
                return problem(503, reason)
            case other:
                assert_never(other)

    async def metrics(self, request: web.Request) -> web.Response:
        scraped = self._node.scrape(request.headers.get(hdrs.ACCEPT, ""))
        content_type, body = await scraped if isinstance(scraped, Awaitable) else scraped
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    async def stats(self, request: web.Request) -> web.Response:
        identity = {"node": self._node.name, "role": self._node.role, "version": self._version}
        stats = self._node.stats()
        return _json(identity | (await stats if isinstance(stats, Awaitable) else stats))

    async def openapi(self, request: web.Request) -> web.Response:
        feeds = self._purge is not None and not self._purge.passes
        return _json(description(self._version, purges=self._purge is not None, feeds=feeds, warms=self._warms))


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


async def _finish(request: web.Request, response: web.StreamResponse) -> None:
    response.headers[hdrs.CACHE_CONTROL] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers[hdrs.SERVER] = "seawall"
