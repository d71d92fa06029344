"""A request body that can be offered again, as long as no more than its first piece was taken.

A pool takes the first piece before it looks for a connection (upload.prepare), so that a client who sends
nothing holds no slot. Where then no connection can be made nothing was sent, and the next address may be
tried: with that piece again. Keeping more would be to buffer uploads, and after the first octet on the
wire nobody but the origin knows what was done with it (HAZARDS F19).
"""

from __future__ import annotations

from seawall.http.body import BodyReader


class Replay:
    """Wraps a request body for the time of one exchange, which calls finish() at its end."""

    __slots__ = ("_again", "_body", "_first", "_reads")

    def __init__(self, body: BodyReader) -> None:
        self._body = body
        self._reads = 0  # of the body itself
        self._first: bytes | None = None
        self._again = False  # the first piece is to be handed out once more

    @property
    def length(self) -> int | None:
        return self._body.length

    async def read(self) -> bytes:
        """As the body's own. Raises BodyBroken."""
        if self._again and self._first is not None:
            self._again = False
            return self._first
        self._reads += 1
        if self._reads > 1:
            self._first = None
            return await self._body.read()
        self._first = await self._body.read()
        return self._first

    def rewind(self) -> bool:
        """Can the body be read from its start? If so, the next read() begins there."""
        if self._reads:
            self._again = self._first is not None
            return self._again
        return True

    def close(self) -> None:
        """One try is over; the body is closed by finish(), because another try may follow."""

    def finish(self) -> None:
        """Closes the body if it was begun: nobody reads it to its end any more. Idempotent."""
        self._first = None
        if self._reads:
            self._body.close()
