"""How a reply goes out: first decided whole (`framed`), then written (`Sending`).

Knows no socket but what an Outlet takes. What breaks on the way is raised, and the connection ends for it: a
reply that did not arrive whole must not look whole (HAZARDS T22).
"""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from seawall.downstream.exchange import Reply
from seawall.http.body import BodyBroken, BodyReader
from seawall.http.chunked import LAST_CHUNK, encode_chunk
from seawall.http.headers import connection_options
from seawall.http.message import RequestHead, ResponseHead
from seawall.http.wire import serialize_head

# RFC 9110 7.6.1: these belong to the connection they came on, and the one to the client makes its own.
_OURS = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "trailer", "te"})
_OURS_AND_LENGTH = _OURS | {"content-length"}

# More than this of one piece at a time only moves the wait from our memory into a copy of it.
WRITE_BYTES = 256 * 1024


class ClientGone(Exception):
    """Nobody is there to write to."""


class Outlet(Protocol):
    """Where octets to the client go."""

    @property
    def full(self) -> bool:
        """Whether the client has fallen behind, and `room` should be awaited."""
        ...

    def write(self, pieces: Iterable[bytes | memoryview]) -> None:
        """Hands pieces to the transport in one go. Raises ClientGone."""
        ...

    async def room(self) -> None:
        """Returns when the client has caught up."""
        ...


