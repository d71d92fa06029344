"""A body on its way in, streamed by many while it arrives.

Knows no socket and no store: a pilot writes pieces, readers read them, each at its own pace.

    KEEPING   every piece stays: any number of readers may join, and the whole can be taken at the end.
       |      The writer is never slowed: a slow reader costs the others nothing (HAZARDS F16).
       |  spill(spool)   (too large for memory)
       v
    SPILLING  the same, but the pieces lie in the spool, where readers find what is not in memory any more.
       |      The writer goes at the pace of the disk.
       |  forget()   (too large to keep, or the disk has failed; from KEEPING too)
       v
    PASSING   pieces go once the slowest reader has them; nobody joins any more, and the writer waits
              while a reader is more than `window_bytes` behind. Memory stays at the window.

Each ends by finish(), fail(), or, when PASSING, when the last reader has left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from seawall.http.body import BodyBroken
from seawall.store.level import LevelDown, Spool

WINDOW_BYTES = 1024 * 1024
SPOOL_READ_BYTES = 256 * 1024


class Unread(Exception):
    """For the writer: nobody reads this any more, and it is not kept."""


class Fill:
    """The pieces of one body. One writer; `length` is its total in bytes where known."""

    __slots__ = (
        "_base",
        "_broken",
        "_done",
        "_dropped",
        "_handed",
        "_keeping",
        "_pieces",
        "_readers",
        "_room",
        "_spool",
        "_window_bytes",
        "bytes_in",
        "length",
    )

    def __init__(self, length: int | None, seed: Sequence[bytes] = (), *, window_bytes: int = WINDOW_BYTES) -> None:
        self.length = length
        self.bytes_in = sum(map(len, seed))
        self._pieces: list[bytes] = list(seed)
        self._dropped = 0  # pieces that are not in memory any more, counted from the first
        self._base = 0  # their octets
        self._spool: Spool | None = None
        self._handed = 0  # pieces of those in memory that the spool has been given too
        self._keeping = True
        self._done = False
        self._broken: str | None = None
        self._readers: set[FillReader] = set()
        self._room: asyncio.Future[None] | None = None
        self._window_bytes = window_bytes

    # --- the writer's side ---

    def write(self, piece: bytes) -> None:
        """Takes a piece in. When PASSING, `await room()` before the next."""
        self._pieces.append(piece)
        self.bytes_in += len(piece)
        self._wake_readers()

    async def room(self) -> None:
        """Returns when the slowest reader is near enough. At once while KEEPING. Raises Unread."""
        while not self._keeping:
            if not self._readers:
                raise Unread
            # What lies in the spool takes no memory, however far behind its reader is.
            held_bytes = self.bytes_in - self._base
            if max(min(reader.behind_bytes, held_bytes) for reader in self._readers) <= self._window_bytes:
                return
            self._room = asyncio.get_running_loop().create_future()
            try:
                await self._room
            finally:
                self._room = None

    def spill(self, spool: Spool) -> None:
        """KEEPING becomes SPILLING: every piece, these first, is written to the spool by `spilled()`."""
        assert self._keeping  # noqa: S101
        assert self._spool is None  # noqa: S101
        self._spool = spool

    async def spilled(self) -> None:
        """Writes what is in memory to the spool, and lets it go there. Raises LevelDown: then forget()."""
        spool = self._spool
        assert spool is not None  # noqa: S101
        # Only this writes, so the pieces handed over before are the first of these.
        for piece in self._pieces[self._handed :]:
            self._handed += 1
            await spool.write(piece)
        kept = 0
        base = self._base
        for piece in self._pieces:
            if base + len(piece) > spool.written:
                break
            base += len(piece)
            kept += 1
        del self._pieces[:kept]
        self._handed -= kept
        self._dropped += kept
        self._base = base

    def forget(self) -> None:
        """KEEPING or SPILLING becomes PASSING."""
        self._keeping = False
        self._trim()

    def finish(self) -> None:
        """The body has proven its end."""
        self._done = True
        self._wake_readers()

    def fail(self, why: str) -> None:
        """The body broke. Readers get what came, then BodyBroken."""
        self._broken = why
        self._wake_readers()

    def whole(self) -> tuple[bytes, ...] | None:
        """Every piece, once finished and if kept in memory."""
        return tuple(self._pieces) if self._done and self._keeping and self._spool is None else None

    # --- the readers' side ---

    @property
    def joinable(self) -> bool:
        """Can a new reader still have it from the first octet? One that broke gives what came, then breaks."""
        return self._keeping

    @property
    def done(self) -> bool:
        """It has proven its end."""
        return self._done

    @property
    def ended(self) -> bool:
        """Nothing more will come: done, or broken."""
        return self._done or self._broken is not None

    def reader(self, first: int = 0, stop: int | None = None) -> FillReader:
        """A way through octets [first, stop) of it; `stop` None: to the end."""
        assert self._keeping  # noqa: S101 (the caller asked joinable)
        reader = FillReader(self, first, stop)
        self._readers.add(reader)
        return reader

    def __repr__(self) -> str:
        state = "done" if self._done else f"broken ({self._broken})" if self._broken else "filling"
        mode = "passing" if not self._keeping else "keeping" if self._spool is None else "spilling"
        return f"<Fill {state} {mode} {self.bytes_in}/{self.length} bytes {len(self._readers)} readers>"

    def _wake_readers(self) -> None:
        for reader in self._readers:
            reader._wake()

    def _advanced(self) -> None:
        if not self._keeping:
            self._trim()
            if self._room is not None and not self._room.done():
                self._room.set_result(None)

    def _trim(self) -> None:
        if not self._readers:
            return
        oldest = max(min(reader._index for reader in self._readers), self._dropped)
        gone = self._pieces[: oldest - self._dropped]
        del self._pieces[: len(gone)]
        self._dropped = oldest
        self._base += sum(map(len, gone))


class FillReader:
    """One consumer's way through a Fill (a BodyReader)."""

    __slots__ = ("_fill", "_index", "_position", "_skip", "_stop", "_waiter")

    def __init__(self, fill: Fill, first: int, stop: int | None) -> None:
        self._fill = fill
        self._index = 0  # the next piece, counted from the body's first
        self._position = 0  # octets of the body in front of that piece
        self._skip = first
        self._stop = stop
        self._waiter: asyncio.Future[None] | None = None

    @property
    def length(self) -> int | None:
        stop = self._fill.length if self._stop is None else self._stop
        return None if stop is None else stop - self._skip

    @property
    def behind_bytes(self) -> int:
        return self._fill.bytes_in - self._position

    async def read(self) -> bytes:
        """The next piece, b"" at the proven end; BodyBroken where the body broke."""
        fill = self._fill
        while True:
            if self._stop is not None and self._position >= self._stop:
                return b""
            if self._index < fill._dropped:
                piece = await self._from_spool()
                if piece:
                    return piece
                continue
            while self._index - fill._dropped < len(fill._pieces):
                piece = self._take(fill._pieces[self._index - fill._dropped])
                fill._advanced()
                if piece:
                    return piece
                if self._stop is not None and self._position >= self._stop:
                    return b""
            if fill._broken is not None:
                raise BodyBroken(fill._broken)
            if fill._done:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    async def _from_spool(self) -> bytes:
        """The next octets of those that are not in memory any more; b"" where they lie in front of the first wanted."""
        fill = self._fill
        assert fill._spool is not None  # noqa: S101 (PASSING alone lets go of nothing that a reader still needs)
        self._position = max(self._position, min(self._skip, fill._base))
        base = fill._base
        stop = base if self._stop is None else min(base, self._stop)
        piece = b""
        if self._position < stop:
            try:
                piece = await fill._spool.read(self._position, min(SPOOL_READ_BYTES, stop - self._position))
            except LevelDown as down:
                raise BodyBroken(str(down)) from down
            if not piece:
                raise BodyBroken("the spool is shorter than what was written to it")
            self._position += len(piece)
        if self._position == fill._base:
            self._index = fill._dropped
        return piece

    def narrow(self, first: int, stop: int) -> None:
        """Only octets [first, stop) from now on. For a reader that has read nothing yet."""
        assert self._index == 0  # noqa: S101
        self._skip, self._stop = first, stop

    def close(self) -> None:
        self._fill._readers.discard(self)
        self._fill._advanced()

    def _take(self, piece: bytes) -> bytes:
        """What of the next piece lies in [first, stop); moves past it."""
        start = self._position
        self._index += 1
        self._position += len(piece)
        low = max(self._skip - start, 0)
        high = len(piece) if self._stop is None else min(self._stop - start, len(piece))
        return piece if low == 0 and high == len(piece) else piece[low:high]

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
