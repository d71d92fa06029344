"""Warming on the admin port: what is to be asked for, read strictly; what became of it, as it is; and what is popular.

Knows nothing of requests and stores. A body that is not understood whole has no effect at all, but a URL that nobody
here answers is a result like any other: the rest of the list is still worth asking for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
from aiohttp import web

from seawall.admin.problem import problem
from seawall.admin.purges import reply
from seawall.http.fields import is_token
from seawall.http.headers import EMPTY, HOP_BY_HOP, Headers, headers, no_fields
from seawall.purge.answered import malformed
from seawall.purge.selection import Problem, Selection, canonical_url, parse_selection
from seawall.telemetry.metrics import JSON

MOST_URLS = 1000
# For each URL. Longer than the origin's own time-out by default (timeouts.first_byte), shorter than a proxy's patience.
DEFAULT_SECONDS = 30.0
MOST_SECONDS = 60.0
# When another warming is under way: its URLs take seconds, not minutes.
RETRY_SECONDS = "10"

DEFAULT_TOP = 100
MOST_TOP = 10_000

NDJSON = "application/x-ndjson"

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}

_MOST_FIELDS = 32
_MOST_FIELD_BYTES = 8 * 1024
# RFC 9110 5.5; CR, LF and NUL would begin a field of their own.
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# What says where the request goes, how it is framed, or that something other than the whole response is wanted.
_NOT_TO_SAY = HOP_BY_HOP | {
    "content-length",
    "content-type",
    "expect",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
    "via",
}


class Warmed(Protocol):
    """What became of one URL."""

    @property
    def url(self) -> str: ...
    @property
    def status(self) -> int | None: ...
    @property
    def outcome(self) -> str | None: ...
    @property
    def stored(self) -> bool: ...
    @property
    def why(self) -> str: ...
    @property
    def octets(self) -> int: ...
    @property
    def ms(self) -> float: ...


class Warmer(Protocol):
    """Who asks the node."""

    def has_room(self, urls: int) -> bool:
        """May so many be asked for now?"""
        ...

    async def warm(
        self, urls: Sequence[str], fields: Headers, seconds: float, each: Callable[[Warmed], Awaitable[bool]]
    ) -> Sequence[Warmed]:
        """Asks for all; tells `each` what became of it as it comes, until that says False."""
        ...


class Popular(Protocol):
    """Who knows what is asked for most."""

    def top(self, n: int, what: Selection | None = None) -> Sequence[tuple[str, int]]:
        """URLs and how often they were asked for lately, the most asked first; of the selected ones only."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """One warming as it was asked for. `seconds` is for each URL."""

    urls: tuple[str, ...]
    fields: Headers = field(default_factory=no_fields)
    seconds: float = DEFAULT_SECONDS


class Warming:
    """The handlers."""

    def __init__(self, warmer: Warmer, popular: Popular) -> None:
        self._warmer = warmer
        self._popular = popular

    async def warm(self, request: web.Request) -> web.StreamResponse:
        document = await _object(request)
        if isinstance(document, web.Response):
            return document
        asked = parse_asked(document)
        if isinstance(asked, list):
            return reply(malformed(asked))
        if not self._warmer.has_room(len(asked.urls)):
            return problem(429, "too many URLs are being warmed already", Retry_After=RETRY_SECONDS)
        if wants_lines(request):
            return await self._stream(request, asked)

        async def each(warmed: Warmed) -> bool:
            return _is_there(request)

        done = await self._warmer.warm(asked.urls, asked.fields, asked.seconds, each)
        return _json({"urls": [told(warmed) for warmed in done]})

    async def _stream(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        """One line for each URL as it comes. Whoever leaves in the middle ends the rest."""
        response = web.StreamResponse(headers={"Content-Type": NDJSON})

        async def each(warmed: Warmed) -> bool:
            try:
                await response.write(msgspec.json.encode(told(warmed)) + b"\n")
            except ConnectionError:
                return False
            return _is_there(request)

        await response.prepare(request)
        await self._warmer.warm(asked.urls, asked.fields, asked.seconds, each)
        return response

    async def popular(self, request: web.Request) -> web.Response:
        said = request.query.getall("top", [])
        top = _number(said[0]) if len(said) == 1 else None if said else DEFAULT_TOP
        if top is None or request.query.keys() - {"top"}:
            return problem(400, f"top takes a number from 1 to {MOST_TOP}, and nothing else can be said here")
        return _json({"urls": _ranked(self._popular.top(top))})

    async def popular_of(self, request: web.Request) -> web.Response:
        document = await _object(request)
        if isinstance(document, web.Response):
            return document
        what = parse_selection(document, also=frozenset({"top"}))
        top = _top(document.get("top", DEFAULT_TOP))
        problems = what if isinstance(what, list) else []
        if top is None:
            problems.append(Problem("top", f"a whole number from 1 to {MOST_TOP} is expected"))
        if problems or top is None or isinstance(what, list):
            return reply(malformed(problems))
        return _json({"urls": _ranked(self._popular.top(top, what))})


def parse_asked(obj: dict[str, object]) -> Asked | list[Problem]:
    """What a decoded body asks for, or all that is wrong with it."""
    problems = [Problem("", "no member but urls, headers and timeout")] if obj.keys() - _MEMBERS else []
    urls = _urls(obj.get("urls"), problems)
    fields = _fields(obj.get("headers", {}), problems)
    seconds = _seconds(obj.get("timeout", f"{DEFAULT_SECONDS:g}s"))
    if seconds is None:
        problems.append(Problem("timeout", f"a duration such as 500ms or 30s is expected, at most {MOST_SECONDS:g}s"))
    if problems or seconds is None:
        return problems
    return Asked(urls, fields, seconds)


_MEMBERS = frozenset({"urls", "headers", "timeout"})


def told(warmed: Warmed) -> dict[str, JSON]:
    """A result as JSON. `ms` from being asked to the last octet."""
    return {
        "url": warmed.url,
        "status": warmed.status,
        "outcome": warmed.outcome,
        "stored": warmed.stored,
        "why": warmed.why or None,
        "bytes": warmed.octets,
        "ms": warmed.ms,
    }


def _urls(listed: object, problems: list[Problem]) -> tuple[str, ...]:
    if not isinstance(listed, list) or not listed:
        problems.append(Problem("urls", "a list of URLs is expected"))
        return ()
    if len(listed) > MOST_URLS:
        problems.append(Problem("urls", f"more than {MOST_URLS} URLs; send them in several requests"))
        return ()
    urls = []
    for place, text in enumerate(listed):
        try:
            urls.append(canonical_url(text) if isinstance(text, str) else _refuse("a string is expected"))
        except ValueError as wrong:
            problems.append(Problem(f"urls[{place}]", str(wrong)))
    return tuple(urls)


def _refuse(why: str) -> str:
    raise ValueError(why)


def _fields(said: object, problems: list[Problem]) -> Headers:
    if not isinstance(said, dict) or not all(isinstance(value, str) for value in said.values()):
        problems.append(Problem("headers", "an object of strings is expected"))
        return EMPTY
    pairs = [(name, value.strip(" \t")) for name, value in said.items()]
    if len(pairs) > _MOST_FIELDS or sum(len(name) + len(value) for name, value in pairs) > _MOST_FIELD_BYTES:
        problems.append(Problem("headers", f"more than {_MOST_FIELDS} fields or {_MOST_FIELD_BYTES} bytes"))
        return EMPTY
    for place, (name, value) in enumerate(pairs):
        if not is_token(name):
            problems.append(Problem(f"headers[{place}]", "no name of a field"))
        elif name.lower() in _NOT_TO_SAY:
            problems.append(Problem(f"headers[{place}]", "this field is not for the caller to say"))
        elif not _VALUE.fullmatch(value):
            problems.append(Problem(f"headers[{place}]", "no value of a field"))
    return headers(pairs)


def _seconds(said: object) -> float | None:
    match = _DURATION.fullmatch(said) if isinstance(said, str) else None
    if match is None:
        return None
    seconds = float(match[1]) * _UNITS[match[2]]
    return seconds if 0 < seconds <= MOST_SECONDS else None


def _top(said: object) -> int | None:
    return said if isinstance(said, int) and not isinstance(said, bool) and 1 <= said <= MOST_TOP else None


def _number(text: str) -> int | None:
    return _top(int(text)) if re.fullmatch(r"[0-9]{1,9}", text) else None


def _ranked(urls: Iterable[tuple[str, int]]) -> list[JSON]:
    return [{"url": url, "hits": hits} for url, hits in urls]


async def _object(request: web.Request) -> dict[str, object] | web.Response:
    """The members of the body, or what to answer instead."""
    try:
        document = json.loads((await request.read()).decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return problem(400, "the body is not JSON in UTF-8, or says a member twice")
    return document if isinstance(document, dict) else problem(400, "an object is expected")


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member stands there twice")
    return members


def wants_lines(request: web.Request) -> bool:
    """One line for each result as it comes, and not all of them at the end?"""
    wanted = ",".join(request.headers.getall("Accept", [])).split(",")
    return NDJSON in {member.partition(";")[0].strip().lower() for member in wanted}


def _is_there(request: web.Request) -> bool:
    """Does the client still listen?"""
    return request.transport is not None and not request.transport.is_closing()


def _json(value: JSON) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
