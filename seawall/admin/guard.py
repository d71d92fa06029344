"""What every request to the admin port passes: its Host, its token, and errors that are problem documents."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from seawall.admin.problem import problem
from seawall.admin.tokens import Holder, Scope, Tokens
from seawall.telemetry import events

REALM = 'Bearer realm="seawall"'
HOLDER = web.RequestKey("holder", Holder)

_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]{1,5})?")


def known_host(value: str, names: Collection[str]) -> bool:
    """May a request say this Host? IP literals, localhost and the configured names; nothing that DNS could rebind.

    A web page at evil.example whose name was made to point at 127.0.0.1 says evil.example.
    """
    match = _AUTHORITY.fullmatch(value)
    if match is None:
        return False
    host = (match[1] or match[2]).lower().removesuffix(".")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host in names
    return True


def hosts(names: Collection[str]) -> Middleware:
    """Refuses requests for hosts that are not ours with 421 (RFC 9110 15.5.20)."""
    lowered = frozenset(name.lower() for name in names)

    @web.middleware
    async def check_host(request: web.Request, handler: Handler) -> web.StreamResponse:
        said = request.headers.getall(hdrs.HOST, [])
        # HTTP/1.0 health checks send none; no browser leaves it out.
        if len(said) > 1 or (said and not known_host(said[0], lowered)):
            return problem(421, "this host name is not one of the admin port's (admin.hosts in the topology)")
        return await handler(request)

    return check_host


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns what aiohttp raises, and what we did not foresee, into problem documents."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        return problem(405, f"this resource takes {allowed}", Allow=allowed)
    except web.HTTPNotFound:
        return problem(404, "nothing is here; GET /v1/openapi.json lists what is")
    except web.HTTPException as error:
        return problem(error.status, error.reason)
    except Exception as error:
        if isinstance(error, ConnectionError) and (request.transport is None or request.transport.is_closing()):
            return problem(503, "whoever asked has left before the answer")  # nobody's fault, and nobody reads it
        events.error("admin.failed", path=request.path, why=repr(error))
        return problem(500, "this is a fault of ours; the node's log has more")


def bearer(request: web.Request) -> str | None:
    """The token of the Authorization field (RFC 6750 2.1), or None. Never from the URL: URLs are logged."""
    said = request.headers.getall(hdrs.AUTHORIZATION, [])
    if len(said) != 1:
        return None
    scheme, _, token = said[0].partition(" ")
    return token.strip(" ") if scheme.lower() == "bearer" else None


def allowed(tokens: Tokens, scope: Scope, handler: Handler, *, also: Scope | None = None) -> Handler:
    """The handler, for holders of this scope, or of `also`: 401 without a valid token, 403 with one for neither."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        secret = bearer(request)
        holder = None if secret is None else tokens.holder(secret)
        if holder is None:
            # RFC 6750 3.1: no error code where no token was sent at all.
            challenge = REALM if secret is None else f'{REALM}, error="invalid_token"'
            detail = "a bearer token is needed" if secret is None else "this token is not known"
            return problem(401, detail, WWW_Authenticate=challenge)
        if scope not in holder.may and also not in holder.may:
            challenge = f'{REALM}, error="insufficient_scope", scope="{scope}"'
            return problem(403, f"the token {holder.name} does not allow {scope}", WWW_Authenticate=challenge)
        request[HOLDER] = holder
        return await handler(request)

    return guarded
