"""The way of a request body to the origin: framing, back-pressure, and never a broken one taken for whole.

Knows the connection's write(), room(), sent() and give_up() only; the answer is somebody else's.
"""

from __future__ import annotations

from typing import Protocol

from seawall.http.body import BodyBroken, BodyReader
from seawall.http.chunked import LAST_CHUNK, encode_chunk
from seawall.http.headers import headers
from seawall.http.message import RequestHead

# A head and a first piece up to this size leave in one write: one segment and one system call instead of two.
_JOIN_BYTES = 16 * 1024

# What this hop says itself; of the message it came with, such a field says nothing here (RFC 9110 7.6.1).
_OURS = (
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
)
# RFC 9110 8.6: methods whose requests say "no content" in so many words, because a server expects some.
_ANTICIPATE_CONTENT = frozenset({"POST", "PUT", "PATCH"})


class Sink(Protocol):
    """What an upload needs of its connection."""

    def write(self, data: bytes) -> None: ...
    async def room(self) -> bool: ...
    def sent(self) -> None: ...
    def give_up(self, error: Exception) -> None: ...


def framed(head: RequestHead, body: BodyReader | None) -> RequestHead:
    """The head with the framing of this hop and no other; an Upgrade is kept and announced (RFC 9110 7.8)."""
    fields = head.headers
    ours: list[tuple[str, str]] = []
    if body is not None:
        length = body.length
        ours.append(("Transfer-Encoding", "chunked") if length is None else ("Content-Length", str(length)))
    elif head.method in _ANTICIPATE_CONTENT:
        ours.append(("Content-Length", "0"))
    if "upgrade" in fields:
        ours.append(("Connection", "Upgrade"))
    if not ours and not any(name in fields for name in _OURS):
        return head
    kept = [pair for pair in fields.items() if pair[0].lower() not in _OURS]
    return RequestHead(head.method, head.scheme, head.authority, head.target, headers(kept + ours), head.minor)


class Upload:
    """One request body. Reads the body to its end or closes it, once it has begun to read."""

    __slots__ = ("_begun", "_body", "_chunked", "_first", "_left")

    def __init__(self, body: BodyReader) -> None:
        self._body = body
        length = body.length
        self._chunked = length is None
        self._left = length or 0  # octets to come; with chunked it means nothing
        self._first = b""
        self._begun = False

    async def prepare(self) -> None:
        """Takes the first piece before a connection is taken: a client that sends nothing holds no slot.

        Raises BodyBroken.
        """
        if self._left:
            self._begun = True
            self._first = await self._body.read()
            self._count(self._first)

    def start(self, head: bytes) -> tuple[bytes, bool]:
        """What to write first, and whether that is the whole request."""
        first, self._first = self._first, b""
        if len(first) <= _JOIN_BYTES:
            head += first
        else:
            self._first = first
        return head, not self._chunked and not self._left and not self._first

    async def run(self, sink: Sink) -> None:
        """The rest. What goes wrong with the body ends the connection: no origin may take it for whole."""
        self._begun = True
        try:
            if self._first:
                sink.write(self._first)
                self._first = b""
            while self._chunked or self._left:
                if not await sink.room():
                    return  # the connection has told the exchange why
                piece = await self._body.read()
                if self._chunked:
                    if not piece:
                        sink.write(LAST_CHUNK)
                        break
                    for part in encode_chunk(piece):
                        sink.write(part)
                else:
                    self._count(piece)
                    sink.write(piece)
            if await sink.room():  # the origin's patience is not ours to count while it has not got all
                sink.sent()
        except Exception as error:  # the reader's or ours, but for the exchange to raise
            sink.give_up(error)

    def close(self) -> None:
        """The rest is not wanted: the origin has answered, or nobody waits any more. Idempotent."""
        if self._begun:
            self._body.close()

    def _count(self, piece: bytes) -> None:
        if not piece or len(piece) > self._left:
            raise BodyBroken("the request body is not as long as it said")
        self._left -= len(piece)
