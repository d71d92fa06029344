"""The head of a plain reply as octets: what policy's `present` and `add_trace` and the connection's `framed` would have
made of it together, put together from what is stored ready to go out (policy/packed.py).

Knows no request and no clock. It is the second place that says how a hit, a miss or a pass looks, and the differential
tests hold it to the first one, octet for octet.
"""

from __future__ import annotations

from seawall.http.fields import MAX_DELTA_SECONDS
from seawall.http.headers import Headers
from seawall.policy.entry import Entry
from seawall.policy.forward import pseudonym
from seawall.policy.present import not_in_304
from seawall.policy.reasons import Fwd, Outcome, Reason
from seawall.policy.trace import cache_status
from seawall.policy.validators import etag_of

_MISS = Outcome.MISS
_MOST_AGE = float(MAX_DELTA_SECONDS)
_NOT_MODIFIED = b"HTTP/1.1 304 Not Modified\r\n"


class Replies:
    """The heads of hits as this node words them."""

    __slots__ = ("_head", "_member", "_node", "_passed", "_stored", "_via", "rest")

    def __init__(self, node: str) -> None:
        self._via = f"1.1 {pseudonym(node)}"
        self._member = cache_status(node, hit=True, ttl=0.0)[:-1]  # all but the number of seconds
        self._node = node
        self._stored: dict[tuple[Fwd, int, Reason | None], bytes] = {}
        self._passed: dict[tuple[Outcome, Fwd, int, Reason | None], bytes] = {}
        trace = _trace([self._via], [self._member])
        # Behind the stored fields, where no other cache has been on the way.
        self.rest = b"Age: %d" + trace + b"Content-Length: %d\r\n\r\n"
        """To a GET, with places for age, freshness and length."""
        self._head = b"Content-Length: %d\r\nAge: %d" + trace + b"\r\n"

    def get(self, entry: Entry, age: int, ttl: int, shown_bytes: int, body_bytes: int) -> bytes:
        """To a GET. As all of them only for an entry with a `kind.line`; `shown_bytes` as of Entry.span."""
        kind = entry.kind
        fields: bytes = entry.fields  # type: ignore[assignment]
        line: bytes = kind.line  # type: ignore[assignment]
        rest = b"Age: %d" + self._trace(entry) + b"Content-Length: %d\r\n\r\n" if kind.traced else self.rest
        return b"".join((line, fields[:shown_bytes], rest % (age, ttl, body_bytes)))

    def head(self, entry: Entry, age: int, ttl: int, shown_bytes: int, body_bytes: int) -> bytes:
        """To a HEAD: the length stands where `present` put it."""
        fields: bytes = entry.fields  # type: ignore[assignment]
        line: bytes = entry.kind.line  # type: ignore[assignment]
        rest = b"Content-Length: %d\r\nAge: %d" + self._trace(entry) + b"\r\n" if entry.kind.traced else self._head
        return b"".join((line, fields[:shown_bytes], rest % (body_bytes, age, ttl)))

    def unchanged(self, entry: Entry, age: int, ttl: int, shown_bytes: int) -> bytes:
        """304, to either."""
        fields: bytes = entry.fields  # type: ignore[assignment]
        drop = not_in_304(entry.headers)
        kept = [
            line
            for line in fields[:shown_bytes].split(b"\r\n")
            if line.partition(b":")[0].decode("latin-1").lower() not in drop
        ]
        rest = (b"Age: %d" + self._trace(entry) + b"\r\n") % (age, ttl)
        return b"".join((b"HTTP/1.1 304 Not Modified\r\n", b"\r\n".join(kept), rest))

    def stored(self, entry: Entry, fwd: Fwd, reason: Reason | None, now: float, body_bytes: int) -> bytes:
        """To who led the fetch of this entry: it has a `kind.line`, and is not `kind.traced`."""
        kind = entry.kind
        fields: bytes = entry.fields  # type: ignore[assignment]
        line: bytes = kind.line  # type: ignore[assignment]
        born_at, fresh_until, shown_bytes = entry.span
        # The very arithmetic of current_age() and of cache_status().
        age = now - born_at
        whole = 0 if age < 0 else int(age) if age < _MOST_AGE else MAX_DELTA_SECONDS
        aged = b"Age: %d\r\n" % whole if whole else b""
        which = fwd, kind.status, reason
        rest = self._stored.get(which)
        if rest is None:
            rest = self._stored[which] = self._end(_MISS, fwd, kind.status, reason, stored=True)
        return b"".join((line, fields[:shown_bytes], aged, rest % (int((fresh_until - now) // 1), body_bytes)))

    def passed(self, outcome: Outcome, fwd: Fwd, status: int, reason: Reason | None) -> bytes:
        """The end of the head of what an origin has answered and nobody stores, from Via on: with a place for its
        length."""
        which = outcome, fwd, status, reason
        found = self._passed.get(which)
        if found is None:
            # A few dozen: what is forwarded, what comes back, and why it was not stored.
            found = self._passed[which] = self._end(outcome, fwd, status, reason, stored=False)
        return found

    def _end(self, outcome: Outcome, fwd: Fwd, status: int, reason: Reason | None, *, stored: bool) -> bytes:
        ttl = 0.0 if stored else None
        member = cache_status(self._node, fwd=fwd, fwd_status=status, stored=stored, ttl=ttl, detail=reason)
        member = member.replace("%", "%%")
        if stored:
            before, _, behind = member.rpartition("ttl=0")
            member = f"{before}ttl=%d{behind}"
        lines = f"Via: {self._via}", f"Cache-Status: {member}", f"X-Cache: {outcome.value}", "Content-Length: %d"
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _trace(self, entry: Entry) -> bytes:
        fields = entry.headers
        return _trace(
            [*fields.getall("via", ()), self._via],
            [*fields.getall("cache-status", ()), self._member],
            fields.getall("x-cache", ()),
        )


def _trace(via: list[str], status: list[str], x_cache: list[str] | tuple[()] = ()) -> bytes:
    """From behind Age to the end of X-Cache, with a place for the seconds of freshness."""
    before = f"\r\nVia: {', '.join(via)}\r\nCache-Status: {', '.join(status)}".replace("%", "%%")
    behind = f"\r\nX-Cache: {', '.join([*x_cache, 'HIT'])}\r\n".replace("%", "%%")
    return f"{before}%d{behind}".encode("latin-1")


def opaque_tag(fields: Headers) -> str | None:
    """The opaque tag that If-None-Match is compared with; None where there is none."""
    etag = etag_of(fields)
    return None if etag is None else etag.opaque
