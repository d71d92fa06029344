"""The head of a hit as octets: what policy's `present` and `add_trace` and the connection's `framed` would have made of
it together, put together from what is stored ready to go out (policy/packed.py).

Knows no request and no clock. It is the second place that says how a hit looks, and the differential test holds it to
the first one, octet for octet.
"""

from __future__ import annotations

from seawall.http.headers import Headers
from seawall.policy.entry import Entry
from seawall.policy.forward import pseudonym
from seawall.policy.present import not_in_304
from seawall.policy.trace import cache_status
from seawall.policy.validators import etag_of

_NOT_MODIFIED = b"HTTP/1.1 304 Not Modified\r\n"


class Replies:
    """The heads of hits as this node words them."""

    __slots__ = ("_member", "_own", "_via")

    def __init__(self, node: str) -> None:
        self._via = f"1.1 {pseudonym(node)}"
        self._member = cache_status(node, hit=True, ttl=0.0)[:-1]  # all but the number of seconds
        self._own = _trace([self._via], [self._member])
        """Between Age and the seconds of freshness, and behind them, where no other cache has been on the way."""

    def get(self, entry: Entry, age: int, ttl: int, body_bytes: int) -> bytes:
        """To a GET."""
        before, behind = self._trace(entry) if entry.kind.traced else self._own
        return b"%b%bAge: %d%b%d%bContent-Length: %d\r\n\r\n" % (
            entry.kind.line or b"", _shown(entry), age, before, ttl, behind, body_bytes
        )  # fmt: skip

    def head(self, entry: Entry, age: int, ttl: int, body_bytes: int) -> bytes:
        """To a HEAD: the length stands where `present` put it."""
        before, behind = self._trace(entry) if entry.kind.traced else self._own
        return b"%b%bContent-Length: %d\r\nAge: %d%b%d%b\r\n" % (
            entry.kind.line or b"", _shown(entry), body_bytes, age, before, ttl, behind
        )  # fmt: skip

    def unchanged(self, entry: Entry, age: int, ttl: int) -> bytes:
        """304, to either."""
        before, behind = self._trace(entry) if entry.kind.traced else self._own
        drop = not_in_304(entry.headers)
        kept = [
            line
            for line in _shown(entry).split(b"\r\n")
            if line.partition(b":")[0].decode("latin-1").lower() not in drop
        ]
        return b"%b%bAge: %d%b%d%b\r\n" % (_NOT_MODIFIED, b"\r\n".join(kept), age, before, ttl, behind)

    def _trace(self, entry: Entry) -> tuple[bytes, bytes]:
        fields = entry.headers
        return _trace(
            [*fields.getall("via", ()), self._via],
            [*fields.getall("cache-status", ()), self._member],
            fields.getall("x-cache", ()),
        )


def _shown(entry: Entry) -> bytes:
    """The lines that go out as they are, each with its end."""
    octets: bytes = entry.fields  # type: ignore[assignment]  # who asks has seen that there is a `kind.line`
    return octets[: octets.index(b"\r\n\r\n") + 2]


def _trace(via: list[str], status: list[str], x_cache: list[str] | tuple[()] = ()) -> tuple[bytes, bytes]:
    before = f"\r\nVia: {', '.join(via)}\r\nCache-Status: {', '.join(status)}"
    behind = f"\r\nX-Cache: {', '.join([*x_cache, 'HIT'])}\r\n"
    return before.encode("latin-1"), behind.encode("latin-1")


def opaque_tag(fields: Headers) -> str | None:
    """The opaque tag that If-None-Match is compared with; None where there is none."""
    etag = etag_of(fields)
    return None if etag is None else etag.opaque
