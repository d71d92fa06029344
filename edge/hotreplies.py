"""The head of a plain reply as octets: what policy's `present` and `add_trace` and the connection's `framed` would have
made of it together, put together from what is stored ready to go out (policy/packed.py).

Knows no request and no clock. It is the second place that says how a hit, a miss or a pass looks, and the differential
tests hold it to the first one, octet for octet.
"""

from __future__ import annotations

from seawall.http.headers import Headers
from seawall.policy.entry import Entry
from seawall.policy.forward import pseudonym
from seawall.policy.present import not_in_304
from seawall.policy.reasons import Fwd, Outcome, Reason
from seawall.policy.trace import cache_status
from seawall.policy.validators import etag_of

_NOT_MODIFIED = b"HTTP/1.1 304 Not Modified\r\n"


class Replies:
    """The heads of hits as this node words them."""

    __slots__ = ("_forwarded", "_head", "_member", "_node", "_via", "rest")

    def __init__(self, node: str) -> None:
        self._via = f"1.1 {pseudonym(node)}"
        self._member = cache_status(node, hit=True, ttl=0.0)[:-1]  # all but the number of seconds
        self._node = node
        self._forwarded: dict[tuple[Outcome, Fwd, int, Reason | None, bool], bytes] = {}
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

    def stored(self, entry: Entry, trace: bytes, age: int, ttl: int, body_bytes: int) -> bytes:
        """To who led the fetch of this entry: it has a `kind.line`, not `kind.traced`. `trace` is from forwarded()."""
        kind = entry.kind
        fields: bytes = entry.fields  # type: ignore[assignment]
        line: bytes = kind.line  # type: ignore[assignment]
        shown_bytes = entry.span[2]
        aged = b"Age: %d\r\n" % age if age else b""
        return b"".join((line, fields[:shown_bytes], aged, trace % (ttl, body_bytes)))

    def forwarded(self, outcome: Outcome, fwd: Fwd, status: int, reason: Reason | None, *, stored: bool) -> bytes:
        """The end of the head of what an origin has answered with this status, from Via on: with places for the seconds
        of freshness, where it was stored, and for the length."""
        which = outcome, fwd, status, reason, stored
        found = self._forwarded.get(which)
        if found is None:
            ttl = 0.0 if stored else None
            member = cache_status(
                self._node, fwd=fwd, fwd_status=status, stored=stored, ttl=ttl, detail=reason
            ).replace("%", "%%")
            if stored:
                member = member[:-1] + "%d"
            lines = f"Via: {self._via}", f"Cache-Status: {member}", f"X-Cache: {outcome.value}", "Content-Length: %d"
            # A few dozen: what is forwarded, what comes back, and why it was not stored.
            found = self._forwarded[which] = "\r\n".join([*lines, "", ""]).encode("latin-1")
        return found

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
