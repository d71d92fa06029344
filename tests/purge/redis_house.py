"""A hub whose journal is in a real redis-server, and the nodes that follow it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from seawall.purge.applied import Applied
from seawall.purge.lease import Lease
from seawall.purge.leaseclock import lease_clock
from seawall.purge.redishub import RedisHub
from seawall.purge.service import open_redis_hub
from tests.purge.house import LEASE, RANKS, House, Shelf, admin_port
from tests.purge.redis_process import ALWAYS, RedisServer, redis_server


class RedisHouse(House):
    """The same topology; its hub has nothing on disk, and trusts what it stores only while it may number."""

    def __init__(self, server: RedisServer) -> None:
        super().__init__(server.process.directory)  # and writes nothing there
        self.server = server
        self.redis_hub: RedisHub | None = None
        self.lease = Lease(LEASE)
        self.shelf = Shelf(self.lease)

    async def open_hub(self, *, ranks: dict[str, int] | None = None, max_orders: int = 1000) -> Any:
        self.hub = hub = await self.open_redis_hub(ranks=ranks, max_orders=max_orders)  # type: ignore[assignment]
        self.redis_hub = hub
        self.port = await admin_port(hub, "shield-1")
        for relay in self._relays:
            relay.to = self.port.port
        return hub

    async def open_redis_hub(self, *, ranks: dict[str, int] | None = None, max_orders: int = 1000) -> RedisHub:
        """A process of the hub's name, with a new memory."""
        self.applied = Applied()
        self.lease = Lease(LEASE)
        return await open_redis_hub(
            self.server.url,
            node="shield-1",
            ranks=RANKS if ranks is None else ranks,
            applied=self.applied,
            lease=self.lease,
            forgetter=self.shelf,
            about={"edge-ams": {"role": "edge", "region": "eu"}},
            max_orders=max_orders,
        )

    @property
    def trusts(self) -> bool:
        """May the hub serve what it stores without asking?"""
        return self.lease.held(lease_clock())


@asynccontextmanager
async def redis_house(directory: Path, settings: Mapping[str, str] = ALWAYS) -> AsyncIterator[RedisHouse]:
    async with redis_server(directory / "redis", settings) as server:
        built = RedisHouse(server)
        try:
            yield built
        finally:
            await built.close()
