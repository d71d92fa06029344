"""Which route a request takes: the first whose host, path and method match. Patterns are compiled once.

Linear in the routes; a pattern costs one comparison, or one search for each piece between stars, so no pattern
and no path can make it slow (a regular expression could: `*a*a*a*b` backtracks).

Paths are compared as the client wrote them, octet for octet, as keys are: nothing is decoded or normalised. A
route is therefore no access control: `/%61ccount` is not `/account/*` here, though an origin may think so. What
`/static/..%2faccount` is, only the origin knows; `climbs` tells such paths, so that nobody caches one by its beginning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol


class Matching(Protocol):
    """What a route is for; an empty tuple matches everything."""

    @property
    def host(self) -> tuple[str, ...]: ...
    @property
    def path(self) -> tuple[str, ...]: ...
    @property
    def methods(self) -> tuple[str, ...]: ...


class Routed(Protocol):
    """Whatever says what it is for."""

    @property
    def match(self) -> Matching: ...


class Glob:
    """One pattern in which * stands for any characters, none included; everything else stands for itself."""

    __slots__ = ("_first", "_last", "_least", "_middle", "_pattern", "_whole")

    def __init__(self, pattern: str) -> None:
        pieces = pattern.split("*")
        self._pattern = pattern
        self._whole = len(pieces) == 1
        self._first, self._last = pieces[0], pieces[-1]
        self._middle = tuple(piece for piece in pieces[1:-1] if piece)
        self._least = len(self._first) + len(self._last)

    def __repr__(self) -> str:
        return f"<Glob {self._pattern}>"

    def matches(self, text: str) -> bool:
        """Is the whole text of this form?"""
        if self._whole:
            return text == self._pattern
        end = len(text) - len(self._last)
        if len(text) < self._least or not text.startswith(self._first) or not text.endswith(self._last):
            return False
        at = len(self._first)
        # The leftmost place for each piece leaves the most room for the next, so there is nothing to go back for.
        for piece in self._middle:
            found = text.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True


class _Compiled:
    """A route's patterns. Hosts with a port are compared with the whole authority, others with the host alone."""

    __slots__ = ("_authorities", "_hosts", "_methods", "_paths")

    def __init__(self, match: Matching) -> None:
        hosts = [(pattern.lower(), host_of(pattern)) for pattern in match.host]
        self._hosts = tuple(Glob(pattern) for pattern, host in hosts if pattern == host)
        self._authorities = tuple(Glob(pattern) for pattern, host in hosts if pattern != host)
        self._paths = tuple(Glob(pattern) for pattern in match.path)
        self._methods = frozenset(match.methods)

    def takes(self, authority: str, host: str, path: str, method: str) -> bool:
        if self._methods and method not in self._methods:
            return False
        if (self._hosts or self._authorities) and not (
            any(glob.matches(host) for glob in self._hosts)
            or any(glob.matches(authority) for glob in self._authorities)
        ):
            return False
        return not self._paths or any(glob.matches(path) for glob in self._paths)


class Router:
    """Routes in the order of the file; immutable."""

    __slots__ = ("_routes",)

    def __init__(self, routes: Iterable[Routed]) -> None:
        self._routes = tuple(_Compiled(route.match) for route in routes)

    def __repr__(self) -> str:
        return f"<Router {len(self._routes)} routes>"

    def match(self, authority: str, path: str, method: str) -> int | None:
        """The index of the first route that takes it, or None.

        `authority` is canonical (lower case, no port that is the scheme's own); `path` may still carry its query,
        which no pattern sees.
        """
        host = host_of(authority)
        path = path.partition("?")[0]
        for index, route in enumerate(self._routes):
            if route.takes(authority, host, path, method):
                return index
        return None


def host_of(authority: str) -> str:
    """An authority without its port, lower case; IPv6 keeps its brackets."""
    host, colon, port = authority.rpartition(":")
    return (host if colon and "]" not in port else authority).lower()


_SEPARATOR = re.compile(r"[/\\]|%2f|%5c", re.IGNORECASE)


def climbs(path: str) -> bool:
    """Does the path hold a segment that an origin may resolve away: `..` or `.`, encoded or not (HAZARDS T36, T37)?

    Its beginning then says nothing of what it names: a ttl for /static/* must not hold for /static/..%2faccount.
    """
    path = path.partition("?")[0]
    if "/." not in path and "%" not in path and "\\" not in path:
        return False
    for segment in _SEPARATOR.split(path):
        # `..;x` is `..` to servlet containers, which cut parameters off each segment first.
        name = segment.partition(";")[0]
        if name and len(name) <= 6 and re.sub("%2e", ".", name, flags=re.IGNORECASE) in (".", ".."):
            return True
    return False
