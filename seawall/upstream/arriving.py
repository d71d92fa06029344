"""A body on its way from an origin to one reader, with back-pressure between them.

Knows no framing and no socket: the connection hands pieces in, the reader takes the same objects out.
Invariant: the source is held from the first piece to the last; once the body has ended, is broken or was
closed, the source is gone from here, so that a late close() never touches a connection that serves
somebody else by then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from seawall.http.body import BodyBroken

# Above this much unread the source is paused, below the lower mark it goes on. Big enough that a loopback
# origin is not stopped between two reads of 256 KiB (asyncio's read size), small enough for 128 connections.
HIGH_BYTES = 256 * 1024
LOW_BYTES = 64 * 1024
# What a small piece costs beyond its octets: chunks of one byte each would otherwise hold 50 times the mark.
_PIECE_BYTES = 56


class Source(Protocol):
    """Where the octets come from: a connection that can be made to wait."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def abandon(self) -> None:
        """Nobody wants the rest."""
        ...


class ArrivingBody:
    """A BodyReader that is filled from below. Owned by one reader; fed by one connection."""

    __slots__ = ("_broken", "_ended", "_held", "_length", "_pieces", "_reader", "_source", "_waiting")

    def __init__(self, source: Source | None, length: int | None) -> None:
        self._source = source
        self._length = length
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._waiting = False  # the source is paused
        self._ended = False
        self._broken: str | None = None
        self._reader: asyncio.Future[None] | None = None

    @property
    def length(self) -> int | None:
        return self._length

    # --- the reader's side ---

    async def read(self) -> bytes:
        while not self._pieces:
            # What arrived before the break is handed out first: the client may have it.
            if self._broken is not None:
                raise BodyBroken(self._broken)
            if self._ended:
                return b""
            if self._reader is not None:
                raise RuntimeError("a body has one reader")
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        piece = self._pieces.popleft()
        self._held -= len(piece) + _PIECE_BYTES
        if self._waiting and self._held < LOW_BYTES:
            self._waiting = False
            if self._source is not None:
                self._source.resume()
        return piece

    def close(self) -> None:
        self._pieces.clear()
        self._held = 0
        if not self._ended and self._broken is None:
            self._broken = "closed by its reader"
        source, self._source = self._source, None
        if source is not None:
            source.abandon()
        self._wake()

    # --- the connection's side ---

    def feed(self, piece: bytes) -> None:
        """One more piece, never empty."""
        self._pieces.append(piece)
        self._held += len(piece) + _PIECE_BYTES
        if self._held > HIGH_BYTES and not self._waiting and self._source is not None:
            self._waiting = True
            self._source.pause()
        if self._reader is not None:
            self._wake()

    def end(self) -> None:
        """The framing says that this was all."""
        self._ended = True
        self._source = None
        self._waiting = False
        self._wake()

    def break_off(self, why: str) -> None:
        """It will never be whole."""
        self._broken = why
        self._source = None
        self._waiting = False
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def __repr__(self) -> str:
        state = "broken" if self._broken is not None else "ended" if self._ended else "arriving"
        return f"<ArrivingBody {state}, {len(self._pieces)} pieces unread, length {self._length}>"


class EmptyBody:
    """The body of an answer that has none. Stateless, so one serves all."""

    __slots__ = ()

    @property
    def length(self) -> int | None:
        return 0

    async def read(self) -> bytes:
        return b""

    def close(self) -> None:
        pass


EMPTY_BODY = EmptyBody()
