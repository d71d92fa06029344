"""A piece of network between two real sockets that a story can stop, cut and lead elsewhere."""

from __future__ import annotations

import asyncio
import contextlib


class Relay:
    """Listens on a port of its own and passes octets on to wherever `to` says."""

    def __init__(self) -> None:
        self.to: int | None = None  # a port of this machine; None: connections are refused
        self.connections = 0
        self._flows = asyncio.Event()
        self._flows.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)

    def hold(self) -> None:
        """Nothing passes from now on, and nobody is told: a frozen process, or a firewall that drops."""
        self._flows.clear()

    def release(self) -> None:
        """What was held back arrives."""
        self._flows.set()

    def cut(self) -> None:
        """Every connection ends now."""
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        self.cut()
        self.release()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        ends = [writer]
        try:
            if self.to is None:
                return
            there = await asyncio.open_connection("127.0.0.1", self.to)
            ends.append(there[1])
            ways = [asyncio.create_task(self._pass(*way)) for way in ((reader, there[1]), (there[0], writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for end in ends:
                end.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while octets := await reader.read(65536):
                await self._flows.wait()
                writer.write(octets)
                await writer.drain()
