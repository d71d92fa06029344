"""A topology whose purge journal is in Redis: the hub's machine may be lost, and Redis may be away."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_servers import RedisProcess, redis_servers
from tests.topology.city import ORIGIN, City, Settings, city, edge, own_word, shield, until

TOWN = {"shield-1": shield(), "shield-2": shield(), "edge-ams": edge("shield-1"), "edge-nyc": edge("shield-2")}
ALL_APPLIED = dict.fromkeys(TOWN, "applied")


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    with redis_servers(tmp_path / "redis") as servers:
        yield servers.server("--appendonly", "yes", "--appendfsync", "always")


def settings(redis: RedisProcess) -> Settings:
    return {"store": {"redis": {"url": f"{redis.url}/0"}}, "purge": {"journal": "redis"}}


def lose_disk(town: City, name: str) -> None:
    """The node starts on another machine."""
    shutil.rmtree(town.state / "seawall" / name)


async def test_hub_whose_machine_is_lost_goes_on_with_the_journal(tmp_path: Path, redis: RedisProcess) -> None:
    async with city(tmp_path, TOWN, **settings(redis)) as town:
        town.stub.script("/p", ["body=old&max-age=600&etag&header=Surrogate-Key: t"])
        town.stub.script("/kept", ["body=kept&max-age=600&etag"])
        for path in ("/p", "/kept"):
            await town.warm("edge-nyc", path)
        first = await town.purge("edge-ams", tags=["nothing"])
        assert (first.status, first.document["id"], first.states) == (200, 1, ALL_APPLIED)

        await town.kill("shield-1")
        lose_disk(town, "shield-1")
        town.stub.script("/p", ["body=new&max-age=600&etag&header=Surrogate-Key: t"])
        await town.start("shield-1")
        # It numbers as soon as the lease of the killed one has run out, and says so.
        await town.ready(*TOWN)
        second = await town.purge("edge-ams", tags=["t"])
        assert (second.status, second.document["id"], second.states) == (200, 2, ALL_APPLIED)
        for name in ("edge-ams", "edge-nyc"):
            assert (await town.get(name, "/p")).body == b"new"
        # The nodes knew this journal: what was not purged is still what they store.
        asked = town.asked("/kept")
        assert own_word(await town.get("edge-nyc", "/kept")) == "HIT"
        assert town.asked("/kept") == asked
        listed = (await town.ask("shield-1", "/v1/purges")).document
        assert [each["id"] for each in listed["purges"]] == [2, 1]


async def test_purge_while_redis_is_away_is_a_loud_error_everywhere(tmp_path: Path, redis: RedisProcess) -> None:
    async with city(tmp_path, TOWN, **settings(redis)) as town:
        town.stub.script("/p", ["body=old&max-age=600"])
        await town.warm("edge-ams", "/p")
        await asyncio.to_thread(redis.kill)
        for name in ("shield-1", "edge-nyc"):
            said = await town.purge(name, urls=[f"{ORIGIN}/p"])
            assert (said.status, said.is_problem) == (503, True)
            assert "purged" in said.document["detail"]
        await asyncio.to_thread(redis.start)
        await town.ready(*TOWN)
        assert (await town.get("edge-ams", "/p")).body == b"old"  # as was said
        town.stub.script("/p", ["body=new&max-age=600"])

        async def ordered() -> bool:
            nonlocal said
            said = await town.purge("edge-nyc", urls=[f"{ORIGIN}/p"])
            return said.status != 503  # the hub may find out by this purge that Redis is another process

        await until(ordered, lambda: f"the hub numbers again, not {said.document}")
        assert said.document["id"] == 1
        assert (await town.applied(1)).states == ALL_APPLIED
        assert (await town.get("edge-ams", "/p")).body == b"new"


async def test_flushed_redis_makes_everything_old_stale(tmp_path: Path, redis: RedisProcess) -> None:
    async with city(tmp_path, TOWN, **settings(redis)) as town:
        town.stub.script("/p", ["body=old&max-age=600"])
        await town.warm("edge-ams", "/p")
        before = (await town.purge("shield-1", tags=["nothing"])).document["id"]
        assert before == 1
        town.stub.script("/p", ["body=new&max-age=600"])
        await asyncio.to_thread(redis.ask, "FLUSHALL")

        async def new() -> bool:
            return (await town.get("edge-ams", "/p")).body == b"new"

        await until(new, lambda: "what was stored is asked for")
        await town.ready(*TOWN)
        said = await town.purge("shield-1", tags=["nothing"])
        assert (said.status, said.document["id"]) == (200, 1)
        log = town.nodes["shield-1"].log.read_text()
        assert "journal.replaced" in log
