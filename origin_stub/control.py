"""The control API under /_stub/: scripts, versions, gates, counts, and waiting for requests. For peers on loopback.

Errors are `{"error": ...}` with 400 (unreadable), 403 (not from here), 404 (no such thing) or 504 (waited in vain).
"""

from __future__ import annotations

import ipaddress
import json
from urllib.parse import parse_qs

from aiohttp import web

from origin_stub.grammar import ScriptError
from origin_stub.state import State
from origin_stub.units import seconds

# A proxy on this machine is on loopback too: what it forwards for others must not steer the stub.
_FORWARDED = ("Via", "Forwarded", "X-Forwarded-For", "CDN-Loop")
_PATIENCE = 600.0


class Control:
    """The handler of /_stub/."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        if not _from_here(request):
            return _json({"error": "only direct requests from this machine are heard"}, 403)
        try:
            return await self._dispatch(request)
        except (ScriptError, ValueError) as wrong:
            return _json({"error": str(wrong)}, 400)

    async def _dispatch(self, request: web.BaseRequest) -> web.Response:
        path, _, query = request.raw_path.partition("?")
        asked = _Query(query)
        match request.method, path.removeprefix("/_stub/").split("/"):
            case "PUT", ["script"]:
                return _json({"replies": self._state.scripts.set(asked.need("path"), _replies(await request.read()))})
            case "DELETE", ["script"]:
                dropped = self._state.scripts.drop(asked.need("path"))
                return _json({"dropped": dropped}, 200 if dropped else 404)
            case "POST", ["version"]:
                return _json({"version": self._state.versions.bump(asked.get("path"))})
            case "GET", ["tally"]:
                one = asked.get("path")
                return _json(self._state.tally.as_json() if one is None else self._state.tally.of(one).as_json())
            case "GET", ["arrived"]:
                return await self._arrived(asked)
            case "GET", ["gate"]:
                return _json(self._state.gates.as_json())
            case "GET", ["gate", name]:
                return await self._parked(name, asked)
            case "POST", ["gate", name, "open"]:
                passes = asked.get("passes")
                self._state.gates.open(name, None if passes is None else int(passes))
                return _json({"open": passes is None})
            case "POST", ["gate", name, "shut"]:
                self._state.gates.shut(name)
                return _json({"open": False})
            case "POST", ["reset"]:
                self._state.reset()
                return _json({"reset": True})
        return _json({"error": f"no {request.method} {path} here; see the docstring of origin_stub"}, 404)

    async def _arrived(self, asked: _Query) -> web.Response:
        path, wanted = asked.need("path"), int(asked.get("n") or "1")
        tally = self._state.tally
        met = await self._state.bell.until(lambda: tally.of(path).count >= wanted, asked.patience())
        return _json({"count": tally.of(path).count}, 200 if met else 504)

    async def _parked(self, name: str, asked: _Query) -> web.Response:
        gate, wanted = self._state.gates.gate(name), int(asked.get("parked") or "0")
        met = await self._state.bell.until(lambda: gate.parked >= wanted, asked.patience())
        return _json({"open": gate.open, "passes": gate.passes, "parked": gate.parked}, 200 if met else 504)


class _Query:
    """The query of a control request."""

    def __init__(self, text: str) -> None:
        self._values = parse_qs(text, keep_blank_values=True)

    def get(self, name: str) -> str | None:
        values = self._values.get(name)
        return None if values is None else values[-1]

    def need(self, name: str) -> str:
        value = self.get(name)
        if not value:
            raise ScriptError(f"?{name}= is missing")
        return value

    def patience(self) -> float:
        return min(seconds(self.get("timeout") or "10s"), _PATIENCE)


def _replies(body: bytes) -> list[str | dict[str, object]]:
    """What a PUT holds: {"replies": [...]} of option strings or objects."""
    try:
        asked = json.loads(body)
    except ValueError as wrong:
        raise ScriptError(f"the body is not JSON: {wrong}") from wrong
    replies = asked.get("replies") if isinstance(asked, dict) else None
    if not isinstance(replies, list) or not all(isinstance(one, (str, dict)) for one in replies):
        raise ScriptError('the body is not {"replies": [...]} of option strings or objects')
    return replies


def _from_here(request: web.BaseRequest) -> bool:
    peer = request.get_extra_info("peername")
    if not peer or any(name in request.headers for name in _FORWARDED):
        return False
    return ipaddress.ip_address(str(peer[0]).partition("%")[0]).is_loopback


def _json(value: dict[str, object], status: int = 200) -> web.Response:
    return web.Response(
        status=status,
        text=json.dumps(value) + "\n",
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
