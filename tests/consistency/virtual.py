"""A clock that jumps to the next thing that happens, and coroutines that run on it: one seed, one course of events.

Not asyncio with a patched clock: its order of callbacks is its own, and a run of ten virtual minutes has to take
tenths of a second. A coroutine runs until it awaits `sleep` or `Signal.wait`; what it does in between is atomic, as
a turn of an event loop is.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from heapq import heappop, heappush
from itertools import count
from random import Random
from types import coroutine

_Work = Coroutine["float | Signal", None, None]


class Signal:
    """Something that happens once."""

    __slots__ = ("_waiting", "_world", "given")

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: list[_Work] = []
        self.given = False

    def give(self) -> None:
        """It has happened: whoever waits goes on, in the order in which they came."""
        self.given = True
        for work in self._waiting:
            self._world.schedule(0.0, work)
        self._waiting.clear()

    def add(self, work: _Work) -> None:
        self._waiting.append(work)

    @coroutine
    def wait(self) -> Generator[Signal, None, None]:
        """Returns when it has happened."""
        if not self.given:
            yield self


class World:
    """Time, chance, and all that is under way."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.chance = Random(seed)
        self._heap: list[tuple[float, int, _Work]] = []
        self._order = count()

    def schedule(self, delay: float, work: _Work) -> None:
        heappush(self._heap, (self.now + delay, next(self._order), work))

    def spawn(self, work: Coroutine[float | Signal, None, None]) -> None:
        """Begins it now; an exception that it does not catch ends the run."""
        self.schedule(0.0, work)

    @coroutine
    def sleep(self, seconds: float) -> Generator[float, None, None]:
        """Returns that much later."""
        yield seconds

    async def lag(self, least: float, most: float) -> None:
        """A while between the two."""
        await self.sleep(self.chance.uniform(least, most))

    def run(self, until: float) -> None:
        """Lets everything happen up to this instant."""
        while self._heap and self._heap[0][0] <= until:
            self.now, _, work = heappop(self._heap)
            try:
                asked = work.send(None)
            except StopIteration:
                continue
            if isinstance(asked, Signal):
                asked.add(work)
            else:
                self.schedule(asked, work)

    def close(self) -> None:
        """What has not happened by now never does."""
        for _, _, work in self._heap:
            work.close()
        self._heap.clear()
