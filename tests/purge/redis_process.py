"""A real redis-server for a story of the journal: kept on disk as it should be, hurt, moved back in time, restarted."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from tests.redis_servers import RedisProcess, redis_servers

ALWAYS = {"appendonly": "yes", "appendfsync": "always", "repl-diskless-sync-delay": "0"}
EVERY_SECOND = {"appendonly": "yes", "appendfsync": "everysec"}

ABOUT = "seawall:{journal}:about"
HUB = "seawall:{journal}:hub"
ORDERS = "seawall:{journal}:orders"


class RedisServer:
    """One server, asked and hurt from an event loop that goes on meanwhile."""

    def __init__(self, process: RedisProcess) -> None:
        self.process = process
        self._clients: list[Redis] = []

    @property
    def url(self) -> str:
        return f"{self.process.url}/0"

    def client(self) -> Redis:
        """One that sends nothing twice."""
        made = Redis(port=self.process.port, retry=Retry(NoBackoff(), 0))
        self._clients.append(made)
        return made

    async def start(self) -> None:
        """Again, with what is in its directory."""
        await asyncio.to_thread(self.process.start)

    async def kill(self) -> None:
        """SIGKILL."""
        await asyncio.to_thread(self.process.kill)

    def freeze(self) -> None:
        """SIGSTOP: it takes connections and octets, and answers nothing."""
        self.process.stop()

    def thaw(self) -> None:
        self.process.go_on()

    def backup(self, to: Path) -> None:
        """Copies what it has on disk by now."""
        shutil.copytree(self.process.directory, to)

    def restore(self, backup: Path) -> None:
        """While it does not run."""
        shutil.rmtree(self.process.directory)
        shutil.copytree(backup, self.process.directory)

    async def close(self) -> None:
        """Ends the clients; the process belongs to who started it."""
        for client in self._clients:
            with contextlib.suppress(RedisError, OSError):
                await client.aclose()


@asynccontextmanager
async def redis_server(directory: Path, settings: Mapping[str, str] = ALWAYS) -> AsyncIterator[RedisServer]:
    with redis_servers(directory) as servers:
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        server = RedisServer(servers.server(*words))
        try:
            yield server
        finally:
            await server.close()


async def until(holds: Callable[[], bool | Awaitable[bool]], seconds: float = 10.0) -> None:
    """Waits for something that nobody can announce, at the most this long."""
    async with asyncio.timeout(seconds):
        while True:
            held = holds()
            if held if isinstance(held, bool) else await held:
                return
            await asyncio.sleep(0.005)
