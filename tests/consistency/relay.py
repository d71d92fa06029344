"""A wire that can be cut: forwards connections to one port of this machine until it is told to hold its breath.

Cut, it takes nothing from either side and gives nothing to either; what was on its way waits, as behind a switch
that was pulled. Mended, everything goes on.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

_PIECE = 64 * 1024


class Relay:
    """One forwarded port. `port` is known once it has started."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._whole = asyncio.Event()
        self._whole.set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    def cut(self) -> None:
        """From now on not one octet passes."""
        self._whole.clear()

    def mend(self) -> None:
        self._whole.set()

    async def end(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._whole.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            with suppress(OSError):
                writer.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while piece := await source.read(_PIECE):
                await self._whole.wait()
                sink.write(piece)
                await sink.drain()
        finally:
            with suppress(OSError):
                sink.close()
