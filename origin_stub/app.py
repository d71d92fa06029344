"""Who answers a request: a script first, then the echoes, then the site. Counted from its head to its last byte."""

from __future__ import annotations

from aiohttp import web

from origin_stub import echo, site
from origin_stub.control import Control
from origin_stub.grammar import ScriptError
from origin_stub.play import Sent, play
from origin_stub.state import State
from origin_stub.tally import Visit


class App:
    """The handler of the origin's port. `control` is None where that port does not listen to it."""

    def __init__(self, state: State, control: Control | None) -> None:
        self._state = state
        self._control = control

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        target = _origin_form(request.raw_path)
        if self._control is not None and target.startswith("/_stub/"):
            return await self._control(request)
        peer = request.get_extra_info("peername")
        try:
            with self._state.tally.visit(
                request.method,
                target,
                f"{request.version.major}.{request.version.minor}",
                request.raw_headers,
                f"{peer[0]}:{peer[1]}" if peer else "",
            ) as visit:
                return await self._answer(request, target, visit)
        except ConnectionError:
            # The peer left: counted as aborted, and no fault of ours that aiohttp should log.
            return Sent(499, keep=False)

    async def _answer(self, request: web.BaseRequest, target: str, visit: Visit) -> web.StreamResponse:
        path, _, query = target.partition("?")
        reply = self._state.scripts.take(target)
        if reply is None:
            match path:
                case "/ws" if request.headers.get("Upgrade", "").lower() == "websocket":
                    return await echo.websocket(request)
                case "/events":
                    return await echo.events(request, query, self._state)
                case "/echo":
                    reply = await echo.echo(request, visit)
                case "/upload":
                    reply = await echo.upload(request, visit)
                case _:
                    try:
                        reply = site.page(request, target) or site.not_found(path)
                    except ScriptError as wrong:
                        reply = site.unreadable(wrong)
        return await play(request, reply, path, self._state, visit)


def _origin_form(target: str) -> str:
    """Path and query of a target, should a client send it in absolute form (RFC 9112 3.2.2)."""
    if target.startswith("/") or "://" not in target:
        return target
    rest = target.partition("://")[2]
    slash = rest.find("/")
    return rest[slash:] if slash >= 0 else "/"
