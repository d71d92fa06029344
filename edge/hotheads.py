"""What of a request's fields matters to a hit, remembered by their octets.

A connection repeats itself: the same dozen fields, octet for octet, under one URL after the other. So the block below
the request line is read once, by the parser that everybody uses, and what follows from it is found again by one look
into a dict: 0.3 us where reading takes 6. The request line is no part of it, or each URL would be a block of its own.

None is the answer for every block that asks for more than a plain hit; the engine then reads the request as if
nobody had looked at it.
"""

from __future__ import annotations

from typing import Literal

from seawall.downstream.limits import Limits
from seawall.engine.peers import FRESH, ORDER, PEER
from seawall.http.bad import Bad
from seawall.http.dates import parse_date
from seawall.http.etags import parse_etag_list
from seawall.http.framing import NO_BODY, request_framing
from seawall.http.headers import combined, connection_options
from seawall.http.message import RequestHead
from seawall.http.wire import parse_request_head
from seawall.policy.entry import Varied
from seawall.policy.vary import selected

# Browsers send 400 to 1,000 octets, with cookies 2 KiB. Longer ones are for the engine: they are rare, and few of them
# would push out many.
MOST_BLOCK_BYTES = 4096
# Of one generation; there are two. A client more than this has its fields read anew at each request.
MOST_BLOCKS = 4096
MOST_BYTES = 4 * 1024 * 1024
# Sets of selecting fields that one block is compared with: sites have a handful.
_MOST_COMPARED = 64

# Framing, protocol, ranges, preconditions of the origin's, who has been here, and nodes of ours: the engine's business.
_UNUSUAL = frozenset(
    {
        "authorization",
        "cdn-loop",
        "content-length",
        "expect",
        "if-match",
        "if-range",
        "if-unmodified-since",
        "range",
        "transfer-encoding",
        "upgrade",
        PEER,
        ORDER,
        FRESH,
    }
)
_KEEP_ALIVE = frozenset({"keep-alive"})
_LINE = b"GET / HTTP/1.1\r\n"


class Asked:
    """One block of fields, as far as a hit needs to know it."""

    __slots__ = (
        "authority",
        "compared",
        "conditional",
        "directives",
        "etags",
        "head",
        "prefix",
        "referer",
        "since",
        "tags",
        "user_agent",
    )

    def __init__(self, head: RequestHead, etags: frozenset[str] | Literal["*"] | None, since: float | None) -> None:
        self.head = head
        """All of it, under another target: for who forwards it. 2 KiB, where the rest is 1."""
        self.authority = head.authority
        self.prefix = f"{head.scheme}://{head.authority}"
        """What a key begins with; the target follows."""
        self.conditional = etags is not None or since is not None
        self.etags = etags
        """The opaque tags of If-None-Match, which compares weakly; None where there is none."""
        self.tags = etags if isinstance(etags, frozenset) else None
        """The same, unless any tag would do."""
        self.since = since
        """The instant of If-Modified-Since, where it counts."""
        self.directives = "cache-control" in head.headers or "pragma" in head.headers
        """Is there anything that a route may let a client say to a cache?"""
        self.referer = head.headers.get("referer", "")
        self.user_agent = head.headers.get("user-agent", "")
        self.compared: dict[Varied, bool | None] = {}


class Memo:
    """Blocks and what they ask, in two generations: when the young one is full it becomes the old one, and what was in
    that is forgotten. What is in use is found in the old one and moves over, so a flood of blocks that nobody sends
    twice costs each of the others one reading a generation."""

    __slots__ = ("_bytes", "_max_fields", "_old", "_scheme", "young")

    def __init__(self, scheme: str, limits: Limits) -> None:
        self._scheme = scheme
        self._max_fields = limits.max_fields
        self.young: dict[bytes, Asked | None] = {}
        """To be looked into first; what is not there, `find` finds."""
        self._old: dict[bytes, Asked | None] = {}
        self._bytes = 0

    def find(self, block: bytes) -> Asked | None:
        """What this block asks, read if need be. It is what stands between the request line and the body."""
        if len(block) > MOST_BLOCK_BYTES:
            return None
        asked = self._old[block] if block in self._old else self._read(block)
        if len(self.young) >= MOST_BLOCKS or self._bytes + len(block) > MOST_BYTES:
            # The same dict goes on as the young one: who looks into it holds on to it.
            self._old = dict(self.young)
            self.young.clear()
            self._bytes = 0
        self.young[block] = asked
        self._bytes += len(block)
        return asked

    def matches(self, asked: Asked, block: bytes, varied: Varied) -> bool | None:
        """Does it select what was stored under these selecting fields? None where only the engine can tell."""
        if varied in asked.compared:
            return asked.compared[varied]
        head = self._head(block)
        found: bool | None = isinstance(head, RequestHead) and selected((name for name, _ in varied), head) == varied
        if not found and any(name == "accept-language" for name, _ in varied):
            found = None  # the language that the response says it is in may tell more
        if len(asked.compared) >= _MOST_COMPARED:
            asked.compared.clear()
        asked.compared[varied] = found
        return found

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    def _head(self, block: bytes) -> RequestHead | Bad:
        return parse_request_head(_LINE + block, self._scheme, max_fields=self._max_fields)

    def _read(self, block: bytes) -> Asked | None:
        head = self._head(block)
        if isinstance(head, Bad):
            return None
        fields = head.headers
        if not _UNUSUAL.isdisjoint(name.lower() for name in fields) or request_framing(head) is not NO_BODY:
            return None
        if not connection_options(fields) <= _KEEP_ALIVE:
            return None
        if "if-none-match" in fields:
            tags = parse_etag_list(combined(fields, "if-none-match") or "")
            # RFC 9110 13.2.2: If-Modified-Since counts only where there is no If-None-Match.
            return Asked(head, tags if tags == "*" else frozenset(tag.opaque for tag in tags), None)
        value = fields.get("if-modified-since")
        if value is None:
            return Asked(head, None, None)
        since = parse_date(value, 0.0)
        # A year of two digits means another one with the time: that is not to be remembered.
        return Asked(head, None, since) if since == parse_date(value, 4e9) else None
