"""One connection of a feed, as both ends hold it: whole messages, in order, and a bounded queue of what to say.

Knows no transport: `link.py` and the admin port bring one. A frame is either a word of the feed (messages.py),
which changes what somebody knows of the orders, or a question beside it (questions.py), which changes nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol

# What waits to be said on one line. The protocol keeps it in the hundreds; more is a peer that only talks.
MOST_WAITING = 4096


@dataclass(frozen=True, slots=True)
class Frame:
    """One message, whole."""

    data: bytes
    question: bool = False


class Connection(Protocol):
    """A transport of whole frames, ordered, both ways."""

    async def receive(self) -> Frame | None:
        """The next frame; None when the connection has ended, however it did."""
        ...

    async def send(self, frame: Frame) -> None:
        """Returns when there is room for more. Raises ConnectionError when it has ended."""
        ...

    async def close(self) -> None:
        """Ends it, within a second. Idempotent."""
        ...


class Line:
    """What is said on one connection, in order. `pump` is run, and awaited, by whoever owns the connection."""

    __slots__ = ("_ended", "_finished", "_news", "_pump", "_waiting", "connection")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._waiting: deque[Frame] = deque()
        self._news = asyncio.Event()
        self._finished = False
        self._ended = False
        self._pump: asyncio.Task[None] | None = None

    def say(self, frame: Frame) -> None:
        """Puts it behind what waits. A line on which too much waits ends: with a word left out it would be a lie."""
        if len(self._waiting) >= MOST_WAITING:
            self.end()
        elif not self._ended:
            self._waiting.append(frame)
            self._news.set()

    def finish(self) -> None:
        """What waits is still said; then the line ends."""
        self._finished = True
        self._news.set()

    def end(self) -> None:
        """Ends the line, also where its peer takes nothing; what waits is not said. Not called by the pump's task."""
        self._ended = True
        self._waiting.clear()
        if self._pump is not None:
            self._pump.cancel()

    async def pump(self) -> None:
        """Says what there is to say until the line ends."""
        self._pump = asyncio.current_task()
        while not self._ended:
            while self._waiting:
                await self.connection.send(self._waiting.popleft())
            if self._finished:
                return
            self._news.clear()
            await self._news.wait()
