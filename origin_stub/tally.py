"""What the origin was asked: counts, the most at once, and the last requests, for each path.

A request is counted when its head has arrived, under its path and, if it has a query, under its whole target too.
Bounded: beyond PATHS paths the ones not asked for longest are forgotten (the total keeps counting).
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from origin_stub.bell import Bell

PATHS = 20_000
LAST = 64


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived."""

    serial: int  # within its path, from 1
    method: str
    target: str
    http: str  # "1.1"
    raw_headers: tuple[tuple[bytes, bytes], ...]
    peer: str  # address and port, so that connections can be told apart
    at: float  # seconds, monotonic

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The fields in their order and case, one character an octet."""
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.raw_headers]

    def header(self, name: str) -> str | None:
        """The lines of a field as one list value, or None."""
        lines = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(lines) if lines else None

    def as_json(self) -> dict[str, object]:
        return {
            "serial": self.serial,
            "method": self.method,
            "target": self.target,
            "http": self.http,
            "headers": self.headers,
            "peer": self.peer,
        }


@dataclass(slots=True)
class PathTally:
    """What one path was asked. Owned by Tally; a test reads it."""

    count: int = 0  # heads that arrived
    finished: int = 0  # answered to the end, as the script had it
    aborted: int = 0  # the peer left before
    now: int = 0
    most_at_once: int = 0
    body_bytes: int = 0  # of requests
    methods: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    last: deque[Asked] = field(default_factory=lambda: deque(maxlen=LAST))

    def as_json(self) -> dict[str, object]:
        return {
            "count": self.count,
            "finished": self.finished,
            "aborted": self.aborted,
            "now": self.now,
            "most_at_once": self.most_at_once,
            "body_bytes": self.body_bytes,
            "methods": dict(self.methods),
            "statuses": {str(status): n for status, n in self.statuses.items()},
            "last": [asked.as_json() for asked in self.last],
        }


@dataclass(slots=True)
class Visit:
    """A request under way, for whoever answers it."""

    serial: int
    _tallies: tuple[PathTally, ...]

    def read(self, count: int) -> None:
        """So many more bytes of the request's body have arrived."""
        for tally in self._tallies:
            tally.body_bytes += count

    def said(self, status: int) -> None:
        """A head with this status goes out."""
        for tally in self._tallies:
            tally.statuses[status] += 1


class Tally:
    """All counts."""

    __slots__ = ("_bell", "_paths", "total")

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._paths: OrderedDict[str, PathTally] = OrderedDict()
        self.total = PathTally()

    def __repr__(self) -> str:
        return f"<Tally total={self.total.count} now={self.total.now} paths={len(self._paths)}>"

    def of(self, path: str) -> PathTally:
        """The counts of a path or whole target; zeros if it was never asked for."""
        return self._paths.get(path) or PathTally()

    @contextmanager
    def visit(
        self, method: str, target: str, http: str, raw_headers: tuple[tuple[bytes, bytes], ...], peer: str
    ) -> Iterator[Visit]:
        """Count a request for as long as the block runs; left by an exception, it counts as aborted."""
        path, query, _ = target.partition("?")
        own = self._touch(path)
        tallies = (own, self._touch(target), self.total) if query else (own, self.total)
        asked = Asked(own.count + 1, method, target, http, raw_headers, peer, time.monotonic())
        for tally in tallies:
            tally.count += 1
            tally.now += 1
            tally.most_at_once = max(tally.most_at_once, tally.now)
            tally.methods[method] += 1
            tally.last.append(asked)
        self._bell.ring()
        whole = False
        try:
            yield Visit(asked.serial, tallies)
            whole = True
        finally:
            for tally in tallies:
                tally.now -= 1
                tally.finished += whole
                tally.aborted += not whole
            self._bell.ring()

    def reset(self) -> None:
        """Forget everything; requests under way end in the old counts."""
        self._paths.clear()
        self.total = PathTally()

    def as_json(self) -> dict[str, object]:
        return {
            "total": self.total.as_json(),
            "paths": {path: {"count": t.count, "most_at_once": t.most_at_once} for path, t in self._paths.items()},
        }

    def _touch(self, key: str) -> PathTally:
        tally = self._paths.get(key)
        if tally is None:
            tally = self._paths[key] = PathTally()
            if len(self._paths) > PATHS:
                self._paths.popitem(last=False)
        else:
            self._paths.move_to_end(key)
        return tally
