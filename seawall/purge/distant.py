"""A feed over a network that is worse than the real one: frames arrive later, whole and in order, both ways.

What a topology's `link` asks for. Knows only instants: when what is sent now arrives, the caller says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from seawall.purge.line import Connection, Frame

# (octets, the loop's time now, not before) -> the loop's time of arrival
Arrives = Callable[[int, float, float], float]


@dataclass(frozen=True, slots=True)
class Distance:
    """Each way's delays."""

    there: Arrives
    back: Arrives


class DistantConnection:
    """A Connection at the far end. Owns a task that sends what is on its way, and one that notes what comes.

    Frames overlap on the way: ten that leave together arrive together, one latency later.
    """

    def __init__(self, connection: Connection, distance: Distance) -> None:
        self._connection = connection
        self._distance = distance
        self._leaving: asyncio.Queue[tuple[float, Frame]] = asyncio.Queue()
        self._coming: asyncio.Queue[tuple[float, Frame | None]] = asyncio.Queue()
        self._left_at = self._came_at = float("-inf")
        self._broken: Exception | None = None
        loop = asyncio.get_running_loop()
        self._tasks = (loop.create_task(self._carry()), loop.create_task(self._note()))

    async def receive(self) -> Frame | None:
        at, frame = await self._coming.get()
        await _until(at)
        return frame

    async def send(self, frame: Frame) -> None:
        if self._broken is not None:
            raise ConnectionError(str(self._broken))
        now = asyncio.get_running_loop().time()
        self._left_at = self._distance.there(len(frame.data), now, self._left_at)
        self._leaving.put_nowait((self._left_at, frame))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._connection.close()

    async def _carry(self) -> None:
        while True:
            at, frame = await self._leaving.get()
            await _until(at)
            try:
                await self._connection.send(frame)
            except ConnectionError as error:
                self._broken = error
                return

    async def _note(self) -> None:
        while True:
            frame = await self._connection.receive()
            size = len(frame.data) if frame is not None else 0
            self._came_at = self._distance.back(size, asyncio.get_running_loop().time(), self._came_at)
            self._coming.put_nowait((self._came_at, frame))
            if frame is None:
                return


async def _until(at: float) -> None:
    """Returns at this time of the event loop's."""
    wait = at - asyncio.get_running_loop().time()
    if wait > 0:
        await asyncio.sleep(wait)
