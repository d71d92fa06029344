"""A worker's admin port, for its keeper only: a Unix socket in the node's data directory, and one resource more."""

from __future__ import annotations

import socket
from collections.abc import Callable

from aiohttp import web

from roles.adminport import OpenAdmin
from roles.post import Post
from seawall.admin.guard import allowed
from seawall.admin.port import open_socket
from seawall.admin.tokens import Scope, Tokens
from seawall.telemetry.sums import Figures, encode

FIGURES = "/figures"


async def open_door(app: web.Application, post: Post, tokens: Tokens, figures: Callable[[], Figures]) -> OpenAdmin:
    """Listens on the inherited socket. `figures` is what the keeper adds up."""

    async def told(request: web.Request) -> web.Response:
        return web.Response(body=encode(figures()), content_type="application/json")

    app.router.add_get(FIGURES, allowed(tokens, Scope.NODE, told))
    port = await open_socket(app, socket.socket(fileno=post.admin))
    return OpenAdmin(None, port.close)
