"""A shield and its edges over one Redis: each tier keeps its own there, and neither waits for the other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from seawall.engine.fetch import LEASE_SECONDS
from tests.redis_servers import RedisProcess, redis_servers
from tests.topology.city import city, edge, shield

TOWN = {"shield-1": shield(), "edge-ams": edge("shield-1"), "edge-nyc": edge("shield-1")}


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    with redis_servers(tmp_path / "redis") as servers:
        yield servers.server()


async def test_a_parent_waits_for_no_lease_of_the_child_that_asks_it(tmp_path: Path, redis: RedisProcess) -> None:
    async with city(tmp_path, TOWN, store={"redis": {"url": redis.url}}) as town:
        town.stub.script("/p", ["size=100&max-age=600"])
        async with asyncio.timeout(LEASE_SECONDS / 2):
            got = await town.get("edge-ams", "/p")
        assert got.headers["x-cache"] == "MISS, MISS"
        assert town.asked("/p") == 1


async def test_one_word_a_tier_whoever_has_fetched_it(tmp_path: Path, redis: RedisProcess) -> None:
    async with city(tmp_path, TOWN, store={"redis": {"url": redis.url, "memory_ttl": "0s"}}) as town:
        town.stub.script("/p", ["size=100&max-age=600&header=Surrogate-Key: t"])
        for name in ("edge-ams", "edge-nyc", "edge-ams", "shield-1"):
            got = await town.get(name, "/p")
            words = got.headers["x-cache"].split(", ")
            assert len(words) == (1 if name == "shield-1" else 2), (name, words)
        assert town.asked("/p") == 1
        town.stub.script("/p", ["body=new&max-age=600&header=Surrogate-Key: t"])
        said = await town.purge("edge-nyc", tags=["t"])
        assert said.state == "complete"
        assert [(await town.get(name, "/p")).body for name in TOWN] == [b"new"] * 3
