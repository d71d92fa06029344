"""Octets that have arrived and wait to be read, with the tap turned off while too many do.

Knows neither framing nor sockets. Invariant: whoever puts asks `full` afterwards and stops the source; the
inbox calls `on_room` once when enough has been read again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from seawall.http.body import BodyBroken

# As much as one connection may hold unread: the socket's own buffer has the rest.
FULL_BYTES = 64 * 1024
# A piece costs this beside its octets; without it a body in one-octet segments would hold megabytes.
PIECE_BYTES = 64


class Inbox:
    """One producer (the connection), one reader."""

    __slots__ = ("_error", "_full", "_held_bytes", "_on_room", "_over", "_pieces", "_waiter")

    def __init__(self, on_room: Callable[[], None]) -> None:
        self._pieces: deque[bytes] = deque()
        self._held_bytes = 0
        self._full = False
        self._over = False
        self._error: str | None = None
        self._on_room = on_room
        self._waiter: asyncio.Future[None] | None = None

    @property
    def full(self) -> bool:
        """Whether the source should stop until `on_room`."""
        return self._full

    def put(self, data: bytes) -> None:
        """Takes what arrived; nothing is taken after end, fail or drop."""
        if self._over or not data:
            return
        self._pieces.append(data)
        self._held_bytes += len(data) + PIECE_BYTES
        if self._held_bytes > FULL_BYTES:
            self._full = True
        self._wake()

    def end(self) -> None:
        """Nothing more comes, as it should be."""
        self._over = True
        self._wake()

    def fail(self, why: str) -> None:
        """Nothing more comes, though it should; the reader learns it behind what arrived."""
        if not self._over:
            self._over = True
            self._error = why
            self._wake()

    def drop(self, why: str) -> None:
        """Forgets what is held; a reader that comes back later is told why."""
        self._pieces.clear()
        self._held_bytes = 0
        self._over = True
        self._error = self._error or why
        self._wake()
        self._make_room()

    async def read(self) -> bytes:
        """What has arrived, in one piece; b"" at the end. Raises BodyBroken."""
        while not self._pieces:
            if self._error is not None:
                raise BodyBroken(self._error)
            if self._over:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = self._pieces.popleft() if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._held_bytes = 0
        self._make_room()
        return data

    def _make_room(self) -> None:
        if self._full:
            self._full = False
            self._on_room()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
