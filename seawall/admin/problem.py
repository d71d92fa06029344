"""Errors of the admin port as problem documents (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from aiohttp import web

MEDIA_TYPE = "application/problem+json"


def problem(status: int, detail: str, **headers: str) -> web.Response:
    """A problem of the type about:blank: its title is the status's own phrase (RFC 9457 4.2.1).

    Header names are given with _ for -. `detail` is for people, and holds nothing that the request did not say.
    """
    document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return web.Response(
        status=status,
        body=msgspec.json.encode(document),
        content_type=MEDIA_TYPE,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )
