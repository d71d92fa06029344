"""Everything that a stub remembers: scripts, versions, gates, counts. One owner, the OriginStub that made it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from origin_stub.bell import Bell
from origin_stub.gates import Gates
from origin_stub.script import Scripts, Versions
from origin_stub.tally import Tally


class State:
    """The memory of one stub, handed to whatever answers or controls."""

    def __init__(self) -> None:
        self.bell = Bell()
        self.gates = Gates(self.bell)
        self.scripts = Scripts()
        self.versions = Versions()
        self.tally = Tally(self.bell)
        self.stopping = asyncio.Event()  # set when draining begins: what hangs lets go, connections are not kept
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run what outlives its request; ended by `end`."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def reset(self) -> None:
        """As new, but for requests that are under way."""
        self.scripts.reset()
        self.versions.reset()
        self.tally.reset()
        self.gates.reset()

    async def end(self) -> None:
        """Stop what was spawned."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
