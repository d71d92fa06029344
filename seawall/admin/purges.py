"""Purges on the admin port: what was asked for, read strictly; what the service answers, as it is.

Knows nothing of orders. A body that is not understood whole has no effect at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from aiohttp import web
from aiohttp.typedefs import Handler

from seawall.admin.guard import HOLDER
from seawall.admin.problem import problem
from seawall.purge.answered import Answered, malformed, refusal
from seawall.purge.asked import parse_asked
from seawall.purge.link import CLOSE_SECONDS, PASSED_BY, WebSocket
from seawall.purge.messages import MAX_MESSAGE_BYTES
from seawall.purge.service import PurgeService

DEFAULT_PAGE = 50
LARGEST_PAGE = 1000

_NUMBER = re.compile(r"[0-9]{1,18}")


class Purges:
    """The handlers."""

    def __init__(self, service: PurgeService) -> None:
        self._service = service

    async def purge(self, request: web.Request) -> web.Response:
        document = _json(await request.read())
        if isinstance(document, Answered):
            return reply(document)
        asked = parse_asked(document)
        if isinstance(asked, list):
            return reply(malformed(asked))
        return reply(await self._service.purge(asked, _who(request)))

    async def purges(self, request: web.Request) -> web.Response:
        unknown = request.query.keys() - {"after", "limit"}
        after = _number(request, "after", None)
        limit = _number(request, "limit", DEFAULT_PAGE)
        if unknown or after is _WRONG or limit is _WRONG or not 1 <= (limit or 0) <= LARGEST_PAGE:
            return problem(400, f"after takes the number of a purge, and limit 1 to {LARGEST_PAGE}")
        return reply(await self._service.purges(after, limit or DEFAULT_PAGE))

    async def receipt(self, request: web.Request) -> web.Response:
        number = request.match_info["id"]
        if not _NUMBER.fullmatch(number):
            return reply(refusal(404, "purges have numbers"))
        return reply(await self._service.receipt(int(number)))

    async def topology(self, request: web.Request) -> web.Response:
        return reply(await self._service.topology())

    async def feed(self, request: web.Request) -> web.StreamResponse:
        """The hub's end of a node's feed: a WebSocket for as long as the node lives."""
        socket = web.WebSocketResponse(
            timeout=CLOSE_SECONDS, max_msg_size=MAX_MESSAGE_BYTES, compress=False, autoping=True
        )
        if not socket.can_prepare(request):
            return problem(426, "this resource speaks WebSocket", Upgrade="websocket", Connection="upgrade")
        await socket.prepare(request)
        connection = WebSocket(socket)
        try:
            await self._service.attend(connection)
        finally:
            await connection.close()
        return socket

    def only_once(self, handler: Handler) -> Handler:
        """The handler; but what another node has passed on is not passed on again (508), because that node took
        this one for the hub, and its hub may in turn be it."""

        async def checked(request: web.Request) -> web.StreamResponse:
            if self._service.passes and PASSED_BY in request.headers:
                return problem(508, "this node is not the purge hub; purge.hub must be the same on all nodes")
            return await handler(request)

        return checked


def reply(answered: Answered) -> web.Response:
    """The answer as it is; a refusal is a problem document."""
    return web.Response(status=answered.status, body=answered.body, content_type=answered.media_type)


class _Twice(ValueError):
    """A member stands there twice: which one was meant?"""


def _json(body: bytes) -> object:
    try:
        return json.loads(body.decode(), object_pairs_hook=_once)
    except _Twice:
        return refusal(400, "a member stands there twice")
    except (ValueError, RecursionError):
        return refusal(400, "the body is not JSON in UTF-8")


def _once(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    members: dict[str, object] = {}
    for name, value in pairs:
        if name in members:
            # Most parsers take the last: {"tags":["a"],"tags":["b"]} would purge less than was meant.
            raise _Twice
        members[name] = value
    return members


_WRONG = -1


def _number(request: web.Request, name: str, default: int | None) -> int | None:
    said = request.query.getall(name, [])
    if not said:
        return default
    return int(said[0]) if len(said) == 1 and _NUMBER.fullmatch(said[0]) else _WRONG


def _who(request: web.Request) -> str:
    """Whose token it was, and through which node it came, for the log."""
    passed_by = request.headers.get(PASSED_BY)
    holder = request[HOLDER].name
    return holder if passed_by is None else f"{holder} through {passed_by[:64]}"
