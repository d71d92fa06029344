"""Edges and a shield in one process, real sockets between them, a real origin behind: what tiers promise together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiohttp
import msgspec
import pytest
from yarl import URL

from origin_stub import OriginStub
from seawall.downstream.limits import Limits
from seawall.downstream.server import Server
from seawall.engine.engine import Engine
from seawall.engine.peers import Parent, Peers
from seawall.engine.route import Route
from seawall.engine.standing import Standing
from seawall.engine.tally import Tally
from seawall.policy.rules import Rules
from seawall.purge.applied import Applied
from seawall.purge.order import Order
from seawall.purge.selection import Selection
from seawall.store.levels import Levels
from seawall.store.memory import MemoryStore
from seawall.telemetry.metrics import Counters
from seawall.upstream.address import Address, Timeouts
from seawall.upstream.pool import Pool
from seawall.upstream.upstream import Upstream
from tests.edge.house import MIB, Got, MovableClock

SECRET = "shared by the nodes of this test"


@dataclass
class Tier:
    """One node."""

    name: str
    server: Server
    engine: Engine
    store: MemoryStore
    standing: Standing
    counters: Counters

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def purge(self, *, soft: bool = False, **names: object) -> int:
        what = msgspec.convert(names, Selection)
        self.standing.applied.apply(Order(self.standing.applied.number + 1, 0, what, soft))
        return self.engine.purger.apply(what, soft=soft).matched


@dataclass
class Town:
    """Two edges on a shield on an origin."""

    stub: OriginStub
    clock: MovableClock
    shield: Tier
    ams: Tier
    nyc: Tier
    session: aiohttp.ClientSession

    async def get(self, tier: Tier, path: str, *fields: tuple[str, str]) -> Got:
        # Every node is asked for the same URL, as DNS would have it.
        headers = [("Host", "shop.example"), *fields]
        async with self.session.get(URL(tier.url + path, encoded=True), headers=headers) as response:
            found = {name.lower(): ", ".join(response.headers.getall(name)) for name in response.headers}
            return Got(response.status, found, await response.read())

    def asked(self, path: str) -> int:
        return self.stub.tally(path).count


async def tier(stack: AsyncExitStack, name: str, upstream: Upstream, clock: MovableClock, rules: Rules) -> Tier:
    counters, store, standing = Counters(), MemoryStore(64 * MIB), Standing(Applied("journal"))
    engine = Engine(
        node=name,
        clock=clock,
        route=lambda head: Route(rules, upstream),
        store=Levels(store, now=clock.now),
        observer=Tally(counters, None),
        fill_budget_bytes=64 * MIB,
        standing=standing,
        peers=Peers(SECRET),
    )
    server = Server(engine.handle, limits=Limits(), name=name, clock=clock)
    await server.start("127.0.0.1", 0)
    stack.push_async_callback(upstream.close)
    stack.push_async_callback(engine.close)
    stack.push_async_callback(server.drain, 0)
    return Tier(name, server, engine, store, standing, counters)


async def turns(condition: Callable[[], bool]) -> None:
    """Lets the loop turn until it holds; bounded by turns, as everything happens in this process."""
    for _ in range(100_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("the story never got there")


def pool(url: str) -> Pool:
    return Pool(Address.parse(url), Timeouts(connect=2, first_byte=10, idle=10), max_connections=512)


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with AsyncExitStack() as stack:
        stub = await stack.enter_async_context(OriginStub())
        clock = MovableClock(time.time())
        shield = await tier(stack, "shield-1", pool(stub.url), clock, Rules())
        ams = await tier(stack, "edge-ams", Parent(pool(shield.url), SECRET), clock, Rules())
        nyc = await tier(stack, "edge-nyc", Parent(pool(shield.url), SECRET), clock, Rules())
        connector = aiohttp.TCPConnector(limit=0)
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        )
        yield Town(stub, clock, shield, ams, nyc, session)


async def test_five_hundred_clients_on_two_edges_cost_the_origin_one_request(town: Town) -> None:
    town.stub.script("/cold", ["max-age=60&size=1000&gate=g"])
    clients = [asyncio.create_task(town.get(edge, "/cold")) for edge in (town.ams, town.nyc) for _ in range(250)]
    await town.stub.parked("g")
    await turns(lambda: town.ams.counters.collapsed + town.nyc.counters.collapsed == 498)
    town.stub.open("g")
    got = await asyncio.gather(*clients)
    assert {(one.status, one.body) for one in got} == {(200, town.stub.body("/cold", 1000))}
    assert town.asked("/cold") == 1


async def test_uncacheable_key_is_not_serialised_through_two_tiers(town: Town) -> None:
    town.stub.script("/private", ["cache-control=no-store"])
    await town.get(town.ams, "/private")
    town.stub.script("/private", ["cache-control=no-store&gate=g"])
    clients = [asyncio.create_task(town.get(town.ams, "/private")) for _ in range(50)]
    # All fifty are at the origin at once: nobody waits for anybody any more.
    await town.stub.parked("g", 50)
    town.stub.open("g")
    assert {one.status for one in await asyncio.gather(*clients)} == {200}


async def test_each_tier_says_its_word_origin_side_first(town: Town) -> None:
    path = "/make/max-age=60/x"
    assert (await town.get(town.ams, path)).x_cache == "MISS, MISS"
    got = await town.get(town.nyc, path)
    assert got.x_cache == "HIT, MISS"
    assert [member.partition(";")[0] for member in got.headers["cache-status"].split(", ")] == ["shield-1", "edge-nyc"]
    assert got.headers["via"].split(", ")[-2:] == ["1.1 shield-1", "1.1 edge-nyc"]
    assert (await town.get(town.nyc, path)).headers["cache-status"].rpartition(", ")[2].startswith("edge-nyc; hit")


async def test_age_is_right_through_two_tiers_and_freshness_ends_everywhere_at_once(town: Town) -> None:
    path = "/make/max-age=60&date=off/age"  # the stub's Date would not follow our clock
    await town.get(town.ams, path)
    town.clock.tick(40)
    assert 40 <= int((await town.get(town.nyc, path)).headers["age"]) <= 41
    town.clock.tick(15)
    got = await town.get(town.nyc, path)
    assert (got.x_cache.rpartition(", ")[2], 55 <= int(got.headers["age"]) <= 56) == ("HIT", True)
    town.clock.tick(10)
    assert (await town.get(town.nyc, path)).serial == 2
    assert (await town.get(town.ams, path)).serial == 2


async def test_stale_from_the_shield_is_never_fresh_at_the_edge(town: Town) -> None:
    town.stub.script("/swr", ["cache-control=max-age=10, stale-while-revalidate=60&body=old"])
    await town.get(town.ams, "/swr")
    town.stub.script("/swr", ["cache-control=max-age=10, stale-while-revalidate=60&body=new&gate=g"])
    town.clock.tick(15)
    stale = await town.get(town.nyc, "/swr")
    assert (stale.body, stale.x_cache) == (b"old", "STALE, MISS")
    assert len(town.nyc.store) == 0
    await town.stub.parked("g")
    town.stub.open("g")
    await turns(lambda: len(town.shield.engine._flights) == 0)
    assert (await town.get(town.nyc, "/swr")).body == b"new"


async def test_soft_purge_at_the_shield_does_not_come_back_fresh_at_an_edge(town: Town) -> None:
    """FEATURES 0.1: low Age, stale all the same; edges of other systems keep it for a whole TTL."""
    town.stub.script("/soft", ["cache-control=max-age=60, stale-while-revalidate=60&body=old"])
    await town.get(town.ams, "/soft")
    town.stub.script("/soft", ["cache-control=max-age=60&body=new&gate=g"])
    for each in (town.shield, town.ams, town.nyc):
        each.purge(urls=["http://shop.example/soft"], soft=True)
    got = await town.get(town.nyc, "/soft")
    assert (got.body, got.x_cache) == (b"old", "STALE, MISS")
    assert len(town.nyc.store) == 0
    await town.stub.parked("g")
    town.stub.open("g")
    await turns(lambda: len(town.shield.engine._flights) == 0)
    assert (await town.get(town.nyc, "/soft")).body == b"new"


@pytest.mark.parametrize("names", [{"urls": ["http://shop.example/p"]}, {"tags": ["t"]}])
@pytest.mark.parametrize("edge_first", [False, True], ids=["shield before edge", "edge before shield"])
async def test_purge_holds_whichever_tier_hears_of_it_first(
    town: Town, names: dict[str, object], edge_first: bool
) -> None:
    town.stub.script("/p", ["max-age=60&body=old&header=Surrogate-Key: t"])
    await town.get(town.ams, "/p")
    town.stub.script("/p", ["max-age=60&body=new&header=Surrogate-Key: t"])
    first, second = (town.ams, town.shield) if edge_first else (town.shield, town.ams)
    assert first.purge(**names) == 1
    # Before the last tier has heard, the old one may still be seen; what matters is what stands afterwards.
    assert (await town.get(town.ams, "/p")).body == b"old"
    second.purge(**names)
    after = await town.get(town.ams, "/p")
    assert after.body == b"new"
    assert (await town.get(town.ams, "/p")).x_cache.rpartition(", ")[2] == "HIT"


@pytest.mark.parametrize("names", [{"urls": ["http://shop.example/f"]}, {"tags": ["t"]}])
async def test_purge_while_a_fill_runs_through_both_tiers_is_not_undone(town: Town, names: dict[str, object]) -> None:
    town.stub.script("/f", ["max-age=60&body=old&header=Surrogate-Key: t&gate=g"])
    waiting = asyncio.create_task(town.get(town.ams, "/f"))
    await town.stub.parked("g")
    for each in (town.shield, town.ams, town.nyc):
        each.purge(**names)
    town.stub.script("/f", ["max-age=60&body=new&header=Surrogate-Key: t"])
    town.stub.open("g")
    assert (await waiting).body == b"old"
    for edge in (town.ams, town.nyc):
        assert (await town.get(edge, "/f")).body == b"new"
        assert (await town.get(edge, "/f")).body == b"new"


async def test_tags_reach_the_edges_and_not_the_clients(town: Town) -> None:
    got = await town.get(town.ams, "/make/max-age=60&header=Surrogate-Key:%20a%20b/t")
    assert "surrogate-key" not in got.headers
    assert not [name for name in got.headers if name.startswith("seawall-")]
    assert town.ams.purge(tags=["b"]) == 1


async def test_client_address_reaches_the_origin_through_two_tiers(town: Town) -> None:
    got = await town.get(town.ams, "/echo", ("X-Forwarded-For", "6.6.6.6"))
    seen = {name.lower(): value for name, value in msgspec.json.decode(got.body)["headers"]}
    assert seen["x-forwarded-for"] == "127.0.0.1, 127.0.0.1"
    assert seen["host"] == "shop.example"
    assert [part.strip() for part in seen["cdn-loop"].split(",")] == ["edge-ams", "shield-1"]
    assert "seawall-peer" not in seen
