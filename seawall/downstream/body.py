"""The body of a request on its way in: framing taken off, held back while nobody reads.

Knows no socket: the connection feeds it, and asks it what is left. Its reader is whoever answers the request.
"""

from __future__ import annotations

from collections.abc import Callable

from seawall.downstream.inbox import Inbox
from seawall.http.bad import Bad
from seawall.http.chunked import ChunkedDecoder
from seawall.http.framing import Chunked, Length


class RequestBody:
    """A BodyReader, fed by its connection.

    `ask` is called when the first read finds nothing there: the moment for 100 Continue.
    Invariant: `complete`, or `fault`, or the connection still owes it bytes.
    """

    __slots__ = ("_ask", "_decoder", "_inbox", "_max_bytes", "_on_room", "_remaining", "_seen_bytes", "fault", "length")

    def __init__(
        self,
        framing: Length | Chunked,
        max_bytes: int | None,
        ask: Callable[[], None] | None,
        on_room: Callable[[], None],
    ) -> None:
        self.length = framing.length_bytes if isinstance(framing, Length) else None
        """The total that Content-Length announced, or None."""
        self.fault: Bad | None = None
        """What is wrong with the body, once something is."""
        self._remaining = self.length or 0
        self._decoder = ChunkedDecoder() if self.length is None else None
        self._max_bytes = max_bytes
        self._seen_bytes = 0
        self._ask = ask
        self._on_room = on_room
        self._inbox = Inbox(on_room)
        if max_bytes is not None and self._remaining > max_bytes:
            self._fail(Bad(413, "body too large"))

    def __repr__(self) -> str:
        state = "faulty" if self.fault else "complete" if self.complete else "arriving"
        return f"<RequestBody {state} {self._seen_bytes}/{'?' if self.length is None else self.length}>"

    # The reader's side

    async def read(self) -> bytes:
        """The next piece; b"" at the end. Raises BodyBroken."""
        if self._ask is not None:
            ask = self._ask
            self.asked()
            ask()
        return await self._inbox.read()

    def close(self) -> None:
        """The rest is not wanted; it is thrown away as it comes."""
        self._inbox.drop("closed by its reader")

    # The connection's side

    @property
    def complete(self) -> bool:
        """Whether the last octet has come, read or not."""
        return self._remaining == 0 if self._decoder is None else self._decoder.done

    @property
    def remaining_bytes(self) -> int | None:
        """How much is still to come, or None where only the last chunk will tell."""
        return self._remaining if self._decoder is None else None

    @property
    def seen_bytes(self) -> int:
        return self._seen_bytes

    @property
    def full(self) -> bool:
        return self._inbox.full

    @property
    def unasked(self) -> bool:
        """Whether the client waits for a 100 Continue that nobody has caused."""
        return self._ask is not None

    def asked(self) -> None:
        """The client was told to go on."""
        self._ask = None
        self._on_room()

    def feed(self, data: bytes) -> bytes:
        """Takes what belongs to the body and returns what does not."""
        self._ask = None  # RFC 9110 10.1.1: no 100 once content has arrived
        if self._decoder is None:
            piece, leftover = data[: self._remaining], data[self._remaining :]
            self._remaining -= len(piece)
        else:
            pieces = self._decoder.feed(data)
            piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            leftover = self._decoder.leftover
            self._decoder.leftover = b""
        self._seen_bytes += len(piece)
        if self._max_bytes is not None and self._seen_bytes > self._max_bytes:
            self._fail(Bad(413, "body too large"))
            return b""
        self._inbox.put(piece)
        if self._decoder is not None and self._decoder.error is not None:
            self._fail(Bad(400, f"chunked body: {self._decoder.error}"))
            return b""
        if self.complete:
            self._inbox.end()
        return leftover

    def fail(self, why: str) -> None:
        """The rest will not come."""
        self._inbox.fail(why)

    def _fail(self, fault: Bad) -> None:
        self.fault = fault
        self._inbox.fail(fault.reason)