class Delimiter(Enum):
    """What ends the body for the client (RFC 9112 6.3)."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Framed:
    """A decided reply. `keep`: whether the connection goes on behind it. `length_bytes` counts with LENGTH only."""

    head: bytes
    delimiter: Delimiter
    length_bytes: int
    keep: bool


def bodyless(method: str, status: int) -> bool:
    """RFC 9110 6.4.1: whether a reply has no content whatever its fields say."""
    return method == "HEAD" or status == 204 or status == 304 or status < 200


def framed(request: RequestHead | None, reply: Reply, *, keep: bool, date: str) -> Framed:
    """How this reply goes to this request (None: to one that was not understood).

    Raises ValueError where the head cannot go out: CR, LF or NUL in a part (HAZARDS T27), or no final status.
    """
    head = reply.head
    method, minor = (request.method, request.minor) if request is not None else ("", 1)
    if head.status < 200 and head.status != 101:
        raise ValueError("an interim status as a final reply")
    keep = keep and "close" not in connection_options(head.headers)
    delimiter, length = _delimiter(method, minor, reply)
    # HEAD and 304 tell the length of what a GET would have got (RFC 9110 8.6); 204 and 1xx must not have one.
    left_alone = delimiter is Delimiter.NONE and head.status >= 200 and head.status != 204
    drop = _OURS if left_alone else _OURS_AND_LENGTH
    fields = [pair for pair in head.headers.items() if pair[0].lower() not in drop]
    if delimiter is Delimiter.LENGTH:
        fields.append(("Content-Length", str(length)))
    elif delimiter is Delimiter.CHUNKED:
        fields.append(("Transfer-Encoding", "chunked"))
    elif delimiter is Delimiter.CLOSE:
        keep = False
    options = []
    if head.status != 101:
        if not keep:
            options.append("close")
        elif minor == 0:
            options.append("keep-alive")
        if "date" not in head.headers:
            fields.append(("Date", date))  # RFC 9110 6.6.1
    if "upgrade" in head.headers:
        options.append("Upgrade")  # RFC 9110 7.8: whoever sends Upgrade says so in Connection
    if options:
        fields.append(("Connection", ", ".join(options)))
    block = serialize_head(f"HTTP/1.1 {head.status} {head.reason}", fields)
    return Framed(block, delimiter, length, keep)


def interim_block(head: ResponseHead) -> bytes:
    """A 1xx as it goes out (RFC 9110 15.2). Raises ValueError where it cannot go out."""
    fields = [pair for pair in head.headers.items() if pair[0].lower() not in _OURS_AND_LENGTH]
    return serialize_head(f"HTTP/1.1 {head.status} {head.reason}", fields)


def _delimiter(method: str, minor: int, reply: Reply) -> tuple[Delimiter, int]:
    body = reply.body
    if bodyless(method, reply.head.status):
        return Delimiter.NONE, 0
    if isinstance(body, tuple):
        return Delimiter.LENGTH, sum(map(len, body))
    length = getattr(body, "length", None)
    if length is not None:
        return Delimiter.LENGTH, int(length)
    return (Delimiter.CHUNKED, 0) if minor == 1 else (Delimiter.CLOSE, 0)


class Sending:
    """One reply on its way. `body_bytes` is how much of the body the transport has taken, whatever happens."""

    __slots__ = ("_framed", "_outlet", "body_bytes")

    def __init__(self, outlet: Outlet, framed: Framed) -> None:
        self._outlet = outlet
        self._framed = framed
        self.body_bytes = 0

    async def pieces(self, body: tuple[bytes, ...]) -> None:
        """Sends head and body from memory, no faster than the client takes it. Raises ClientGone."""
        outlet, head = self._outlet, self._framed.head
        if self._framed.delimiter is Delimiter.NONE:
            outlet.write((head,))
            return
        if self._framed.length_bytes <= WRITE_BYTES:
            outlet.write((head, *body))
            self.body_bytes = self._framed.length_bytes
            return
        before: tuple[bytes, ...] = (head,)
        for piece in body:
            view = memoryview(piece)
            for start in range(0, len(view), WRITE_BYTES):
                if outlet.full:
                    await outlet.room()
                part = view[start : start + WRITE_BYTES]
                outlet.write((*before, part))
                before = ()
                self.body_bytes += len(part)

    async def reader(self, body: BodyReader) -> None:
        """Sends head and body as it comes; reads to the end also where the length is known.

        The head goes out with the first piece if that is there already, else at once: a client of an event
        stream must not wait for the first event to learn that there is a stream. Raises ClientGone, BodyBroken.
        """
        outlet = self._outlet
        head: tuple[bytes, ...] = (self._framed.head,)
        try:
            first = _step(body.read())
        except BodyBroken:
            outlet.write(head)
            raise
        if isinstance(first, _Waiting):
            try:
                outlet.write(head)
            except BaseException:
                first.close()
                raise
            head = ()
            piece = await first.rest()
        else:
            piece = first
        while piece:
            self._put(piece, head)
            head = ()
            if outlet.full:
                await outlet.room()
            piece = await body.read()
        self._end(head)

    def _put(self, piece: bytes, head: tuple[bytes, ...]) -> None:
        framed = self._framed
        if framed.delimiter is Delimiter.CHUNKED:
            self._outlet.write((*head, *encode_chunk(piece)))
        else:
            if framed.delimiter is Delimiter.LENGTH and self.body_bytes + len(piece) > framed.length_bytes:
                raise BodyBroken("more body than announced")
            self._outlet.write((*head, piece))
        self.body_bytes += len(piece)

    def _end(self, head: tuple[bytes, ...]) -> None:
        framed = self._framed
        if framed.delimiter is Delimiter.CHUNKED:
            self._outlet.write((*head, LAST_CHUNK))
        elif head:
            self._outlet.write(head)
        if framed.delimiter is Delimiter.LENGTH and self.body_bytes != framed.length_bytes:
            raise BodyBroken("less body than announced")


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A coroutine that was run by hand up to its first wait."""

    coroutine: Coroutine[object, object, bytes]
    waits_for: object

    @types.coroutine
    def rest(self) -> Generator[object, object, bytes]:
        """Awaits what is left of it, as if it had been awaited from the start."""
        waits_for = self.waits_for
        while True:
            try:
                try:
                    value = yield waits_for
                except GeneratorExit:
                    self.coroutine.close()
                    raise
                except BaseException as error:
                    waits_for = self.coroutine.throw(error)
                else:
                    waits_for = self.coroutine.send(value)
            except StopIteration as end:
                return bytes(end.value)

    def close(self) -> None:
        self.coroutine.close()


def _step(coroutine: Coroutine[object, object, bytes]) -> bytes | _Waiting:
    """Runs a coroutine up to its first wait: its result if it needs none.

    Road not taken: a task for the first read, and a turn of the loop to see whether it is done. That costs
    8 us a reply, and a turn is either too few or too many.
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration as end:
        return bytes(end.value)
    return _Waiting(coroutine, waits_for)
