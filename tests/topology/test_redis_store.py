"""Nodes that share a Redis below their memories: what one has fetched the others find, and a Redis in trouble costs
hits, never an error, never a wrong answer and no more time than its bound."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_servers import RedisProcess, RedisServers, redis_servers
from tests.store.test_redis_places import over_tls
from tests.topology.city import HOST, ORIGIN, City, Settings, city, edge, own_status, own_word, until

# The second stands on the origin too; the first numbers the purges.
TWO = {"edge-ams": edge(), "edge-nyc": edge()}
HUB = {"hub": "edge-ams"}
# Twice the bound of an operation: a look below memory and a lease are asked for one after the other.
BOUND_SECONDS = 0.1
# A machine that does much else may be late; a bound that is missing would be seconds each.
GENEROUS_SECONDS = 2.0
LARGEST = 4 << 20  # what is shared by default (store.redis.max_object_size)
NUMBERS = itertools.count()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[RedisServers]:
    with redis_servers(tmp_path / "redis") as servers:
        yield servers


@pytest.fixture
def redis(servers: RedisServers) -> RedisProcess:
    return servers.server()


def store(url: str, **more: object) -> Settings:
    return {"redis": {"url": url, "memory_ttl": "1h", **more}}


async def in_redis(town: City, name: str) -> None:
    async def written() -> bool:
        return bool((await town.ask(name, "/v1/stats")).document["store"]["redis"]["waiting"] == 0)

    await until(written, lambda: f"Redis has everything of {name}")


async def shared(town: City, size: int = 10) -> str:
    """What one node fetches the other finds: which URL that was. Where Redis was too late, it is another one's turn."""
    path = ""

    async def found() -> bool:
        nonlocal path
        path = f"/shared/{next(NUMBERS)}"
        town.stub.script(path, [f"size={size}&max-age=600&header=Surrogate-Key: t"])
        await town.get("edge-ams", path)
        await in_redis(town, "edge-ams")
        got = await town.get("edge-nyc", path)
        assert got.body == town.stub.body(path, size)
        return own_word(got) == "HIT" and town.asked(path) == 1

    await until(found, lambda: "what one node fetches the other finds")
    return path


async def test_what_one_node_has_fetched_the_others_find_and_a_cold_key_is_fetched_once(
    tmp_path: Path, redis: RedisProcess
) -> None:
    async with city(tmp_path, TWO, purge=HUB, store=store(redis.url)) as town:
        path = await shared(town, LARGEST)
        town.stub.script("/cold", ["size=20KiB&max-age=600&gate=g"])
        crowd = [asyncio.create_task(town.get(name, "/cold")) for name in TWO for _ in range(20)]
        await town.stub.parked("g", 1)
        town.stub.open("g")
        assert {got.body for got in await asyncio.gather(*crowd)} == {town.stub.body("/cold", 20 * 1024)}
        assert town.asked("/cold") == 1

        said = await town.purge("edge-nyc", tags=["t"])
        assert (said.status, said.state) == (200, "complete")
        assert own_word(await town.get("edge-nyc", path)) == "MISS"
        assert town.asked(path) == 2


async def test_over_tls_too(tmp_path: Path, servers: RedisServers) -> None:
    port, cert = over_tls(servers, tmp_path)
    url = f"rediss://127.0.0.1:{port}?ssl_ca_certs={cert}"
    async with city(tmp_path, TWO, purge=HUB, store=store(url)) as town:
        await shared(town, 100 * 1024)


async def test_stopped_redis_costs_no_request_more_than_its_bound_and_all_together_little(
    tmp_path: Path, redis: RedisProcess
) -> None:
    async with city(tmp_path, TWO, purge=HUB, store=store(redis.url)) as town:
        paths = [f"/o/{number}" for number in range(60)]
        for path in paths:
            town.stub.script(path, ["size=1KiB&max-age=600"])
        await town.warm("edge-ams", paths[0])
        redis.stop()
        try:
            slowest = await asyncio.gather(*(took(town, path) for path in paths[1:30]))
            assert max(slowest) < BOUND_SECONDS + GENEROUS_SECONDS, slowest
            one_by_one = [await took(town, path) for path in paths[30:]]
            # Soon nobody is sent there any more, but for one a second who tries.
            assert sum(one_by_one) < len(one_by_one) * BOUND_SECONDS / 2, one_by_one
            assert own_word(await town.get("edge-ams", paths[0])) == "HIT"
            began = time.monotonic()
            said = await town.purge("edge-ams", urls=[ORIGIN + paths[0]])
            assert (said.status, said.state) == (200, "complete")
            assert time.monotonic() - began < GENEROUS_SECONDS
            assert own_word(await town.get("edge-ams", paths[0])) == "MISS"
        finally:
            redis.go_on()
        await shared(town)


async def took(town: City, path: str) -> float:
    began = time.monotonic()
    got = await town.get("edge-ams", path)
    assert (got.status, got.body) == (200, town.stub.body(path, 1024))
    return time.monotonic() - began


@pytest.mark.parametrize("trouble", ["stopped", "killed", "flushed", "garbage"])
async def test_purge_holds_whatever_becomes_of_redis_meanwhile(
    tmp_path: Path, servers: RedisServers, trouble: str
) -> None:
    """It keeps what it had through a kill, so that what was purged could come back."""
    redis = servers.server("--appendonly", "yes", "--appendfsync", "always")
    async with city(tmp_path, TWO, purge=HUB, store=store(redis.url)) as town:
        paths = [f"/o/{number}" for number in range(20)]
        for path in paths:
            town.stub.script(path, ["body=old&max-age=600&header=Surrogate-Key: t"])
        await asyncio.gather(*(town.get(name, path) for name in TWO for path in paths))
        await in_redis(town, "edge-ams")
        for path in paths:
            town.stub.script(path, ["body=new&max-age=600&header=Surrogate-Key: t"])
        begin, end = TROUBLE[trouble]
        begin(redis)
        try:
            said = await town.purge("edge-nyc", tags=["t"])
            assert (said.status, said.state) == (200, "complete")
            await all_new(town, paths[:5])  # nobody asks for the others before it is back
        finally:
            await asyncio.to_thread(end, redis)
        await shared(town)
        await all_new(town, paths[:10])
        # Its memory gone, and with it what it remembered: now the level alone is asked.
        await town.kill("edge-nyc")
        await town.start("edge-nyc")
        await town.ready("edge-nyc")
        await all_new(town, paths)


async def all_new(town: City, paths: list[str]) -> None:
    for got in await asyncio.gather(*(town.get(name, path) for name in TWO for path in paths)):
        assert (got.status, got.body) == (200, b"new"), own_status(got)


def spoil(redis: RedisProcess) -> None:
    """Something else in place of every other value."""
    with redis.client() as client:
        for key in list(client.scan_iter())[::2]:
            client.delete(key)
            client.set(key, HOST.encode() * 10)


def nothing(redis: RedisProcess) -> None:
    """It goes on by itself."""


TROUBLE = {
    "stopped": (RedisProcess.stop, RedisProcess.go_on),
    "killed": (RedisProcess.kill, RedisProcess.start),
    "flushed": (lambda redis: redis.ask("FLUSHALL"), nothing),
    "garbage": (spoil, nothing),
}
