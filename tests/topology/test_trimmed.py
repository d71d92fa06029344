"""A node that was away for longer than the journal remembers: it cannot know what was purged, so it asks for all.

In one process, because only there a journal can be as short as a story.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from origin_stub import OriginStub
from seawall.clock import SystemClock
from seawall.downstream.limits import Limits
from seawall.downstream.server import Server
from seawall.engine.engine import Engine
from seawall.engine.route import Route
from seawall.engine.standing import Standing
from seawall.engine.tally import Tally
from seawall.policy.rules import Rules
from seawall.purge.applied import Applied
from seawall.purge.asked import Asked, Wait
from seawall.purge.lease import Lease
from seawall.purge.leaseclock import lease_clock
from seawall.purge.selection import Selection
from seawall.purge.service import open_member
from seawall.store.levels import Levels
from seawall.store.memory import MemoryStore
from seawall.telemetry.metrics import Counters
from seawall.upstream.address import Address, Timeouts
from seawall.upstream.pool import Pool
from tests.edge.house import MIB
from tests.purge.house import LEASE, SECRET, house, until
from tests.purge.relay import Relay

NAME = "edge-ams"
KEPT_ORDERS = 4


@asynccontextmanager
async def following(hub_url: str, stub: OriginStub) -> AsyncIterator[tuple[Standing, str]]:
    """An edge with a store of its own that follows this hub: how it stands, and where it listens."""
    pool = Pool(Address.parse(stub.url), Timeouts())
    standing = Standing(Applied(), lease := Lease(LEASE), lease_clock)
    engine = Engine(
        node=NAME,
        clock=(clock := SystemClock()),
        route=lambda head: Route(Rules(), pool),
        store=Levels(MemoryStore(64 * MIB), now=clock.now),
        observer=Tally(Counters(), None),
        fill_budget_bytes=64 * MIB,
        standing=standing,
    )
    server = Server(engine.handle, limits=Limits(), name=NAME, clock=clock)
    await server.start("127.0.0.1", 0)
    service = await open_member(
        hub_url, SECRET, node=NAME, applied=standing.applied, lease=lease, forgetter=engine.purger
    )
    try:
        yield standing, f"http://127.0.0.1:{server.port}"
    finally:
        await server.drain(0)
        await service.close()
        await engine.close()
        await pool.close()


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    """The network between the edge and its hub."""
    opened = Relay()
    await opened.open()
    yield opened
    await opened.close()


async def test_node_behind_a_trimmed_journal_serves_nothing_old_as_fresh(tmp_path: Path, relay: Relay) -> None:
    async with house(tmp_path / "journal") as home, OriginStub() as stub, aiohttp.ClientSession() as session:
        hub = await home.open_hub(ranks={NAME: 1}, max_orders=KEPT_ORDERS)
        assert home.port is not None
        relay.to = home.port.port

        async with following(relay.url, stub) as (standing, url):

            async def get(path: str) -> tuple[str, str]:
                async with session.get(url + path, headers={"Host": "shop.example"}) as answer:
                    return await answer.text(), answer.headers["X-Cache"]

            await until(lambda: not standing.fenced())
            for path in ("/purged", "/kept"):
                stub.script(path, ["body=old&max-age=600&etag"])
                await get(path)
                assert await get(path) == ("old", "HIT")

            relay.to = None
            relay.cut()
            stub.script("/purged", ["body=new&max-age=600&etag"])
            wanted = Selection(urls=("http://shop.example/purged",))
            await hub.purge(Asked(wanted, wait=Wait.ACCEPTED), "a story")
            for number in range(4 * KEPT_ORDERS):
                await hub.purge(Asked(Selection(tags=(f"t{number}",)), wait=Wait.ACCEPTED), "a story")
            listed = (await hub.purges(None, 100)).document["purges"]
            assert isinstance(listed, list)
            assert wanted.urls[0] not in str(listed), "the order is no longer there to be caught up with"

            relay.to = home.port.port
            await until(lambda: standing.applied.number == 1 + 4 * KEPT_ORDERS and not standing.fenced())
            assert await get("/purged") == ("new", "MISS")
            # What has not changed is only asked for, and trusted again.
            assert (await get("/kept"))[0] == "old"
            assert stub.tally("/kept").statuses == {200: 1, 304: 1}
            assert await get("/kept") == ("old", "HIT")
