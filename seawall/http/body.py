"""Bodies in motion, as the inside passes them on: pulled piece by piece, so that a slow reader slows its source.

Knows no socket and no store. Whoever holds a reader reads it to its end or closes it.
"""

from __future__ import annotations

from typing import Protocol


class BodyBroken(Exception):
    """The body ended before its framing said so. What was read may be passed on, never taken for whole."""


class BodyReader(Protocol):
    """One consumer's way through a body.

    `length` is the total in bytes where the framing tells it, else None.
    """

    @property
    def length(self) -> int | None: ...

    async def read(self) -> bytes:
        """The next piece, never empty before the end; b"" at the proven end. Raises BodyBroken."""
        ...

    def close(self) -> None:
        """No more will be read. Idempotent; frees what the source holds for this reader."""
        ...


class Duplex(Protocol):
    """One end of a tunnel after 101 Switching Protocols: octets both ways, nothing of HTTP left."""

    async def read(self) -> bytes:
        """The next octets; b"" when the other side has ended its direction. Raises BodyBroken on a reset."""
        ...

    async def write(self, data: bytes) -> None:
        """Passes octets on; returns when there is room for more. Raises BodyBroken when the other side is gone."""
        ...

    def write_eof(self) -> None:
        """Ends this direction; the other one goes on."""
        ...

    def close(self) -> None:
        """Ends both directions. Idempotent."""
        ...
