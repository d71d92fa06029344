"""One connection of a feed, as both ends hold it: whole messages, in order, and a bounded queue of what to say.

Knows no transport: `link.py` and the admin port bring one. A frame is either a word of the feed (messages.py),
which changes what somebody knows of the orders, or a question beside it (questions.py), which changes nothing.
"""

from __future__ import annotations

import asyncio
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
    """What is said on one connection, in order. `pump` belongs to whoever owns the connection."""

    __slots__ = ("_finished", "_news", "_overfull", "_waiting", "connection")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._waiting: list[Frame] = []
        self._news = asyncio.Event()
        self._finished = False
        self._overfull = False

    def say(self, frame: Frame) -> None:
        """Puts it behind what waits. A line that is overfull ends."""
        if len(self._waiting) >= MOST_WAITING:
            self._overfull = True
        else:
            self._waiting.append(frame)
        self._news.set()

    def finish(self) -> None:
        """What waits is still said; then the line ends."""
        self._finished = True
        self._news.set()

    def end(self) -> None:
        """Ends the line; what waits is not said."""
        self._waiting.clear()
        self.finish()

    async def pump(self) -> None:
        """Says what there is to say until the line ends."""
        while not self._overfull:
            while self._waiting:
                said, self._waiting = self._waiting, []
                for frame in said:
                    await self.connection.send(frame)
            if self._finished:
                return
            self._news.clear()
            await self._news.wait()
